//! SQL that puts a pack into a tenant's schema: its files, then rights, row security and roles from its manifest.

use std::fmt::Write;

use super::catalog::{Catalog, Column, Resource};
use super::manifest::{Manifest, Method};
use super::source::Pack;
use crate::db::Place;
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::sql::literal;

/// Makes a tenant's role and schema; run by the control role.
pub fn schema_sql(place: &Place, login: &Ident) -> String {
    let Place { schema, role, owner, .. } = place;
    format!(
        "create role {role} nologin;
         grant {role} to {login};
         create schema {schema} authorization {owner};"
    )
}

/// Everything of a pack that is not there yet, and the rights; run by the owner role with the schema in its path.
pub fn install_sql(catalog: &Catalog, pack: &Pack, place: &Place) -> Result<String> {
    let mut sql = String::new();
    for file in &pack.files {
        sql.push_str(&file.in_transaction());
        sql.push('\n');
    }
    sql.push_str(&offers_sql(pack, place, true));
    sql.push_str(&rights(catalog, pack, place)?);
    Ok(sql)
}

/// What follows the files of a new version, or of the first: the schema is open to the tenant's role, and the manifest's
/// roles are offered.
pub fn offers_sql(pack: &Pack, place: &Place, first: bool) -> String {
    let open = format!("grant usage on schema {} to {};\n", place.schema, place.role);
    open + &roles(&pack.manifest, first)
}

/// Enters all tables of a tenant's schema in its audit, but for those that a manifest excepts; run by the owner role when
/// packs were installed.
pub fn audit_sql(catalog: &Catalog) -> String {
    let names: serde_json::Map<String, serde_json::Value> =
        catalog.tables.iter().map(|(table, name)| (table.as_str().to_owned(), name.clone().into())).collect();
    let excepted = catalog.packs().iter().flat_map(|pack| &pack.manifest.unaudited);
    let excepted: Vec<String> = excepted.map(|name| literal(name)).collect();
    let names = literal(&serde_json::Value::from(names).to_string());
    format!("select sys_audit_attach({names}, array[{}]::text[]);\n", excepted.join(", "))
}

/// Lets the tenant's role work with the pack's tables again.
pub fn enable_sql(catalog: &Catalog, pack: &Pack, place: &Place) -> Result<String> {
    rights(catalog, pack, place)
}

/// Takes away every right that the tenant's role has in its schema: the start of giving those of the newest manifests,
/// so that one which a manifest no longer gives does not stay.
pub fn no_rights_sql(place: &Place) -> String {
    let Place { schema, role, .. } = place;
    format!(
        "revoke all on all tables in schema {schema} from {role};
         revoke all on all routines in schema {schema} from {role};
         "
    )
}

/// Leaves the pack's tables readable only, whatever the service above would allow.
pub fn disable_sql(pack: &Pack, place: &Place) -> Result<String> {
    let mut sql = String::new();
    for entry in pack.manifest.resource.values() {
        let table = Ident::new(&*entry.table)?;
        let _ = writeln!(sql, "revoke insert, update, delete on {table} from {};", place.role);
        let makers = entry.create.iter().map(|maker| &maker.function);
        for function in entry.action.values().map(|action| &action.function).chain(makers) {
            let function = Ident::new(&**function)?;
            let _ = writeln!(sql, "revoke execute on function {function}(uuid, jsonb) from {};", place.role);
        }
    }
    for entry in pack.manifest.job.values() {
        let function = Ident::new(&*entry.function)?;
        let _ = writeln!(sql, "revoke execute on function {function}() from {};", place.role);
    }
    Ok(sql)
}

