//! The template schema: all packs at their newest version, from which the catalogue is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use tokio_postgres::types::Json;

use super::catalog::{Action, Catalog, Column, Constraint, Input, Reference, Resource};
use super::check::{Complaint, did_you_mean, reserved_column};
use super::job::job;
use super::kind::{column_kind, input_kind};
use super::manifest::{ActionEntry, MakerEntry, Method, ResourceEntry};
use super::report::report;
use super::source::{Pack, Packs};
use super::{kept, lagging};
use crate::db::{Database, Failure, Lock, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;

const SCHEMA: &str = "insula_template";
const CHECK_SCHEMA: &str = "insula_pack_check";
const LOCK: i64 = Lock::Template.key();
/// Tables, views, functions and constraints of the schema $1, as one document.
pub(super) const INTROSPECT: &str = include_str!("introspect.sql");

/// Columns that the service keeps.
const KEPT: [&str; 5] = ["id", "created_at", "created_by", "updated_at", "row_version"];

/// Builds the template schema when the packs changed since the last start, and reads the catalogue from it.
///
/// Everything happens in one transaction: another process sees the old template or the new one.
pub async fn load_catalog(database: &Database, packs: Packs) -> Result<Catalog> {
    let fingerprint = kept::fingerprint(&packs);
    let mut tx = database.control().await?.begin().await?;
    let shape = match kept::find(&mut tx, SCHEMA, &fingerprint).await? {
        Some(shape) => shape,
        None => rebuild(&mut tx, &packs, &fingerprint).await?,
    };
    tx.commit().await?;
    assemble(packs, &shape).map_err(Complaint::refuse)
}

async fn rebuild(tx: &mut Transaction, packs: &Packs, fingerprint: &str) -> Result<Shape> {
    tx.query("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    tx.batch(&format!("drop schema if exists {SCHEMA} cascade")).await?;
    let built = build(tx, SCHEMA, packs, Pack::version).await?;
    built.map_err(|complaint| Complaint::refuse(vec![complaint]))?;
    let shape = kept::keep(tx, SCHEMA, fingerprint).await?;
    if lagging::of_strangers(packs) {
        let complaints = lagging::check(tx, packs, &shape).await?;
        if !complaints.is_empty() {
            return Err(Complaint::refuse(complaints));
        }
    }
    Ok(shape)
}

/// What is wrong with packs as PostgreSQL sees them. Nothing of it stays.
pub async fn check_catalog(database: &Database, packs: Packs) -> Result<Vec<Complaint>> {
    let mut tx = database.control().await?.begin().await?;
    let found = match build(&mut tx, CHECK_SCHEMA, &packs, Pack::version).await? {
        Err(complaint) => vec![complaint],
        Ok(()) => {
            let shape = read(&mut tx, CHECK_SCHEMA).await?;
            match assemble(packs.clone(), &shape) {
                Err(complaints) => complaints,
                Ok(_) if lagging::of_strangers(&packs) || packs.iter().all(Pack::is_built_in) => {
                    lagging::check(&mut tx, &packs, &shape).await?
                }
                Ok(_) => Vec::new(),
            }
        }
    };
    tx.rollback().await?;
    Ok(found)
}

/// Every pack up to a version.
pub(super) async fn build(
    tx: &mut Transaction,
    schema: &str,
    packs: &Packs,
    version: fn(&Pack) -> i32,
) -> Result<Result<(), Complaint>> {
    tx.batch(&format!("create schema {schema}; set local search_path = {schema}, insula, pg_temp")).await?;
    for pack in packs.iter() {
        for file in pack.files.iter().take(usize::try_from(version(pack)).unwrap_or(0)) {
            if let Err(failure) = tx.batch(&file.in_transaction()).await {
                return refused(failure, |failure| Complaint::in_sql(pack, &file.name, &file.sql, failure));
            }
        }
        for (word, sql) in manifest_sql(pack) {
            if let Err(failure) = tx.batch(&sql).await {
                let why = format!("PostgreSQL refuses it: {}", failure.message);
                return refused(failure, |_| Complaint::in_manifest(pack, &word, why));
            }
        }
    }
    Ok(Ok(()))
}

/// A lost connection is no fault of the pack.
fn refused(failure: Failure, complain: impl FnOnce(&Failure) -> Complaint) -> Result<Result<(), Complaint>> {
    if failure.is_connection() { Err(failure.into()) } else { Ok(Err(complain(&failure))) }
}

/// The SQL inside a manifest, with the word that names its line: what tenants get as policies and grants.
fn manifest_sql(pack: &Pack) -> Vec<(String, String)> {
    let scopes = pack.manifest.resource.iter().filter_map(|(name, entry)| {
        let scope = entry.scope.as_ref()?;
        let sql = format!("create policy scope on {} using ({scope}) with check ({scope})", entry.table);
        Some((format!("[resource.{name}]"), sql))
    });
    let functions = pack
        .manifest
        .execute
        .iter()
        .map(|signature| (signature.clone(), format!("revoke execute on function {signature} from public")));
    scopes.chain(functions).collect()
}

/// What PostgreSQL knows of the template.
#[derive(Deserialize)]
pub(super) struct Shape {
    pub(super) relations: HashMap<String, Relation>,
    pub(super) functions: Vec<Function>,
    constraints: HashMap<String, ConstraintShape>,
}

#[derive(Deserialize)]
pub(super) struct Relation {
    pub(super) columns: Vec<ColumnShape>,
    unique: Vec<Vec<String>>,
    references: Vec<ReferenceShape>,
}

#[derive(Deserialize)]
struct ReferenceShape {
    target: String,
    columns: Vec<(String, String)>,
}

#[derive(Deserialize)]
pub(super) struct ColumnShape {
    pub(super) name: String,
    pub(super) r#type: String,
    category: String,
    nullable: bool,
    required: bool,
    defaulted: bool,
    generated: bool,
    choices: Vec<String>,
    longest: Option<u32>,
    comment: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    /// Types of the arguments.
    pub(super) arguments: String,
    /// Names of the arguments.
    pub(super) names: Vec<String>,
    /// How many of the last arguments have a default.
    pub(super) optional: usize,
    /// Columns of the table that it returns.
    pub(super) columns: Vec<ColumnShape>,
    pub(super) result: String,
}

#[derive(Deserialize)]
struct ConstraintShape {
    fields: Vec<String>,
    sentence: Option<String>,
}

pub(super) async fn read(tx: &mut Transaction, schema: &str) -> Result<Shape> {
    let rows = tx.query(INTROSPECT, &[&schema]).await?;
    let document = rows.first().map(|row| row.get::<_, Json<Shape>>(0).0);
    document.ok_or_else(|| Error::internal("the template schema is missing"))
}

pub(super) fn assemble(packs: Packs, shape: &Shape) -> Result<Catalog, Vec<Complaint>> {
    let mut complaints = Vec::new();
    let (mut resources, mut reports) = (HashMap::new(), HashMap::new());
    for pack in packs.iter() {
        for (name, entry) in &pack.manifest.resource {
            match resource(pack, name, entry, shape) {
                Ok(resource) => drop(resources.insert(name.clone(), Arc::new(resource))),
                Err(found) => complaints.extend(found),
            }
        }
        for (name, entry) in &pack.manifest.report {
            match report(pack, name, entry, shape) {
                Ok(report) => drop(reports.insert(name.clone(), Arc::new(report))),
                Err(complaint) => complaints.push(complaint),
            }
        }
    }
    for pack in packs.iter() {
        let unknown = pack.manifest.select.iter().filter_map(|name| relation(pack, "", name, shape).err());
        complaints.extend(unknown);
        let fleeting = pack.manifest.fleeting.iter();
        complaints.extend(fleeting.filter_map(|name| relation(pack, "", name, shape).err()));
        complaints.extend(pack.manifest.unaudited.iter().filter_map(|name| unaudited(pack, name, shape).err()));
    }
    let mut jobs = Vec::new();
    for (pack, name, entry) in packs.iter().flat_map(|pack| pack.manifest.job.iter().map(move |(n, e)| (pack, n, e))) {
        match job(pack, name, entry, shape) {
            Ok(job) => jobs.push(job),
            Err(complaint) => complaints.push(complaint),
        }
    }
    if !complaints.is_empty() {
        return Err(complaints);
    }
    let constraint =
        |shape: &ConstraintShape| Constraint { fields: shape.fields.clone(), sentence: shape.sentence.clone() };
    let constraints = shape.constraints.iter().map(|(name, shape)| (name.clone(), constraint(shape))).collect();
    let mut by_name: Vec<&Arc<Resource>> = resources.values().collect();
    by_name.sort_unstable_by(|one, other| other.name.cmp(&one.name));
    let tables = by_name.into_iter().map(|resource| (resource.table.clone(), resource.name.clone())).collect();
    Ok(Catalog { packs, resources, tables, reports, constraints, jobs })
}

pub(super) fn relation<'a>(pack: &Pack, header: &str, name: &str, shape: &'a Shape) -> Result<&'a Relation, Complaint> {
    shape.relations.get(name).ok_or_else(|| {
        let known: Vec<String> = shape.relations.keys().cloned().collect();
        let why = format!("there is no table or view `{name}`{}", did_you_mean(name, &known));
        Complaint::in_section(pack, header, name, why)
    })
}

