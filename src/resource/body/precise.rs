//! Numbers that JSON's readers would round in silence.

/// Significant digits that every 64-bit float keeps.
const DIGITS: usize = 15;

/// Whether every number of a JSON text survives being read: a whole number of 64 bits, or one of at most 15
/// significant digits. The text is known to be JSON.
pub fn precise(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let end = match byte {
            b'"' => at + string(&json[at..]),
            b'-' | b'0'..=b'9' => at + json[at..].iter().take_while(|byte| b"+-.eE0123456789".contains(byte)).count(),
            _ => at + 1,
        };
        if byte != b'"' && end > at + DIGITS && !survives(&json[at..end]) {
            return false;
        }
        at = end;
    }
    true
}

/// The length of a string with its quotes.
fn string(json: &[u8]) -> usize {
    let mut escaped = false;
    let inside = json[1..].iter().take_while(|&&byte| {
        let goes_on = escaped || byte != b'"';
        escaped = byte == b'\\' && !escaped;
        goes_on
    });
    inside.count() + 2
}

fn survives(number: &[u8]) -> bool {
    let text = String::from_utf8_lossy(number);
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() || digits.trim_matches('0').len() <= DIGITS
}

#[cfg(test)]
mod tests {
    use super::precise;

    #[test]
    fn a_number_that_would_be_rounded_is_seen_and_nothing_else_is() {
        for good in [
            r#"{"a": 123456789012.345, "b": "1234567890.1234567890", "c\"1234567890.1234567890": 1}"#,
            "[9007199254740993, -9223372036854775808, 0.000000000000000000001, 100000000000000000000000, 1e300]",
            "",
            r#""\\""#,
        ] {
            assert!(precise(good.as_bytes()), "{good}");
        }
        for bad in [
            "[0.1000000000000000055]",
            r#"{"a\\": 100000000000000000000001}"#,
            "1234567890.1234567",
            "-1.0000000000000001e5",
        ] {
            assert!(!precise(bad.as_bytes()), "{bad}");
        }
    }
}