/// The least a tenant's role needs.
fn rights(catalog: &Catalog, pack: &Pack, place: &Place) -> Result<String> {
    let (manifest, role) = (&pack.manifest, &place.role);
    let mut sql = String::new();
    for (name, entry) in &manifest.resource {
        let resource =
            catalog.resource(name).ok_or_else(|| Error::internal(format!("{name} is not in the catalogue")))?;
        let table = &resource.table;
        grant_table(&mut sql, resource, !entry.hidden.is_empty(), role);
        if let Some(scope) = &entry.scope {
            // `scope` is SQL of the pack's author, accepted by the pack check.
            let _ = writeln!(
                sql,
                "alter table {table} enable row level security;
                 drop policy if exists scope on {table};
                 create policy scope on {table} to {role} using ({scope}) with check ({scope});"
            );
        }
        for function in resource.functions() {
            let _ = writeln!(sql, "grant execute on function {function}(uuid, jsonb) to {role};");
        }
    }
    for name in manifest.report.keys() {
        let report = catalog.report(name).ok_or_else(|| Error::internal(format!("{name} is not in the catalogue")))?;
        let (relation, signature) = (&report.relation, &report.signature);
        let _ = match report.parameters {
            None => writeln!(sql, "grant select on {relation} to {role};"),
            Some(_) => writeln!(sql, "grant execute on function {relation}({signature}) to {role};"),
        };
    }
    for job in catalog.jobs().iter().filter(|job| job.module == manifest.code) {
        let _ = writeln!(sql, "grant execute on function {}() to {role};", job.function);
    }
    for view in &manifest.select {
        let _ = writeln!(sql, "grant select on {} to {role};", Ident::new(&**view)?);
    }
    for signature in &manifest.execute {
        let _ = writeln!(sql, "grant execute on function {signature} to {role};");
    }
    Ok(sql)
}

/// The catalogue knows which columns a body may hold; PostgreSQL refuses every other one too.
fn grant_table(sql: &mut String, resource: &Resource, hides: bool, role: &Ident) {
    let table = &resource.table;
    let has = |method| resource.methods.contains(&method) && !resource.by_service.contains(&method);
    let list = |columns: &mut dyn Iterator<Item = &Column>| {
        columns.map(|column| column.name.to_string()).collect::<Vec<_>>().join(", ")
    };
    let visible = list(&mut resource.columns.iter());
    let writable = list(&mut resource.columns.iter().filter(|column| column.writable));
    let _ = match hides {
        true => writeln!(sql, "grant select ({visible}) on {table} to {role};"),
        false => writeln!(sql, "grant select on {table} to {role};"),
    };
    if has(Method::Create) && resource.maker.is_none() {
        let key = |column: &&Column| resource.replaceable() && column.name == resource.key.name;
        let insertable = list(&mut resource.columns.iter().filter(|column| column.writable || key(column)));
        let _ = writeln!(sql, "grant insert ({insertable}) on {table} to {role};");
    }
    if has(Method::Update) {
        let _ = writeln!(sql, "grant update ({writable}) on {table} to {role};");
    }
    if has(Method::Delete) {
        let _ = writeln!(sql, "grant delete on {table} to {role};");
    }
}

/// Role templates become rows that the tenant may change later; packs add grants to roles of the same code.
///
/// `sys_role_offer` keeps what a pack has offered. A newer version offers only what is not there: a new grant reaches
/// the role of its code, and what the tenant took away, a whole role or a grant, does not come back. A role that the
/// tenant made under the same code is its own, and gets nothing. A tenant from
/// before that table is taken to have been offered everything.
fn roles(manifest: &Manifest, first: bool) -> String {
    let rows: Vec<String> = manifest
        .role
        .iter()
        .flat_map(|(code, role)| role.grants.iter().map(move |grant| (code, &role.name, grant)))
        .map(|(code, name, grant)| format!("({}, {}, {})", literal(code), literal(name), literal(grant)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "with template (role, name, permission) as (values {rows}),
         fresh as (
           insert into sys_role_offer (pack, role, permission) select {pack}, role, permission from template
           on conflict do nothing returning role, permission),
         offered as (
           select f.* from fresh f where {first} or exists (select from sys_role_offer where pack = {pack})),
         made as (
           insert into sys_role (code, name, from_pack)
           select distinct t.role, t.name, {pack} from template t join offered using (role)
           where not exists (select from sys_role_offer o where o.pack = {pack} and o.role = t.role)
           on conflict (code) do nothing returning id, code)
         insert into sys_role_grant (role_id, permission)
         select r.id, o.permission from offered o
         join (select id, code from made union all select id, code from sys_role where from_pack is not null) r on r.code = o.role
         on conflict do nothing;\n",
        rows = rows.join(", "),
        pack = literal(&manifest.code),
    )
}
