//! Which passwords are good enough: NIST SP 800-63B, section 3.1.1.2. Length counts, composition does not.
//!
//! A password is judged and hashed in the form NFKC, so that it is the same one on every keyboard.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Result};

/// Counted in code points, not bytes.
const MIN_CHARS: usize = 8;
/// Bounds what is read and copied before anything is known about the caller.
const MAX_BYTES: usize = 1024;
/// What a password must have besides words that anybody would guess, in code points.
const MIN_OWN_CHARS: usize = 6;
/// Shorter words come up inside good passwords by chance.
const MIN_WORD_CHARS: usize = 4;
/// The service itself.
const SERVICE: &str = "insula";

/// The 10,000 most frequent passwords of known leaks that are long enough, in small letters.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// The form in which a password is judged, hashed and compared (Unicode Standard Annex #15).
pub fn normal(password: &str) -> Cow<'_, str> {
    if password.is_ascii() { Cow::Borrowed(password) } else { Cow::Owned(password.nfkc().collect()) }
}

/// Refuses a new password that is too short, too long or well known.
pub fn check_alone(password: &str) -> Result<()> {
    refuse_long(password)?;
    let password = normal(password).to_lowercase();
    let mut letters = password.chars();
    if letters.clone().count() < MIN_CHARS {
        return Err(unfit("too_short", format!("must have at least {MIN_CHARS} characters")));
    }
    let first = letters.next();
    if COMMON.contains(password.as_str()) || letters.all(|letter| Some(letter) == first) {
        return Err(unfit("too_common", "is among the first that anybody would try; take one that only you know"));
    }
    Ok(())
}

/// Refuses a new password that is not good enough for an account about which everybody knows these texts: its e-mail
/// address, the names of its company.
pub fn check(password: &str, known: &[&str]) -> Result<()> {
    check_alone(password)?;
    let password = normal(password).to_lowercase();
    let known: Vec<String> = known.iter().map(|text| normal(text).to_lowercase()).collect();
    let parts = known.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    let mut words: Vec<&str> = known.iter().map(String::as_str).chain(parts).chain([SERVICE]).collect();
    words.retain(|word| word.chars().count() >= MIN_WORD_CHARS);
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let own = words.iter().fold(password.clone(), |rest, word| rest.replace(word, ""));
    if own.len() < password.len() && own.chars().count() < MIN_OWN_CHARS {
        return Err(unfit(
            "too_obvious",
            "must be more than your e-mail address or the name of your company or of ours",
        ));
    }
    Ok(())
}

/// Refuses what is too long for any password.
pub fn refuse_long(password: &str) -> Result<()> {
    if password.len() <= MAX_BYTES {
        return Ok(());
    }
    Err(unfit("too_long", format!("must have at most {MAX_BYTES} bytes")))
}

fn unfit(code: &'static str, detail: impl Into<String>) -> Error {
    Error::validation().field("#/password", code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["priya.menon@acme-traders.test", "acme-traders", "Acme Traders Ltd"];

    fn verdict(password: &str) -> String {
        let refused = check(password, &KNOWN).err();
        refused.map_or_else(|| "good".to_owned(), |error| error.faults()[0].code.to_string())
    }

    #[test]
    fn length_counts_in_characters_and_nothing_must_be_in_it() {
        for password in
            ["correct horse", "aaaaaaab", "ऩऩऩऩऩऩऩब", "  two  spaces  ", "no digit, no capital", "20250131-7"]
        {
            assert_eq!(verdict(password), "good", "{password}");
        }
        assert_eq!(verdict(&"long word ".repeat(100)), "good");
        assert_eq!(verdict("seven77"), "too_short");
        assert_eq!(verdict("ऩऩऩऩऩऩब"), "too_short");
        assert_eq!(verdict(&"xy".repeat(513)), "too_long");
    }

    #[test]
    fn what_everybody_tries_first_is_refused_in_any_case_and_width() {
        for password in
            ["password", "PassWord1", "qwertyuiop", "123456789", "iloveyou", "ｐａｓｓｗｏｒｄ", "zzzzzzzzzz"]
        {
            assert_eq!(verdict(password), "too_common", "{password}");
        }
        assert!(COMMON.iter().all(|password| password.len() >= MIN_CHARS && *password == password.to_lowercase()));
        assert_eq!(COMMON.len(), 10_000);
    }

    #[test]
    fn names_of_the_account_are_no_password() {
        let names =
            ["Priya.Menon@acme-traders.test", "priya.menon", "acme-traders", "ACME Traders", "acme2024!", "Menon12345"];
        for password in names.into_iter().chain(["insula123", "insulainsula", "acme traders ltd"]) {
            assert_eq!(verdict(password), "too_obvious", "{password}");
        }
        for password in ["acme has 7 lorries", "priya likes rain", "insulating tape"] {
            assert_eq!(verdict(password), "good", "{password}");
        }
    }
}
