//! `insula config`: every setting, its value and where it came from.

use serde_json::Value as Json;

use super::Exit;
use super::context::Context;
use crate::error::{Error, Result};

/// Settings that are not valid are shown too, before the refusal.
pub(super) fn run(context: &Context) -> Result<Exit> {
    let layers = context.layers()?;
    let rows: Result<Vec<Json>, _> = layers.settings()?.iter().map(serde_json::to_value).collect();
    context.out.rows(&["key", "value", "source"], &rows.map_err(Error::internal)?)?;
    layers.read().map(|_| Exit::Done)
}
