//! Parameters: the grammar of queries, and headers.

use serde_json::{Value, json};

use super::components::{Components, parameter};
use crate::pack::{Column, Kind};

/// Shared parameters by name.
pub fn parameters() -> Vec<(&'static str, Value)> {
    let query = |name: &str, text: &str, schema: Value| json!({ "name": name, "in": "query", "description": text, "schema": schema });
    let header = |name: &str, text: &str, examples: &[&str]| json!({ "name": name, "in": "header", "description": text, "schema": { "type": "string", "examples": examples } });
    let prefer = |text: &str, example: &str| {
        header("Prefer", &format!("RFC 7240: {text} What was honoured stands in `Preference-Applied`."), &[example])
    };
    let text = |example: &str| json!({ "type": "string", "examples": [example] });
    let group = || json!({ "type": "string", "pattern": r"^\(.*\)$", "examples": ["(id.not.is.null,id.is.null)"] });
    vec![
        (
            "select",
            query(
                "select",
                "Columns, `alias:column`, embedded rows `relation(columns)`, aggregates `count()` and `column.sum()`. Default: all columns.",
                text("*"),
            ),
        ),
        (
            "order",
            query(
                "order",
                "Sort columns, each with `.asc` or `.desc` and `.nullsfirst` or `.nullslast`.",
                text("id.desc"),
            ),
        ),
        (
            "limit",
            query("limit", "Rows at most.", json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 50 })),
        ),
        (
            "cursor",
            query(
                "cursor",
                "`next_cursor` of the page before; only with the same filters and order.",
                json!({ "type": "string" }),
            ),
        ),
        ("q", query("q", "Searches the resource's search columns.", json!({ "type": "string", "minLength": 1 }))),
        ("and", query("and", "Conditions that must all hold: `(amount.gte.10,amount.lt.20)`. They nest.", group())),
        (
            "or",
            query("or", "Conditions of which one must hold: `(owner_id.is.null,amount.gt.10)`. They nest.", group()),
        ),
        ("not.and", query("not.and", "Conditions that must not all hold.", group())),
        ("not.or", query("not.or", "Conditions of which none may hold.", group())),
        (
            "format",
            query(
                "format",
                "The same as an `Accept` header, for links.",
                json!({ "type": "string", "enum": ["csv", "ndjson", "xlsx"] }),
            ),
        ),
        (
            "columns",
            query("columns", "The columns to write; others in the rows are ignored.", json!({ "type": "string" })),
        ),
        (
            "on_conflict",
            query(
                "on_conflict",
                "Columns of a unique constraint; with `Prefer: resolution=…`.",
                json!({ "type": "string" }),
            ),
        ),
        (
            "Prefer.list",
            prefer("`count=exact|planned|estimated` fills `total_count`; `handling=strict|lenient`.", "count=exact"),
        ),
        (
            "Prefer.create",
            prefer(
                "`return=representation|minimal|headers-only`, `resolution=merge-duplicates|ignore-duplicates` with `on_conflict`, `missing=default`, `tx=rollback` (a dry run), `handling=strict|lenient`, `respond-async`.",
                "return=representation",
            ),
        ),
        (
            "Prefer.row",
            prefer(
                "`return=representation|minimal|headers-only`, `tx=rollback` (a dry run), `handling=strict|lenient`.",
                "return=representation",
            ),
        ),
        (
            "Prefer.many",
            prefer(
                "`handling=strict, max-affected=N` is needed here; also `return=representation|minimal|headers-only`, `tx=rollback` (a dry run).",
                "handling=strict, max-affected=1",
            ),
        ),
        (
            "If-Match",
            header("If-Match", "The `ETag` of the row that was read; 412 when it has changed since.", &["\"v1\""]),
        ),
        (
            "If-None-Match",
            header("If-None-Match", "The `ETag` that is already here; 304 when it is still the same.", &["\"v1\""]),
        ),
        (
            "Idempotency-Key",
            header(
                "Idempotency-Key",
                "Any unique text. The same request with the same key has its effect once and the same answer for 24 hours.",
                &["6f1c2f0a-order-4711"],
            ),
        ),
        (
            "X-Request-Id",
            header(
                "X-Request-Id",
                "An id of your own for this request, up to 64 letters, digits, `-`, `_`, `.`; it comes back in the answer and in our logs.",
                &["trace-7"],
            ),
        ),
        ("X-Tenant-Subdomain", header("X-Tenant-Subdomain", "Names the account, where the host does not.", &["acme"])),
    ]
}

/// Whether a column can be filtered on.
fn filterable(column: &Column) -> bool {
    column.kind != Kind::Json
}

/// One query parameter per filterable column.
pub fn of_columns(columns: &[Column], components: &mut Components) -> Vec<Value> {
    let filter = |column: &Column| {
        let (kind, conditions, example) = words(column.kind);
        let (name, shared) = (column.name.as_str(), format!("{}.{kind}", column.name.as_str()));
        let value = json!({
            "name": name, "in": "query", "x-condition": kind, "description": format!("A condition such as {conditions}."),
            "schema": { "type": "string", "pattern": r"^(not\.)*[a-z]+(\((any|all)\))?\.", "examples": [example] },
        });
        components.add("parameters", &shared, value);
        parameter(&shared)
    };
    columns.iter().filter(|column| filterable(column)).map(filter).collect()
}

/// A kind's name in references, conditions that fit, and one of them.
fn words(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Uuid => ("uuid", "`eq.…`, `in.(…)`, `is.null`", "eq.019b1ee5-1561-7c5d-8ee7-0a4c7a5d7e6b"),
        Kind::Text => ("text", "`eq.text`, `ilike.*text*`, `in.(a,b)`, `is.null`", "eq.text"),
        Kind::Integer => ("integer", "`eq.1`, `gte.1`, `in.(1,2)`, `is.null`", "gte.1"),
        Kind::Numeric => ("decimal", "`gte.10.50`, `lt.100`, `is.null`", "gte.10.50"),
        Kind::Boolean => ("boolean", "`is.true`, `is.false`, `is.null`", "is.true"),
        Kind::Date => ("date", "`gte.2026-04-01`, `lt.2026-05-01`, `is.null`", "gte.2026-04-01"),
        Kind::Timestamp => ("time", "`gte.2026-04-01T00:00:00Z`, `is.null`", "gte.2026-04-01T00:00:00Z"),
        Kind::Array => ("array", "`cs.{a,b}` contains, `ov.{a,b}` overlaps, `is.null`", "is.not_null"),
        Kind::Time => ("time of day", "`gte.09:30`, `is.null`", "gte.09:30"),
        Kind::DateRange => {
            ("dates", "`cs.[2026-04-01,2026-04-01]` contains, `ov.[2026-04-01,)` overlaps", "ov.[2026-04-01,)")
        }
        Kind::IntegerRange => ("integers", "`cs.[3,3]` contains, `ov.[3,)` overlaps", "ov.[3,)"),
        Kind::NumericRange => ("decimals", "`cs.[55,55]` contains, `ov.[55.5,)` overlaps", "ov.[55.5,)"),
        Kind::Json | Kind::Other => ("other", "`eq.…`, `is.null`", "is.not_null"),
    }
}
