//! What an operator asked for and no trigger sees, because it changes nothing of the registry.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::db::{By, Transaction};
use crate::error::Result;

/// Enters in the audit of the platform, in a transaction in the name of `by`, what somebody asked for by a request; what
/// commands and the service do by themselves has its journal.
pub async fn request(tx: &mut Transaction, by: &By, action: &str, (kind, id): (&str, Uuid), what: &Json) -> Result<()> {
    if by.origin.is_none() {
        return Ok(());
    }
    let sql = "insert into public.audit_events (line, action, object_type, object_id, after)
        values (1, $1, $2, $3, nullif($4, 'null'::jsonb))";
    tx.execute(sql, &[&action, &kind, &id.to_string(), what]).await?;
    Ok(())
}
