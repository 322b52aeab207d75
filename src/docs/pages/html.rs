//! The frame of all pages, and text that becomes HTML.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");

/// The sign of our pages: a house of two floors.
pub const ICON: &str = "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Cpath fill='%239c3d24' d='M1 15V4l7-3 7 3v11z'/%3E%3Cpath fill='%23fff' d='M4 6h2v2H4zm6 0h2v2h-2zM4 10h2v2H4zm3 0h2v5H7zm3 0h2v2h-2z'/%3E\
    %3C/svg%3E\">";

/// Content-Security-Policy of a page: its own style and icon, and nothing else.
pub static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE)
    )
});

/// What a policy says of a text that it allows.
pub fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text))
}

/// Which page is open, for the line at the top.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// `/redoc`
    Reference,
    /// `/docs`
    Interactive,
    /// `/problems`
    Problems,
}

/// The line at the top.
pub fn top(open: Tab) -> String {
    let link = |tab: Tab, path: &str, name: &str| {
        let current = if tab == open { " aria-current=\"page\"" } else { "" };
        format!("<a href=\"{path}\"{current}>{name}</a>")
    };
    format!(
        "<header class=\"top\"><a class=\"brand\" href=\"/redoc\">Insula <span>API</span></a><nav>{}{}{}</nav></header>",
        link(Tab::Reference, "/redoc", "Reference"),
        link(Tab::Interactive, "/docs", "Try it out"),
        link(Tab::Problems, "/problems", "Error codes"),
    )
}

/// A whole page; `body` is HTML.
pub fn page(open: Tab, title: &str, body: &str) -> String {
    frame(&top(open), title, body)
}

/// A whole page under a line of its own at the top; both are HTML.
pub fn frame(top: &str, title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n{ICON}\n<style>{STYLE}</style>\n</head>\n<body>\n{top}\n{body}\n</body>\n</html>\n",
        escape(title),
    )
}

/// Text that cannot become markup.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            plain => safe.push(plain),
        }
    }
    safe
}

/// One line of our prose: `code` between backticks, **strong** between double asterisks.
pub fn inline(text: &str) -> String {
    let paint = |text: &str, mark: &str, tag: &str| {
        let mut parts = text.split(mark);
        let mut painted = parts.next().unwrap_or_default().to_owned();
        for (at, part) in parts.enumerate() {
            painted.push_str(&if at % 2 == 0 { format!("<{tag}>") } else { format!("</{tag}>") });
            painted.push_str(part);
        }
        painted
    };
    let codes = escape(text);
    let mut pieces = codes.split('`');
    let mut out = paint(pieces.next().unwrap_or_default(), "**", "strong");
    for (at, piece) in pieces.enumerate() {
        if at % 2 == 0 {
            out.push_str(&format!("<code>{piece}</code>"));
        } else {
            out.push_str(&paint(piece, "**", "strong"));
        }
    }
    out
}

/// Our prose: paragraphs between empty lines.
pub fn prose(text: &str) -> String {
    text.split("\n\n").map(|paragraph| format!("<p>{}</p>\n", inline(paragraph))).collect()
}

/// JSON in a box.
pub fn json_box(value: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    format!("<pre><code>{}</code></pre>\n", escape(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_marks_code_and_strong_words_and_nothing_else() {
        assert_eq!(inline("**Two** `a<b` & c"), "<strong>Two</strong> <code>a&lt;b</code> &amp; c");
        assert_eq!(inline("like `**`"), "like <code>**</code>");
        assert_eq!(prose("a\n\nb"), "<p>a</p>\n<p>b</p>\n");
    }
}
