//! `pack.toml` as written.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A pack's manifest. It adds to the catalogue of PostgreSQL only what that cannot know.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Code of the pack and of the module that sells it.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// One sentence about it.
    #[serde(default)]
    pub description: String,
    /// Packs whose functions and tables it uses.
    #[serde(default)]
    pub requires: Vec<String>,
    /// The oldest version whose tables this manifest can be served from while tenants are brought up to date; the newest
    /// when it is left out.
    pub min_version: Option<i32>,
    /// Comes along with the packs that require it and is not sold.
    #[serde(default)]
    pub hidden: bool,
    /// Signatures of functions besides actions that the tenant's role may call, for example in row scopes.
    #[serde(default)]
    pub execute: Vec<String>,
    /// Tables and views that the tenant's role may read though no resource shows them.
    #[serde(default)]
    pub select: Vec<String>,
    /// Tables whose changes are not entered in the audit, and columns, as `table.column`, whose change alone is no entry.
    #[serde(default)]
    pub unaudited: Vec<String>,
    /// Tables of the moment, such as sessions: no backup and no copy of a tenant holds their rows.
    #[serde(default)]
    pub fleeting: Vec<String>,
    /// Resources by their name in URLs.
    #[serde(default)]
    pub resource: BTreeMap<String, ResourceEntry>,
    /// Reports by their name in URLs.
    #[serde(default)]
    pub report: BTreeMap<String, ReportEntry>,
    /// What the service does by itself, by name.
    #[serde(default)]
    pub job: BTreeMap<String, JobEntry>,
    /// Permission codes that nothing else names, with a sentence each.
    #[serde(default)]
    pub permission: BTreeMap<String, String>,
    /// Role templates by code.
    #[serde(default)]
    pub role: BTreeMap<String, RoleEntry>,
}

/// A table or view behind `/api/v1/<resource>`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceEntry {
    /// Table or view.
    pub table: String,
    /// SQL that names a row for people.
    pub label: Option<String>,
    /// Columns that `q=` searches.
    #[serde(default)]
    pub search: Vec<String>,
    /// Columns that no body may hold.
    #[serde(default)]
    pub readonly: Vec<String>,
    /// Columns that nobody sees.
    #[serde(default)]
    pub hidden: Vec<String>,
    /// Columns by which lists may be filtered and sorted; all visible ones when it is left out.
    pub filterable: Option<Vec<String>>,
    /// Columns that may be matched against regular expressions.
    #[serde(default)]
    pub regex: Vec<String>,
    /// What may be done: list, get, create, update, delete.
    #[serde(default = "all_methods")]
    pub methods: Vec<Method>,
    /// Those of them that the service carries out itself: no statement on the table does, and no right to one is given.
    #[serde(default)]
    pub by_service: Vec<Method>,
    /// Those of list, get and create that need no sign-in, at the tenant's address.
    #[serde(default)]
    pub public: Vec<Method>,
    /// Column that names a row in URLs.
    #[serde(default = "id")]
    pub key: String,
    /// Boolean SQL over a row: which rows a user sees and may write. Becomes the row security policy.
    pub scope: Option<String>,
    /// Whether changes must name the version that they are about: `"required"`.
    pub if_match: Option<String>,
    /// Permission codes where they are not `<resource>.<verb>`.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// What makes a row, where that is more than writing one.
    pub create: Option<MakerEntry>,
    /// Actions by name.
    #[serde(default)]
    pub action: BTreeMap<String, ActionEntry>,
}

/// A way to reach a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// `GET /api/v1/<resource>`
    List,
    /// `GET /api/v1/<resource>/{id}`
    Get,
    /// `POST /api/v1/<resource>`
    Create,
    /// `PATCH /api/v1/<resource>/{id}`
    Update,
    /// `DELETE /api/v1/<resource>/{id}`
    Delete,
}

/// `POST /api/v1/<resource>/{id}/actions/<name>`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionEntry {
    /// Who may.
    pub permission: String,
    /// Whether it needs no sign-in, at the tenant's address.
    #[serde(default)]
    pub public: bool,
    /// SQL function `(id uuid, input jsonb) returns jsonb`.
    pub function: String,
    /// Fields of the body and their types; `?` marks an optional one.
    #[serde(default)]
    pub input: BTreeMap<String, String>,
}

/// `POST /api/v1/<resource>` by a function.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakerEntry {
    /// SQL function `(id uuid, input jsonb) returns jsonb` that makes the row of this key.
    pub function: String,
    /// Fields of the body and their types; `?` marks an optional one.
    #[serde(default)]
    pub input: BTreeMap<String, String>,
}

/// `GET /api/v1/reports/<name>`: a view, or a function that takes parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportEntry {
    /// The view.
    pub view: Option<String>,
    /// SQL function that returns a table. A parameter `from` is its argument `p_from`.
    pub function: Option<String>,
    /// Parameters of the function and their types; `?` marks an optional one.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Who may.
    pub permission: String,
    /// Whether it needs no sign-in, at the tenant's address.
    #[serde(default)]
    pub public: bool,
}

/// What the service does by itself in every tenant whose module is on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobEntry {
    /// SQL function `() returns int` or `bigint`: what it did, as a number. It is run again after a failure, and two runs may
    /// meet, so it does only what is still to be done.
    pub function: String,
    /// How often: `5 minutes`, `1 hour`, `1 day`.
    pub every: String,
}

/// A role that every tenant gets with the pack; packs add to roles of the same code.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleEntry {
    /// Name for people.
    pub name: String,
    /// Permission codes, `<family>.*`, or `*`.
    pub grants: Vec<String>,
}

fn all_methods() -> Vec<Method> {
    vec![Method::List, Method::Get, Method::Create, Method::Update, Method::Delete]
}

fn id() -> String {
    "id".to_owned()
}
