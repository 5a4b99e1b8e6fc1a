//! Texts as minijinja templates, compiled at load and rendered under limits.

use minijinja::{Environment, UndefinedBehavior};
use std::io::{self, Write};
use std::ops::Range;

/// The most work one template may do, in minijinja's units.
const FUEL: u64 = 20_000;
/// Where a rendering is cut off while it is written; [`Templates::render`] then cuts to what was asked for.
const MAX_RENDERED_BYTES: usize = 16 * 1024;

/// Named templates.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

/// Why a template does not compile or render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// Where in the template, in bytes.
    pub range: Option<Range<usize>>,
}

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Self { message, range: error.range() }
    }
}

impl Default for Templates {
    fn default() -> Self {
        Self { environment: template_environment() }
    }
}

/// Where templates run: under limits, with our own filters.
pub(crate) fn template_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // A column that is not there is a mistake of the check, to be seen in its cases.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.set_debug(true);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.add_filter("bytes", |size: f64| readable_bytes(size));
    environment.add_filter("duration", |seconds: f64| readable_duration(seconds));
    environment
}

impl Templates {
    /// Compiles a template under a name.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        self.environment.add_template_owned(name.to_owned(), text.to_owned())?;
        let template = self.environment.get_template(name)?;
        let known = ["row", "rows", "count", "facts", "settings", "component", "now", "limit", "outcome"];
        let globals: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let mut unknown: Vec<String> = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| !known.contains(&name.as_str()) && !globals.contains(&name.as_str()))
            .collect();
        unknown.sort();
        match unknown.first() {
            None => Ok(()),
            Some(name) => Err(TemplateError {
                message: format!("`{name}` is not known here; known are {}", known.join(", ")),
                range: text.find(name.as_str()).map(|start| start..start + name.len()),
            }),
        }
    }

    /// Whether there is a template of that name.
    pub fn has(&self, name: &str) -> bool {
        self.environment.get_template(name).is_ok()
    }

    /// Renders a template, in one line where `max_chars` is small, cut to `max_chars` characters.
    pub(crate) fn render(
        &self,
        name: &str,
        context: &minijinja::Value,
        max_chars: usize,
    ) -> Result<String, TemplateError> {
        let template = self.environment.get_template(name)?;
        let mut out = Capped::default();
        let rendered = template.render_captured_to(context.clone(), &mut out);
        if let Err(error) = rendered.map(|_| ())
            && !out.full
        {
            return Err(error.into());
        }
        Ok(cut(String::from_utf8_lossy(&out.bytes).trim(), max_chars))
    }
}

/// Cuts a text to a number of characters; a cut text ends in `…`.
pub(crate) fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    text.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect()
}

#[derive(Default)]
struct Capped {
    bytes: Vec<u8>,
    full: bool,
}

impl Write for Capped {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + data.len() > MAX_RENDERED_BYTES {
            self.full = true;
            return Err(io::Error::other("the text is too long"));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `1536` as `1.5 KiB`.
fn readable_bytes(size: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = size;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Seconds in the two largest units that count: `2 h 5 min`.
fn readable_duration(seconds: f64) -> String {
    let whole = seconds.abs().round() as u64;
    let sign = if seconds < 0.0 && whole > 0 { "-" } else { "" };
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    let text = match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(text: &str, max: usize) -> Result<String, TemplateError> {
        let mut templates = Templates::default();
        templates.add("t", text)?;
        let context = minijinja::Value::from(minijinja::value::Serde(
            json!({"row": {"p": 96.04, "n": 3, "b": 1536, "none": null}}),
        ));
        templates.render("t", &context, max)
    }

    #[test]
    fn renders_values_and_filters() {
        assert_eq!(render("{{ row.p | round(1) }} % of {{ row.b | bytes }}", 300).unwrap(), "96.0 % of 1.5 KiB");
        assert_eq!(render("{{ 7500 | duration }}, {{ row.n | duration }}", 300).unwrap(), "2 h 5 min, 3 s");
        assert_eq!(render("{% if row.n > 2 %}many{% endif %}", 300).unwrap(), "many");
    }

    #[test]
    fn is_bounded() {
        assert_eq!(render("aaaaaaaaaa", 5).unwrap(), "aaaa…");
        let long = render("{% for i in range(9000) %}0123456789{% endfor %}", 300);
        assert!(long.map_or(true, |text| text.chars().count() == 300));
        assert!(render("{% for i in range(9000) %}{% for j in range(9000) %}{% endfor %}{% endfor %}", 300).is_err());
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(render("{{ rwo.p }}", 300).unwrap_err().message.contains("`rwo` is not known"));
        assert!(render("{{ row.missing }}", 300).is_err());
        assert!(render("{{ row.p", 300).is_err());
        assert!(render("{{ row.p | nofilter }}", 300).is_err());
    }
}
