//! SQL that puts a pack into a tenant's schema: its files, then rights, row security and roles from its manifest.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::catalog::Catalog;
use super::manifest::Manifest;
use super::rights::Rights;
use super::source::Pack;
use crate::db::Place;
use crate::error::Result;
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
    sql.push_str(&offers_sql(pack, true));
    sql.push_str(&Rights::of(catalog, pack, true)?.sql(place)?);
    Ok(sql)
}

/// What follows the files of a new version, or of the first: the manifest's roles are offered.
pub fn offers_sql(pack: &Pack, first: bool) -> String {
    roles(&pack.manifest, first)
}

/// Tells the roles that a pack offers from those that another version of it does.
pub fn offers_digest(pack: &Pack) -> [u8; 32] {
    Sha256::digest(roles(&pack.manifest, false)).into()
}

/// Enters all tables of a tenant's schema in its audit, but for those that a manifest excepts and those that are entered
/// already; run by the owner role when packs were installed.
pub fn audit_sql(catalog: &Catalog, place: &Place) -> String {
    let names: serde_json::Map<String, serde_json::Value> =
        catalog.tables.iter().map(|(table, name)| (table.as_str().to_owned(), name.clone().into())).collect();
    let excepted = catalog.packs().iter().flat_map(|pack| &pack.manifest.unaudited);
    let excepted: Vec<String> = excepted.map(|name| literal(name)).collect();
    let (schema, names) = (literal(place.schema.as_str()), literal(&serde_json::Value::from(names).to_string()));
    format!("select insula.audit_catch_up({schema}, {names}, array[{}]::text[]);\n", excepted.join(", "))
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
