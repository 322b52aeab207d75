//! Reading text from left to right.

use crate::error::Error;

/// Why a parameter cannot be read: a phrase about it, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    detail: String,
    hint: Option<String>,
}

/// What was read, or why it cannot be.
pub type Read<T> = Result<T, Complaint>;

impl Complaint {
    /// A complaint; `detail` completes "the parameter …".
    pub fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), hint: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The complaint as the answer to a request.
    pub fn about(self, parameter: &str) -> Error {
        let error = Error::malformed("The query is not valid.").parameter(parameter, "invalid_parameter", self.detail);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// A value as written; in double quotes nothing in it has a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The value without quotes and escapes.
    pub value: String,
    /// Whether it stood in double quotes.
    pub quoted: bool,
}

/// A place in a text.
pub struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// The beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// The next character.
    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Reads `expected` if it comes next.
    pub fn eat(&mut self, expected: &str) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Reads `expected` or complains.
    pub fn expect(&mut self, expected: &str) -> Read<()> {
        if self.eat(expected) {
            return Ok(());
        }
        let found = self.peek().map_or_else(|| "the end".to_owned(), |c| format!("`{c}`"));
        Err(Complaint::new(format!("needs `{expected}` where {found} stands")))
    }

    /// Complains unless everything was read.
    pub fn end(&self) -> Read<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Complaint::new(format!("cannot end in `{}`", self.rest))) }
    }

    /// Reads all that is left.
    pub fn take_rest(&mut self) -> &'a str {
        std::mem::take(&mut self.rest)
    }

    /// Reads as long as characters fit.
    pub fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Reads a name: letters, digits and `_`.
    pub fn name(&mut self) -> Read<&'a str> {
        match self.take_while(|c| c.is_ascii_alphanumeric() || c == '_') {
            "" => Err(Complaint::new(match self.peek() {
                Some(c) => format!("needs a name where `{c}` stands"),
                None => "ends where a name is needed".to_owned(),
            })),
            name => Ok(name),
        }
    }

    /// Reads a value up to a character of `stops`, or a value in double quotes with `\"` and `\\` inside.
    pub fn text(&mut self, stops: &[char]) -> Read<Text> {
        if !self.eat("\"") {
            let value = self.take_while(|c| !stops.contains(&c)).to_owned();
            return Ok(Text { value, quoted: false });
        }
        let mut value = String::new();
        loop {
            value.push_str(self.take_while(|c| !matches!(c, '"' | '\\')));
            if self.eat("\"") {
                return Ok(Text { value, quoted: true });
            }
            if !self.eat("\\") {
                return Err(Complaint::new("has a double quote without its end"));
            }
            let Some(escaped) = self.peek() else { continue };
            value.push(escaped);
            self.rest = &self.rest[escaped.len_utf8()..];
        }
    }

    /// Reads `{…}` as it stands, with what is nested in it; braces inside double quotes do not count.
    pub fn braced(&mut self) -> Read<&'a str> {
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        for (at, c) in self.rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '{' if !quoted => depth += 1,
                '}' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && !quoted {
                let (taken, rest) = self.rest.split_at(at + c.len_utf8());
                self.rest = rest;
                return Ok(taken);
            }
        }
        Err(Complaint::new("has a `{` without its `}`"))
    }

    /// Reads values between `open` and `close`, separated by commas.
    pub fn texts(&mut self, open: &str, close: char) -> Read<Vec<Text>> {
        self.expect(open)?;
        let mut texts = Vec::new();
        let close_text = close.encode_utf8(&mut [0; 4]).to_owned();
        if self.eat(&close_text) {
            return Ok(texts);
        }
        loop {
            texts.push(self.text(&[',', close])?);
            if self.eat(&close_text) {
                return Ok(texts);
            }
            self.expect(",").map_err(|_| Complaint::new(format!("needs `,` or `{close}` after a value")))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Read<Vec<String>> {
        Ok(Scanner::new(text).texts("(", ')')?.into_iter().map(|text| text.value).collect())
    }

    #[test]
    fn values_in_quotes_may_hold_everything() {
        assert_eq!(values(r#"(a,"b,c)","d\"e\\",)"#).unwrap(), ["a", "b,c)", r#"d"e\"#, ""]);
        assert_eq!(values("()").unwrap(), [""; 0]);
        for bad in ["", "(", "(a", r#"("a"#, r#"("a\"#, r#"("a"b)"#] {
            assert!(values(bad).is_err(), "{bad}");
        }
    }
}
