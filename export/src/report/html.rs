//! Pages to print: one file, no scripts, nothing loaded from anywhere, everything escaped.
//!
//! Only what the program itself says can be written as HTML: [`Html::raw`] takes nothing but texts that are known when
//! the program is compiled.

use super::xml::escape;
use std::fmt::Display;

const STYLE: &str = "\
:root{color-scheme:light}\
body{font:14px/1.45 system-ui,sans-serif;color:#111;background:#fff;max-width:1100px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid #999}\
h3{font-size:1rem;margin:1.2rem 0 .3rem}\
table{border-collapse:collapse;width:100%;margin:.5rem 0}\
th,td{text-align:left;vertical-align:top;padding:.25rem .5rem;border:1px solid #bbb;overflow-wrap:anywhere}\
th{background:#eee}td.n{text-align:right;white-space:nowrap}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.5rem;margin:.3rem 0;font-size:12px}\
.critical{border-left:6px solid #a11;padding-left:.6rem}.warning{border-left:6px solid #b60;padding-left:.6rem}\
.unknown{border-left:6px solid #639;padding-left:.6rem}.note{background:#fff6d6;border:1px solid #b90;padding:.5rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.3rem 0}dt{font-weight:600}dd{margin:0;\
white-space:pre-wrap;overflow-wrap:anywhere}\
@page{size:A4;margin:15mm}\
@media print{body{font-size:10.5pt;max-width:none;margin:0;padding:0}h2,h3{break-after:avoid}\
tr,article{break-inside:avoid}thead{display:table-header-group}th{background:#ddd;print-color-adjust:exact}}";

/// A page under way.
pub(crate) struct Html {
    text: String,
}

impl Html {
    /// Begins the page.
    pub(crate) fn begin(title: &str) -> Self {
        let mut html = Self { text: String::new() };
        html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        // Even a browser with extensions is told that this page loads and runs nothing.
        html.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ");
        html.raw("style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n");
        html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
        html.text(title);
        html.raw("</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n<h1>").text(title).raw("</h1>\n");
        html
    }

    /// Something that the program itself says, as HTML.
    pub(crate) fn raw(&mut self, html: &'static str) -> &mut Self {
        self.text.push_str(html);
        self
    }

    /// Anything else, as text.
    pub(crate) fn text(&mut self, text: impl Display) -> &mut Self {
        escape(&text.to_string(), &mut self.text);
        self
    }

    pub(crate) fn heading(&mut self, text: impl Display) -> &mut Self {
        self.raw("<h2>").text(text).raw("</h2>\n")
    }

    pub(crate) fn paragraph(&mut self, text: impl Display) -> &mut Self {
        self.raw("<p>").text(text).raw("</p>\n")
    }

    /// Something that the reader must not overlook.
    pub(crate) fn note(&mut self, text: impl Display) -> &mut Self {
        self.raw("<p class=\"note\">").text(text).raw("</p>\n")
    }

    /// Names and values.
    pub(crate) fn facts<'a>(&mut self, facts: impl IntoIterator<Item = (&'a str, String)>) -> &mut Self {
        self.raw("<dl>\n");
        for (name, value) in facts {
            self.raw("<dt>").text(name).raw("</dt><dd>").text(value).raw("</dd>\n");
        }
        self.raw("</dl>\n")
    }

    pub(crate) fn table(&mut self, header: &[&str]) -> &mut Self {
        self.raw("<table>\n<thead><tr>");
        for cell in header {
            self.raw("<th scope=\"col\">").text(cell).raw("</th>");
        }
        self.raw("</tr></thead>\n<tbody>\n")
    }

    pub(crate) fn row(&mut self, cells: &[&dyn Display]) -> &mut Self {
        self.raw("<tr>");
        for cell in cells {
            self.raw("<td>").text(cell).raw("</td>");
        }
        self.raw("</tr>\n")
    }

    pub(crate) fn end_table(&mut self) -> &mut Self {
        self.raw("</tbody>\n</table>\n")
    }

    /// What has gathered, as bytes; the page goes on.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text).into_bytes()
    }

    /// Ends the page.
    pub(crate) fn end(&mut self) {
        self.raw("</body>\n</html>\n");
    }
}

/// A moment as pages show it.
pub(crate) fn moment(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The same, where there may be none.
pub(crate) fn maybe(at: Option<chrono::DateTime<chrono::Utc>>) -> String {
    at.map_or("-".to_owned(), moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_measured_becomes_markup() {
        let attack = "</title></style><script>alert(1)</script><img src=x onerror='a'>";
        let mut html = Html::begin(attack);
        html.heading(attack).paragraph(attack).note(attack).facts([("name", attack.to_owned())]);
        html.table(&[attack]).row(&[&attack]).end_table().end();
        let page = String::from_utf8(html.take()).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 8);
        assert!(page.contains("default-src 'none'"));
    }
}
