//! What the types of PostgreSQL and of manifests are to a caller.

use super::catalog::Kind;

/// Of a column, by the category and the name of its type.
pub(super) fn column_kind(category: &str, sql_type: &str) -> Kind {
    let bare = sql_type.split('(').next().unwrap_or_default();
    match (category, bare) {
        ("A", _) => Kind::Array,
        (_, "uuid") => Kind::Uuid,
        (_, "smallint" | "integer" | "bigint") => Kind::Integer,
        (_, "numeric") => Kind::Numeric,
        (_, "boolean") => Kind::Boolean,
        (_, "date") => Kind::Date,
        (_, "timestamp with time zone") => Kind::Timestamp,
        (_, "json" | "jsonb") => Kind::Json,
        (_, "daterange") => Kind::DateRange,
        (_, "int4range") => Kind::IntegerRange,
        (_, "numrange") => Kind::NumericRange,
        (_, "time without time zone") => Kind::Time,
        ("S", _) => Kind::Text,
        _ => Kind::Other,
    }
}

/// Of an input, by its name in a manifest.
pub(super) fn input_kind(name: &str) -> Kind {
    match name {
        "uuid" => Kind::Uuid,
        "int" => Kind::Integer,
        "numeric" => Kind::Numeric,
        "bool" => Kind::Boolean,
        "date" => Kind::Date,
        "timestamptz" => Kind::Timestamp,
        "jsonb" => Kind::Json,
        _ => Kind::Text,
    }
}
