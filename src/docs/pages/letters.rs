//! The letters that `insula dev` wrote down instead of sending them.

use super::html::{escape, frame};
use crate::mail::Kept;

/// All of them, in their order.
pub fn letters(letters: &[Kept]) -> String {
    let top = "<header class=\"top\"><a class=\"brand\" href=\"/dev/mail\">Insula <span>mail</span></a></header>";
    let all: String = letters.iter().map(letter).collect();
    let lead = match letters.len() {
        0 => "Nothing was sent yet.".to_owned(),
        _ => "What would have been sent, the newest first. Only <code>insula dev</code> shows it.".to_owned(),
    };
    frame(top, "Mail", &format!("<main>\n<h1>Mail</h1>\n<p class=\"lead\">{lead}</p>\n{all}</main>"))
}

fn letter(letter: &Kept) -> String {
    format!(
        "<article class=\"letter\">\n<h2>{}</h2>\n<p class=\"type\">to {}, from {}, at {}</p>\n<div class=\"text\">{}</div>\n</article>\n",
        escape(&letter.subject),
        escape(&letter.to),
        escape(&letter.from),
        escape(&letter.at),
        linked(&letter.text),
    )
}

/// Text whose addresses can be followed. Only what stands alone on its line is one: names in a letter never do.
fn linked(text: &str) -> String {
    let line = |line: &str| {
        let safe = escape(line);
        let is_address = ["http://", "https://"].iter().any(|scheme| line.starts_with(scheme)) && !line.contains(' ');
        if is_address { format!("<a href=\"{safe}\" rel=\"noreferrer\">{safe}</a>") } else { safe }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_text_and_its_address_a_link() {
        let kept = Kept {
            at: "2026-11-28T01:00:00Z".into(),
            from: "Insula <no-reply@insula.test>".into(),
            to: "<script>alert(1)</script> <eve@example.com>".into(),
            subject: "Invitation to <b>Acme</b> & Co".into(),
            text: "Hello \"Eve\",\n\nhttp://acme.test/accept#t\"onclick=x\njavascript:alert(1)\n".into(),
        };
        let page = letters(&[kept]);
        assert!(!page.contains("<script") && !page.contains("<b>Acme"), "{page}");
        assert!(page.contains("<a href=\"http://acme.test/accept#t&quot;onclick=x\""), "{page}");
        assert!(!page.contains("href=\"javascript"), "{page}");
    }
}
