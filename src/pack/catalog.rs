//! The catalogue: what all packs offer, read once at start and shared, never changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::manifest::Method;
use super::source::Packs;
use crate::ident::Ident;

/// What a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reading.
    View,
    /// Making new rows.
    Create,
    /// Changing rows.
    Edit,
    /// Removing rows.
    Delete,
    /// Adding rows up: aggregates.
    Report,
    /// Taking all rows along as a file.
    Export,
}

/// The type of a column or input, as far as requests must tell types apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RFC 9562 uuid.
    Uuid,
    /// Any text.
    Text,
    /// 64-bit integer, a JSON number.
    Integer,
    /// Exact decimal, a JSON string in answers, number or string in bodies.
    Numeric,
    /// true or false.
    Boolean,
    /// ISO 8601 date.
    Date,
    /// RFC 3339 time stamp.
    Timestamp,
    /// JSON document.
    Json,
    /// Array, a JSON array.
    Array,
    /// Time of day, such as `09:30:00`.
    Time,
    /// Range of dates, such as `[2026-04-01,2027-04-01)`.
    DateRange,
    /// Range of 32-bit integers, such as `[1,6)`.
    IntegerRange,
    /// Range of decimals, such as `[50,60.5)`.
    NumericRange,
    /// Anything else, passed as text.
    Other,
}

/// A column of a resource or report.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub kind: Kind,
    /// PostgreSQL's name of the type, for casts.
    pub sql_type: String,
    /// Whether a body must hold it when a row is made: not null and without a default.
    pub required: bool,
    /// Whether PostgreSQL gives it a value when a body holds none.
    pub defaulted: bool,
    /// Whether null is allowed.
    pub nullable: bool,
    /// Whether a body may hold it.
    pub writable: bool,
    /// Whether lists may be filtered and sorted by it.
    pub filterable: bool,
    /// The values that it may have, where a check names them.
    pub choices: Vec<String>,
    /// Characters at most, where a check limits them.
    pub longest: Option<u32>,
    /// The comment on the column.
    pub comment: Option<String>,
}

/// A field of an action's input.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
}

/// An action of a resource.
#[derive(Debug, Clone)]
pub struct Action {
    /// Its name in URLs.
    pub name: Ident,
    /// The SQL function `(uuid, jsonb) returns jsonb`.
    pub function: Ident,
    /// Who may.
    pub permission: String,
    /// Whether it needs no sign-in.
    pub public: bool,
    /// Its input, by name.
    pub input: Vec<Input>,
}

/// A foreign key: rows here name rows of another table, or of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The table that is named.
    pub target: Ident,
    /// Pairs of a column here and the column there.
    pub columns: Vec<(Ident, Ident)>,
    /// Whether no two rows here name the same row.
    pub unique: bool,
}

/// A table or view behind `/api/v1/<resource>`.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its name in URLs.
    pub name: String,
    /// The pack, which is the module that must be enabled.
    pub module: String,
    /// Table or view.
    pub table: Ident,
    /// Column that names a row in URLs.
    pub key: Column,
    /// Visible columns, in the table's order.
    pub columns: Vec<Column>,
    /// What may be done.
    pub methods: Vec<Method>,
    /// What of it the service carries out itself, and no statement on the table.
    pub by_service: Vec<Method>,
    /// What of it needs no sign-in.
    pub public: Vec<Method>,
    /// Foreign keys whose columns are visible.
    pub references: Vec<Reference>,
    /// Sets of columns, sorted, of which no two rows ever have the same values, not even within a transaction.
    pub unique: Vec<Vec<Ident>>,
    /// Whether changes must name the version that they are about.
    pub if_match_required: bool,
    /// Columns that `q=` searches.
    pub search: Vec<Ident>,
    /// Columns that may be matched against regular expressions.
    pub regex: Vec<Ident>,
    /// Whether some rows are hidden from some users.
    pub scoped: bool,
    /// What makes a row, where that is more than writing one: like an action, on a key that is new.
    pub maker: Option<Action>,
    /// Actions by name.
    pub actions: BTreeMap<String, Action>,
    /// Permission codes in the order of [`Verb`].
    pub permissions: [String; 6],
}

impl Resource {
    /// The permission code for a verb.
    pub fn permission(&self, verb: Verb) -> &str {
        &self.permissions[verb as usize]
    }

