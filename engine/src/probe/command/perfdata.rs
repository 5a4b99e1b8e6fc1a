//! A plugin's output: `TEXT | label=value[UOM];warn;crit;min;max …`, more text lines, and more figures after a second
//! `|`.

/// The most figures taken.
const MAX_FIGURES: usize = 200;

/// What a plugin said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Output {
    pub text: String,
    pub long_text: String,
    pub figures: Vec<Figure>,
}

/// One figure. A value of `U` could not be measured by the plugin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub label: String,
    pub value: Option<f64>,
}

pub(super) fn parse_output(output: &str) -> Output {
    let mut lines = output.lines();
    let first = lines.next().unwrap_or_default();
    let (text, perfdata) = first.split_once('|').unwrap_or((first, ""));
    let mut parsed = Output { text: text.trim().to_owned(), ..Output::default() };
    parse_figures(perfdata, &mut parsed.figures);
    let rest: Vec<&str> = lines.collect();
    let rest = rest.join("\n");
    let (long_text, perfdata) = rest.split_once('|').unwrap_or((&rest, ""));
    long_text.trim().clone_into(&mut parsed.long_text);
    parse_figures(perfdata, &mut parsed.figures);
    parsed
}

/// Takes figure by figure; what is none is passed over up to the next space.
fn parse_figures(text: &str, figures: &mut Vec<Figure>) {
    let mut rest = text.trim_start();
    while !rest.is_empty() && figures.len() < MAX_FIGURES {
        let Some((label, after)) = label(rest) else {
            rest = rest.split_once(char::is_whitespace).map_or("", |(_, after)| after).trim_start();
            continue;
        };
        let (fields, after) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
        let value = fields.split(';').next().unwrap_or_default();
        let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
        // A comma as the decimal point comes from plugins in other languages than C.
        let number = number.replace(',', ".").parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_some() || value == "U" {
            figures.push(Figure { label, value: number });
        }
        rest = after.trim_start();
    }
}

/// A label up to its `=`, and what comes after. In quotes it may hold spaces and `=`; two quotes are one.
fn label(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let (label, after) = text.split_once('=')?;
        return (!label.is_empty() && !label.contains(char::is_whitespace)).then(|| (label.to_owned(), after));
    };
    let mut label = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('\'')?;
        label.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return after.strip_prefix('=').map(|after| (label, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(text: &str) -> Vec<(String, Option<f64>)> {
        let output = parse_output(&format!("OK|{text}"));
        output.figures.into_iter().map(|figure| (figure.label, figure.value)).collect()
    }

    fn pairs(expected: &[(&str, Option<f64>)]) -> Vec<(String, Option<f64>)> {
        expected.iter().map(|(label, value)| ((*label).to_owned(), *value)).collect()
    }

    #[test]
    fn reads_the_guidelines_example() {
        let output = parse_output(
            "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n\
             / 15272 MB (77%);\n/boot 68 MB (69%);\n/home 69357 MB (27%); | /boot=68MB;88;93;0;98\n\
             /home=69357MB;253404;253409;0;253414\n",
        );
        assert_eq!(output.text, "DISK OK - free space: / 3326 MB (56%);");
        assert_eq!(output.long_text, "/ 15272 MB (77%);\n/boot 68 MB (69%);\n/home 69357 MB (27%);");
        let labels: Vec<&str> = output.figures.iter().map(|figure| figure.label.as_str()).collect();
        assert_eq!(labels, ["/", "/boot", "/home"]);
        assert_eq!(output.figures[2].value, Some(69_357.0));
    }

    #[test]
    fn reads_units_quotes_and_unknown_values() {
        assert_eq!(
            figures("time=0.025s;1;2 'a b'=5% 'it''s=x'=-3.5ms;;;0 c=U d=1,5KB e=10c"),
            pairs(&[
                ("time", Some(0.025)),
                ("a b", Some(5.0)),
                ("it's=x", Some(-3.5)),
                ("c", None),
                ("d", Some(1.5)),
                ("e", Some(10.0)),
            ])
        );
    }

    #[test]
    fn passes_over_what_is_no_figure() {
        assert_eq!(figures("nonsense a=1 =2 b='x' 'open=3 c=4"), pairs(&[("a", Some(1.0)), ("c", Some(4.0))]));
        assert_eq!(figures(""), pairs(&[]));
        assert_eq!(parse_output(""), Output::default());
    }
}
