//! A copy of a tenant to try things in. No letter leaves it, and the keys of programs do not work in it.

use std::sync::Arc;

use uuid::Uuid;

use super::super::Platform;
use super::super::backup::{Tell, Touch, quiet, read, way};
use super::super::provision::Provisioned;
use super::arrival::{Arrival, CLONE, arrive};
use super::task;
use crate::db::By;
use crate::error::Result;
use crate::ident::Subdomain;

/// A program that works for the account is not to work in the copy unawares.
const NO_KEYS: Touch = Touch("update sys_api_key set revoked_at = now() where revoked_at is null;");

/// Copies a tenant as it is at one moment, straight from schema to schema. Who works in it is not disturbed.
pub async fn tenant_clone(
    platform: &Platform,
    tenant: Uuid,
    subdomain: Subdomain,
    name: Option<String>,
    by: &By,
    tell: Tell,
) -> Result<Provisioned> {
    let resident = task::resident(platform, tenant).await?;
    task::in_use(&resident)?;
    let (giver, mut pieces) = way();
    let reading = tokio::spawn(read(platform.clone(), resident.place, giver, quiet()));
    let header = Arc::new(pieces.header().await?);
    let arrival = Arrival {
        kind: CLONE,
        subdomain,
        name: name.unwrap_or_else(|| format!("{} (sandbox)", resident.name).chars().take(200).collect()),
        plan: None,
        sandbox: true,
        touch: Some(NO_KEYS),
        by: by.clone(),
    };
    let made = arrive(platform, arrival, header, pieces, tell).await;
    reading.abort();
    made
}