fn unaudited(pack: &Pack, name: &str, shape: &Shape) -> Result<(), Complaint> {
    let (table, column) = name.split_once('.').map_or((name, None), |(table, column)| (table, Some(column)));
    let known: Vec<String> =
        relation(pack, "", table, shape)?.columns.iter().map(|column| column.name.clone()).collect();
    match column.filter(|column| !known.iter().any(|name| name == column)) {
        None => Ok(()),
        Some(column) => {
            let why = format!("`{table}` has no column `{column}`{}", did_you_mean(column, &known));
            Err(Complaint::in_section(pack, "", name, why))
        }
    }
}

fn resource(pack: &Pack, name: &str, entry: &ResourceEntry, shape: &Shape) -> Result<Resource, Vec<Complaint>> {
    let header = format!("resource.{name}");
    let relation = relation(pack, &header, &entry.table, shape).map_err(|complaint| vec![complaint])?;
    let known: Vec<String> = relation.columns.iter().map(|column| column.name.clone()).collect();
    let mentioned = entry
        .readonly
        .iter()
        .chain(&entry.hidden)
        .chain(&entry.search)
        .chain(entry.filterable.iter().flatten())
        .chain(&entry.regex)
        .chain([&entry.key]);
    let mut complaints: Vec<Complaint> = mentioned
        .filter(|column| !known.contains(column))
        .map(|column| {
            let why = format!("`{}` has no column `{column}`{}", entry.table, did_you_mean(column, &known));
            Complaint::in_section(pack, &header, column, why)
        })
        .chain(known.iter().filter_map(|column| reserved_column(pack, &header, &entry.table, column)))
        .collect();
    let mut actions = BTreeMap::new();
    for (action_name, action_entry) in &entry.action {
        match action(pack, &format!("{header}.action.{action_name}"), action_name, action_entry, shape) {
            Ok(action) => drop(actions.insert(action_name.clone(), action)),
            Err(complaint) => complaints.push(complaint),
        }
    }
    let maker = entry.create.as_ref().map(|maker| {
        let MakerEntry { function, input } = maker.clone();
        let permission = entry.permission(name, "create");
        let entry = ActionEntry { permission, public: entry.public.contains(&Method::Create), function, input };
        action(pack, &format!("{header}.create"), "create", &entry, shape)
    });
    let maker = maker.transpose().map_err(|complaint| complaints.push(complaint)).unwrap_or_default();
    if entry.create.is_some() && !entry.methods.contains(&Method::Create) {
        let why = "`methods` must name `create`, because there is a function for it".to_owned();
        complaints.push(Complaint::in_section(pack, &header, "methods", why));
    }
    if entry.if_match.is_some() && !known.iter().any(|column| column == "row_version") {
        let why = format!("`if_match` needs a column `row_version`, which `{}` has not", entry.table);
        complaints.push(Complaint::in_section(pack, &header, "if_match", why));
    }
    if !complaints.is_empty() {
        return Err(complaints);
    }
    let visible = relation.columns.iter().filter(|column| !entry.hidden.contains(&column.name));
    let columns: Vec<Column> = visible
        .filter_map(|shape| column(shape, entry.may_hold(shape)))
        .map(|column| Column { filterable: entry.may_filter(&column), ..column })
        .collect();
    let missing =
        |what: &str| vec![Complaint::in_section(pack, &header, what, format!("`{what}` is not usable as a name"))];
    let key = columns.iter().find(|column| column.name.as_str() == entry.key).cloned();
    Ok(Resource {
        name: name.to_owned(),
        module: pack.manifest.code.clone(),
        table: Ident::new(&*entry.table).map_err(|_| missing(&entry.table))?,
        key: key.ok_or_else(|| missing(&entry.key))?,
        references: references(relation, &columns),
        unique: relation.unique.iter().filter_map(|names| idents(names)).collect(),
        if_match_required: entry.if_match.is_some(),
        columns,
        methods: entry.methods.clone(),
        by_service: entry.by_service.clone(),
        public: entry.public.clone(),
        search: idents(&entry.search).unwrap_or_default(),
        scoped: entry.scope.is_some(),
        regex: idents(&entry.regex).unwrap_or_default(),
        maker,
        actions,
        permissions: ["view", "create", "edit", "delete", "report", "export"].map(|verb| entry.permission(name, verb)),
    })
}

