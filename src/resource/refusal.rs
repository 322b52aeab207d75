//! What a refusal of PostgreSQL means for the fields of a request.

use super::body::pointer;
use crate::db::Failure;
use crate::error::{Error, Kind};
use crate::pack::Catalog;

/// Names the fields and gives the sentence that the constraint's comment holds; never a constraint, table or schema.
pub fn explain(catalog: &Catalog, failure: Failure) -> Error {
    let known = failure.constraint.as_deref().and_then(|name| catalog.constraint(name));
    let mut fields: Vec<String> = known.map(|constraint| constraint.fields.clone()).unwrap_or_default();
    fields.extend(failure.column.as_deref().map(str::to_owned));
    let sentence = known.and_then(|constraint| constraint.sentence.as_deref());
    let (kind, code, detail) = match failure.code() {
        "23505" | "23P01" => (Kind::Conflict, "already_used", sentence.unwrap_or("is already used").to_owned()),
        "23503" if is_still_used(&failure) => {
            return Error::conflict(still_used(sentence)).context(&failure.message);
        }
        "23503" => (
            Kind::Conflict,
            "unknown_reference",
            first_side(sentence).unwrap_or("does not name an existing record").to_owned(),
        ),
        "21000" => {
            let message = "Two rows of the body are about the same record.";
            return Error::conflict(message).context(&failure.message);
        }
        "23502" => (Kind::Invalid, "required", "is required".to_owned()),
        "23514" => (Kind::Invalid, "invalid_value", sentence.unwrap_or("is not acceptable").to_owned()),
        // An index holds no more than a third of a page.
        "54000" if !fields.is_empty() => (Kind::Invalid, "too_long", "is too long".to_owned()),
        state if state.starts_with("AP") && failure.column.is_some() => return domain(&failure),
        _ => return failure.into(),
    };
    let error = match kind {
        Kind::Conflict => Error::conflict(sentence_about(&fields, &detail)),
        _ => Error::validation(),
    };
    let error = fields.iter().fold(error, |error, field| error.field(pointer(field), code, detail.clone()));
    let error =
        if fields.is_empty() && kind == Kind::Invalid { Error::validation_message(capital(&detail)) } else { error };
    error.context(format!("sqlstate={} {}", failure.code(), failure.message))
}

/// A refusal of a value that only PostgreSQL can judge, such as an interval or a text search query: it is about the
/// parameters of the query.
pub fn unfit(failure: &Failure, judged: &[String]) -> Option<Error> {
    // The type lacks the operator, or has several: which ones a rare type has, only PostgreSQL knows.
    let no_operator = ["42883", "42725", "42P18"].contains(&failure.code());
    let about_a_value = failure.code().starts_with("22") || failure.code() == "42601" || no_operator;
    if judged.is_empty() || !about_a_value {
        return None;
    }
    let error = Error::malformed("The query is not valid.").context(format!("sqlstate={}", failure.code()));
    Some(
        judged.iter().fold(error, |error, column| {
            error.parameter(column, "invalid_value", "does not fit the type of the column")
        }),
    )
}

/// A domain error that names its field. About a value the pack's text is a phrase, otherwise a sentence.
fn domain(failure: &Failure) -> Error {
    let field = failure.column.as_deref().unwrap_or_default();
    let code = failure.detail.clone().unwrap_or_else(|| "refused".to_owned());
    let error = match failure.code() {
        "AP409" => Error::new(Kind::Conflict, code.clone(), failure.message.clone()),
        "AP403" => Error::new(Kind::Forbidden, code.clone(), failure.message.clone()),
        _ => Error::validation(),
    };
    error.field(pointer(field), code, failure.message.clone())
}

/// A foreign key refuses from two sides: the row points nowhere, or other rows still point to it.
fn is_still_used(failure: &Failure) -> bool {
    failure.message.starts_with("update or delete")
}

/// The comment of a foreign key is `<sentence of the pointing side> | <sentence of the other side>`.
fn first_side(sentence: Option<&str>) -> Option<&str> {
    sentence.map(|text| text.split('|').next().unwrap_or(text).trim())
}

fn still_used(sentence: Option<&str>) -> String {
    let side = sentence
        .and_then(|text| text.split_once('|'))
        .map_or("is still used by other records", |(_, side)| side.trim());
    format!("This record {side}.")
}

fn sentence_about(fields: &[String], detail: &str) -> String {
    match fields {
        [] => capital(detail),
        _ => format!("{} {detail}.", fields.join(", ")),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
