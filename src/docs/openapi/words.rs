//! The document's prose.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Reader;
use crate::pack::Catalog;

pub const ACCOUNT: &str = "Account";
pub const BACKUPS: &str = "Copies";
pub const FLEET: &str = "Fleet";
pub const METADATA: &str = "Metadata";
pub const OPERATORS: &str = "Operators";
pub const TENANTS: &str = "Tenants";

/// Headers of answers.
pub const HEADERS: [(&str, &str); 13] = [
    ("Allow", "Methods that there are."),
    ("Content-Disposition", "A file name for the export."),
    ("ETag", "The version of what was answered, for If-Match and If-None-Match."),
    ("Idempotent-Replayed", "`true` when the answer is the one that was given to the same key before."),
    ("Insula-Impersonated-By", "The operator of the platform who works as the user, by his address."),
    ("Link", "The next page, with `rel=\"next\"`."),
    ("Location", "Where the new resource is."),
    ("Preference-Applied", "The preferences that were honoured."),
    ("RateLimit", "What remains: `\"tenant\";r=42;t=13` is 42 requests in the next 13 seconds."),
    ("RateLimit-Policy", "The limits: `\"tenant\";q=600;w=60` is 600 requests in 60 seconds."),
    ("Retry-After", "Seconds after which the same request may succeed."),
    ("WWW-Authenticate", "`Bearer`"),
    ("X-Request-Id", "The request's id, the caller's own or a new one."),
];

/// What a problem's status means, and for whom.
pub const PROBLEMS: [(u16, &str); 16] = [
    (400, "The request cannot be understood."),
    (401, "No access token, or one that is not accepted."),
    (403, "No right, a module that is not enabled, or another account."),
    (404, "Nothing here, or nothing that the caller may see."),
    (405, "This method does not exist here."),
    (406, "None of the accepted content types can be answered."),
    (409, "A contradiction to the present state."),
    (412, "The row has changed since it was read."),
    (413, "The body is too large."),
    (415, "The body's content type is not read here."),
    (422, "Values are refused; `errors` names each."),
    (428, "If-Match is needed here."),
    (429, "Too many requests."),
    (500, "A fault of ours."),
    (503, "Not available right now."),
    (504, "This took too long and was stopped."),
];

/// The document's title.
pub fn title(reader: &Reader) -> &'static str {
    match reader {
        Reader::StaffVisitor | Reader::Operator(_) => "Insula API for operators",
        _ => "Insula API",
    }
}

/// The document's first page.
pub fn introduction(reader: &Reader) -> String {
    let begin = match reader {
        Reader::User(_) => "Everything that your role may call in the modules of your account.",
        Reader::Operator(_) => "Everything that your role may call.",
        _ => {
            "What anybody may call. Sign in, and ask for this document with your access token: it then describes everything that your role may do."
        }
    };
    match reader {
        Reader::User(_) => format!("{begin}\n\n{GRAMMAR}\n\n{HABITS}"),
        _ => format!("{begin}\n\n{HABITS}"),
    }
}

const GRAMMAR: &str = "\
**Filtering.** Every column is a query parameter: `?state=eq.active&amount=gte.1000`. Operators are `eq neq gt gte lt lte like ilike in is \
isdistinct cs cd ov fts plfts phfts wfts`; `not.` before one turns it round, `like(any).{O*,P*}` tries several values, `or=(…)` and `and=(…)` \
combine and nest. Values with `, . : * ( )` or a double quote stand in double quotes.

**Choosing and embedding.** `select=id,title,contact:contacts(first_name)` gives these columns and rows that belong to each; \
`contact.first_name=eq.Nina`, `activities.order=due_at` and `activities.limit=3` are about embedded rows, `contacts!inner(…)` drops rows without \
any. `select=stage_id,count(),total:amount.sum()` groups.

**Paging and counting.** A list says `has_more` and `next_cursor`; send it as `cursor` with the same query. `Prefer: count=exact` fills \
`total_count`.

**Writing.** PATCH is a merge patch (RFC 7396). `Prefer: resolution=merge-duplicates` with `on_conflict=` makes POST an upsert. Send `If-Match` so \
as not to overwrite somebody else's change, and an `Idempotency-Key` so that a repeated request has its effect once.";

const HABITS: &str = "\
**Values.** Keys are UUIDs, times RFC 3339 in UTC, exact decimals strings.

**Errors.** RFC 9457 `application/problem+json` with a stable `code`, the fields at fault and what to do; `type` is the address of a page about it.";

/// Groups, in the order of the catalogue.
pub fn tags<'a>(catalog: &Catalog, used: impl Iterator<Item = &'a str>) -> Vec<Value> {
    let used: BTreeSet<&str> = used.collect();
    let modules = catalog.packs().iter().map(|pack| (pack.manifest.name.as_str(), pack.manifest.description.as_str()));
    let own = [
        (ACCOUNT, "Signing in, and what the caller is and has."),
        (OPERATORS, "Staff of the platform."),
        (TENANTS, "Customers and their modules."),
        (BACKUPS, "Backups, restores and clones of customers, and how far they have come."),
        (FLEET, "All customers at once, brought up to date."),
        (METADATA, "The API about itself."),
    ];
    let all = own[..5].iter().copied().chain(modules).chain(own[5..].iter().copied());
    all.filter(|(name, _)| used.contains(name))
        .map(|(name, text)| match text {
            "" => json!({ "name": name }),
            text => json!({ "name": name, "description": text }),
        })
        .collect()
}

/// Where a path stands in the document: sign-in first, then one resource after the other, what is about the API last.
pub fn rank(path: &str) -> (u8, &str) {
    let below = path.strip_prefix("/api/v1/").map(|rest| rest.split('/').next().unwrap_or_default());
    match (path, below) {
        (_, Some("auth")) => (0, ""),
        (_, Some("signup" | "me" | "modules")) => (1, ""),
        (_, Some("reports")) => (3, ""),
        (_, Some(resource)) => (2, resource),
        ("/api/v1", None) => (4, ""),
        (_, None) => (5, ""),
    }
}