    /// Whether a caller may choose the key of a row, and so make or replace the row under it.
    pub fn replaceable(&self) -> bool {
        let offered = [Method::Create, Method::Update].iter().all(|method| self.methods.contains(method));
        let others = self.columns.iter().any(|column| column.writable && column.name != self.key.name);
        offered && self.maker.is_none() && others && (self.key.kind == Kind::Uuid || self.key.writable)
    }

    /// An action by its name in URLs. `transfer-ownership` reads better in an address, `transfer_ownership` is a name in SQL.
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.get(&name.replace('-', "_"))
    }

    /// All functions that callers reach.
    pub fn functions(&self) -> impl Iterator<Item = &Ident> {
        self.actions.values().chain(&self.maker).map(|action| &action.function)
    }

    /// The key of a row given as JSON, as it stands in URLs.
    pub fn key_of(&self, row: &str) -> Option<String> {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(row).ok()?;
        match row.get(self.key.name.as_str())? {
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// The column that counts versions of a row.
    pub fn version(&self) -> Option<&Ident> {
        self.columns.iter().map(|column| &column.name).find(|name| name.as_str() == "row_version")
    }

    /// A visible column.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }
}

/// A parameter of a report.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name in URLs.
    pub name: String,
    /// The function's argument.
    pub argument: Ident,
    /// Its type.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
}

/// A view or function behind `/api/v1/reports/<name>`.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its name in URLs.
    pub name: String,
    /// The pack, which is the module that must be enabled.
    pub module: String,
    /// The view or function.
    pub relation: Ident,
    /// What the function takes, by name; none for a view.
    pub parameters: Option<Vec<Parameter>>,
    /// The types of the function's arguments, as PostgreSQL writes them.
    pub signature: String,
    /// Who may.
    pub permission: String,
    /// Whether it needs no sign-in.
    pub public: bool,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// What the service does by itself.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub name: Ident,
    /// The pack, which is the module that must be enabled.
    pub module: String,
    /// The SQL function `() returns int`.
    pub function: Ident,
    /// How often.
    pub every: Duration,
}

/// What a violated constraint means to a caller.
#[derive(Debug, Clone)]
pub struct Constraint {
    /// Fields it is about.
    pub fields: Vec<String>,
    /// The sentence from its comment.
    pub sentence: Option<String>,
}

/// What all packs offer.
pub struct Catalog {
    pub(super) packs: Packs,
    pub(super) resources: HashMap<String, Arc<Resource>>,
    pub(super) tables: BTreeMap<Ident, String>,
    pub(super) reports: HashMap<String, Arc<Report>>,
    pub(super) constraints: HashMap<String, Constraint>,
    pub(super) jobs: Vec<Job>,
}

impl Catalog {
    /// The packs themselves.
    pub fn packs(&self) -> &Packs {
        &self.packs
    }

    /// A resource by its name in URLs. `api-keys` reads better in an address, `api_keys` is a name in SQL.
    pub fn resource(&self, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(name).or_else(|| self.resources.get(&name.replace('-', "_")))
    }

    /// All resources, by name.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let sorted: BTreeMap<&String, &Arc<Resource>> = self.resources.iter().collect();
        sorted.into_values()
    }

    /// A report by its name in URLs.
    pub fn report(&self, name: &str) -> Option<&Arc<Report>> {
        self.reports.get(name)
    }

    /// All reports, by name.
    pub fn reports(&self) -> impl Iterator<Item = &Arc<Report>> {
        let sorted: BTreeMap<&String, &Arc<Report>> = self.reports.iter().collect();
        sorted.into_values()
    }

    /// The resource over a table, the first by name when there are several.
    pub fn resource_of(&self, table: &Ident) -> Option<&Arc<Resource>> {
        self.resources.get(self.tables.get(table)?)
    }

    /// What a constraint's name means.
    pub fn constraint(&self, name: &str) -> Option<&Constraint> {
        self.constraints.get(name)
    }

    /// What the service does by itself.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// What whoever has not signed in may do: the codes of all that is public, which open nothing else.
    pub fn guest_permissions(&self) -> BTreeSet<String> {
        self.packs.iter().flat_map(|pack| pack.manifest.public_permissions()).collect()
    }

    /// Every permission code of the packs.
    pub fn permissions(&self) -> BTreeSet<String> {
        self.packs.iter().flat_map(|pack| pack.manifest.permissions()).collect()
    }
}