fn idents(names: &[String]) -> Option<Vec<Ident>> {
    names.iter().map(|name| Ident::new(&**name).ok()).collect()
}

/// Foreign keys over columns that callers see.
fn references(relation: &Relation, visible: &[Column]) -> Vec<Reference> {
    let sees = |name: &str| visible.iter().any(|column| column.name.as_str() == name);
    let visible = relation.references.iter().filter(|shape| shape.columns.iter().all(|(here, _)| sees(here)));
    let read = |shape: &ReferenceShape| {
        let mut here: Vec<&String> = shape.columns.iter().map(|(here, _)| here).collect();
        here.sort_unstable();
        let unique = relation.unique.iter().any(|names| names.iter().eq(here.iter().copied()));
        let pair = |(here, there): &(String, String)| Some((Ident::new(&**here).ok()?, Ident::new(&**there).ok()?));
        let columns = shape.columns.iter().map(pair).collect::<Option<_>>()?;
        Some(Reference { target: Ident::new(&*shape.target).ok()?, columns, unique })
    };
    visible.filter_map(read).collect()
}

impl ResourceEntry {
    fn may_filter(&self, column: &Column) -> bool {
        self.filterable.as_ref().is_none_or(|names| names.iter().any(|name| name == column.name.as_str()))
    }

