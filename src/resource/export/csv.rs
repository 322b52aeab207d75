//! CSV (RFC 4180): null is an empty cell, the empty text a quoted one.

use tokio_postgres::Row;

use super::Heading;
use crate::db::Failure;
use crate::pack::Kind;

/// The names of the columns.
pub fn header(out: &mut Vec<u8>, headings: &[Heading]) {
    for (at, heading) in headings.iter().enumerate() {
        separate(out, at);
        cell(out, &heading.name, false);
    }
    out.extend_from_slice(b"\r\n");
}

/// A row of values as text.
pub fn row(out: &mut Vec<u8>, headings: &[Heading], row: &Row) -> Result<(), Failure> {
    for (at, heading) in headings.iter().enumerate() {
        separate(out, at);
        match row.try_get::<_, Option<&str>>(at)? {
            None => {}
            Some(text) => match heading.kind {
                Kind::Timestamp => moment(out, text),
                Kind::Integer | Kind::Numeric | Kind::Date | Kind::Uuid | Kind::Boolean => {
                    out.extend_from_slice(text.as_bytes());
                }
                _ => cell(out, text, true),
            },
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn separate(out: &mut Vec<u8>, at: usize) {
    if at > 0 {
        out.push(b',');
    }
}

/// A text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV Injection).
fn cell(out: &mut Vec<u8>, text: &str, guarded: bool) {
    let formula = guarded && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quoted = text.is_empty() || text.bytes().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n'));
    if quoted {
        out.push(b'"');
    }
    if formula {
        out.push(b'\'');
    }
    if quoted {
        for byte in text.bytes() {
            out.extend_from_slice(if byte == b'"' { b"\"\"" } else { std::slice::from_ref(&byte) });
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// PostgreSQL's `2026-07-16 09:30:00+00` as RFC 3339; all our sessions are in UTC.
fn moment(out: &mut Vec<u8>, text: &str) {
    let utc = text.strip_suffix("+00").unwrap_or(text);
    out.extend(utc.bytes().map(|byte| if byte == b' ' { b'T' } else { byte }));
    out.extend_from_slice(if utc.len() < text.len() { b"Z" } else { b"" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        cell(&mut out, text, true);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_quoted_and_formulas_are_harmless() {
        for (text, cell) in [
            ("plain", "plain"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""),
            ("=1+1", "'=1+1"),
            ("-2", "'-2"),
            ("@x,\"", "\"'@x,\"\"\""),
            ("\tx", "'\tx"),
            ("नमस्ते", "नमस्ते"),
        ] {
            assert_eq!(written(text), cell);
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        let mut out = Vec::new();
        moment(&mut out, "2026-07-16 09:30:00.25+00");
        assert_eq!(out, b"2026-07-16T09:30:00.25Z");
    }
}
