//! What was read of the template schema, kept: reading it takes longer the more tenants there are.

use sha2::{Digest, Sha256};
use tokio_postgres::types::Json;

use super::source::Packs;
use super::template::{INTROSPECT, Shape};
use crate::db::Transaction;
use crate::error::Result;

/// Changes with the packs, and with how the template is read.
pub(super) fn fingerprint(packs: &Packs) -> String {
    let digest = Sha256::digest(format!("{}\n{INTROSPECT}", packs.fingerprint()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the template looks like, when it is the one of this fingerprint.
pub(super) async fn find(tx: &mut Transaction, schema: &str, fingerprint: &str) -> Result<Option<Shape>> {
    let sql = "select shape from public.template_shapes
        where fingerprint = $2 and obj_description(to_regnamespace($1), 'pg_namespace') = $2";
    let row = tx.query_opt(sql, &[&schema, &fingerprint]).await?;
    Ok(row.map(|row| row.get::<_, Json<Shape>>(0).0))
}

/// Marks the template, and writes down and gives what it looks like.
pub(super) async fn keep(tx: &mut Transaction, schema: &str, fingerprint: &str) -> Result<Shape> {
    tx.batch(&format!("comment on schema {schema} is '{fingerprint}'")).await?;
    tx.execute("delete from public.template_shapes where fingerprint <> $1", &[&fingerprint]).await?;
    let sql = format!(
        "insert into public.template_shapes (fingerprint, shape) select $2, q.shape::json from ({INTROSPECT}) q (shape)
         on conflict (fingerprint) do update set shape = excluded.shape returning shape"
    );
    let rows = tx.query(&sql, &[&schema, &fingerprint]).await?;
    Ok(rows[0].get::<_, Json<Shape>>(0).0)
}