    fn may_hold(&self, column: &ColumnShape) -> bool {
        let writes = self.methods.iter().any(|method| !matches!(method, Method::List | Method::Get));
        writes && !column.generated && self.may_write(&column.name)
    }

    /// Whether a body may hold a column.
    pub(super) fn may_write(&self, column: &str) -> bool {
        let kept = KEPT.contains(&column);
        !kept && !self.readonly.iter().any(|name| name == column) && !self.hidden.iter().any(|name| name == column)
    }
}

fn action(pack: &Pack, header: &str, name: &str, entry: &ActionEntry, shape: &Shape) -> Result<Action, Complaint> {
    let complain = |why: String| Complaint::in_section(pack, header, &entry.function, why);
    let known: Vec<String> = shape.functions.iter().map(|function| function.name.clone()).collect();
    let function = shape.functions.iter().find(|function| function.name == entry.function).ok_or_else(|| {
        complain(format!("there is no function `{}`{}", entry.function, did_you_mean(&entry.function, &known)))
    })?;
    if function.arguments != "uuid, jsonb" || function.result != "jsonb" {
        return Err(complain(format!("function `{}` must be (uuid, jsonb) returns jsonb", entry.function)));
    }
    let input = entry.input.iter().map(|(name, kind)| {
        let bare = kind.strip_suffix('?');
        Input { name: name.clone(), kind: input_kind(bare.unwrap_or(kind)), required: bare.is_none() }
    });
    let name = Ident::new(name).map_err(|_| complain(format!("`{name}` is not the name of an action")))?;
    let function = Ident::new(&*function.name).map_err(|_| complain("the function needs a plain name".to_owned()))?;
    let (permission, public) = (entry.permission.clone(), entry.public);
    Ok(Action { name, function, permission, public, input: input.collect() })
}

pub(super) fn column(shape: &ColumnShape, writable: bool) -> Option<Column> {
    Some(Column {
        name: Ident::new(&*shape.name).ok()?,
        kind: column_kind(&shape.category, &shape.r#type),
        sql_type: shape.r#type.clone(),
        required: shape.required,
        defaulted: shape.defaulted,
        nullable: shape.nullable,
        writable,
        filterable: true,
        choices: shape.choices.clone(),
        longest: shape.longest,
        comment: shape.comment.clone(),
    })
}
