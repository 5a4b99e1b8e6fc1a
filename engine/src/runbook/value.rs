//! Values and texts as minijinja templates over what is known of a finding.

use crate::check::{TemplateError, template_environment};
use minijinja::value::Serde;
use minijinja::{Environment, Value as Text};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

/// The names that a runbook's texts and conditions may use; the last one only in steps.
pub(super) const NAMES: [&str; 9] =
    ["row", "resource", "subject", "component", "settings", "severity", "check", "components", "parameters"];
/// The longest text that a template may give.
const MAX_CHARS: usize = 8_000;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(template_environment);

/// A template that gives a text.
#[derive(Debug, Clone)]
pub(super) struct TextTemplate(String);

/// A value, in which each text is a template.
#[derive(Debug, Clone)]
pub(super) enum ValueTemplate {
    /// As it stands.
    Literal(Value),
    /// `{{ expression }}` and nothing else: keeps its type.
    Expression(String),
    /// A text with something in it.
    Text(TextTemplate),
    List(Vec<ValueTemplate>),
    Table(BTreeMap<String, ValueTemplate>),
}

impl TextTemplate {
    pub(super) fn compile(text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        let template = ENVIRONMENT.template_from_str(text)?;
        known(text, template.undeclared_variables(false), names)?;
        Ok(Self(text.to_owned()))
    }

    pub(super) fn render(&self, context: &Text) -> Result<String, String> {
        let rendered = ENVIRONMENT.render_str(&self.0, context.clone()).map_err(|error| self.trouble(error))?;
        if rendered.chars().count() > MAX_CHARS {
            return Err(format!("`{}` gives more than {MAX_CHARS} characters", cut(&self.0)));
        }
        Ok(rendered)
    }

    fn trouble(&self, error: minijinja::Error) -> String {
        format!("`{}`: {}", cut(&self.0), TemplateError::from(error))
    }
}

impl ValueTemplate {
    pub(super) fn compile(value: &Value, names: &[&str]) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => Self::of_text(text, names)?,
            Value::Array(items) => {
                Self::List(items.iter().map(|item| Self::compile(item, names)).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => Self::Table(
                entries.iter().map(|(key, value)| Ok((key.clone(), Self::compile(value, names)?))).collect::<Result<
                    _,
                    TemplateError,
                >>(
                )?,
            ),
            plain => Self::Literal(plain.clone()),
        })
    }

    fn of_text(text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Ok(Self::Literal(Value::from(text)));
        }
        let Some(expression) = whole_expression(text) else {
            return TextTemplate::compile(text, names).map(Self::Text);
        };
        let compiled = ENVIRONMENT.compile_expression(expression)?;
        known(text, compiled.undeclared_variables(false), names)?;
        Ok(Self::Expression(expression.to_owned()))
    }

    pub(super) fn value(&self, context: &Text) -> Result<Value, String> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Text(text) => text.render(context).map(Value::from),
            Self::List(items) => items.iter().map(|item| item.value(context)).collect(),
            Self::Table(entries) => {
                entries.iter().map(|(key, value)| Ok((key.clone(), value.value(context)?))).collect()
            }
            Self::Expression(text) => {
                let trouble = |error: minijinja::Error| format!("`{}`: {}", cut(text), TemplateError::from(error));
                let given = ENVIRONMENT.compile_expression(text).map_err(trouble)?;
                let given = given.eval(context.clone()).map_err(trouble)?;
                if given.is_undefined() {
                    return Err(format!("`{}` is not there", cut(text)));
                }
                serde_json::to_value(&given).map_err(|error| format!("`{}`: {error}", cut(text)))
            }
        }
    }
}

/// The expression of a text that is nothing else.
fn whole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let others = ["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark));
    (!others).then(|| inner.trim().trim_start_matches('-').trim_end_matches('-').trim())
}

fn known(text: &str, used: HashSet<String>, names: &[&str]) -> Result<(), TemplateError> {
    let globals: Vec<&str> = ENVIRONMENT.globals().map(|(name, _)| name).collect();
    let mut unknown: Vec<String> =
        used.into_iter().filter(|name| !names.contains(&name.as_str()) && !globals.contains(&name.as_str())).collect();
    unknown.sort();
    match unknown.first() {
        None => Ok(()),
        Some(name) => Err(TemplateError {
            message: format!("`{name}` is not known here; known are {}", names.join(", ")),
            range: text.find(name.as_str()).map(|start| start..start + name.len()),
        }),
    }
}

/// JSON for a template.
pub(super) fn text_value(json: &Value) -> Text {
    Text::from(Serde(json))
}

fn cut(text: &str) -> String {
    crate::check::cut(text, 120)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(template: &Value) -> Result<Value, String> {
        let compiled = ValueTemplate::compile(template, &NAMES).map_err(|error| error.message)?;
        compiled.value(&text_value(&json!({"row": {"n": 3, "list": ["a"], "none": null, "t": "x y"}})))
    }

    #[test]
    fn one_expression_keeps_its_type() {
        for (template, expected) in [
            (json!("{{ row.n }}"), json!(3)),
            (json!(" {{ row.list }} "), json!(["a"])),
            (json!("{{ row.n > 2 }}"), json!(true)),
            (json!("{{ row.none }}"), json!(null)),
            (json!("{{ row.n }} rows"), json!("3 rows")),
            (json!("{{ row.n }}{{ row.n }}"), json!("33")),
            (json!("{% if row.n %}{{ row.t }}{% endif %}"), json!("x y")),
            (json!({"a": ["{{ row.t }}", 1]}), json!({"a": ["x y", 1]})),
            (json!(true), json!(true)),
        ] {
            assert_eq!(value(&template).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(value(&json!("{{ rwo.n }}")).unwrap_err().contains("`rwo` is not known"));
        assert!(value(&json!("{{ row.m }}")).is_err());
        assert!(value(&json!("{{ row.m }} x")).is_err());
        assert!(value(&json!("{{ row.")).is_err());
    }
}
