//! Changes as data: what is to be sent, and how the answers become a reply. One route alone and many in a batch share
//! this path.

mod plan;
pub(super) mod render;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use plan::Planner;

use super::plan::RowKey;
use super::precondition::{Preconditions, Tags};
use super::prefer::Returning;
use super::row::Row;
use crate::db::Answer;
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::pack::Resource;
use crate::sql::Sql;

/// What a caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Version of the one row that it is about.
    pub version: Option<i64>,
    /// Path of a row that was made.
    pub location: Option<String>,
    /// JSON.
    pub body: Option<String>,
}

impl Reply {
    fn bare(status: u16) -> Self {
        Self { status, version: None, location: None, body: None }
    }
}

/// What a part does, as far as its reply depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Read,
    Created,
    Changed,
    Replaced,
    Removed,
    Acted,
}

/// One request's share of the work.
#[derive(Debug, Clone)]
pub struct Part {
    resource: Arc<Resource>,
    /// The row that it is about, unless it is new.
    key: Option<RowKey>,
    preconditions: Preconditions,
    returning: Returning,
    effect: Effect,
    /// The action that the steps are part of.
    action: Option<Ident>,
    /// Whether all steps must see the same moment.
    one_moment: bool,
    queries: Vec<Sql>,
}

/// Everything of one request, to be done wholly or not at all.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is done.
    pub part: Part,
    /// Whether it is a trial: everything runs and is undone.
    pub rollback: bool,
}

impl Part {
    /// What the answers to the queries mean; nothing, when the row was not found as the request demands.
    fn reply(&self, answers: &[Answer]) -> Result<Option<Reply>> {
        let (Some(first), Some(last)) = (answers.first(), answers.last()) else {
            return Err(Error::internal("a part without answers"));
        };
        if first.count == 0 {
            return Ok(None);
        }
        let row = last.body.as_deref().and_then(Row::read);
        let status = match (self.effect, &row) {
            (Effect::Created, _) => 201,
            (Effect::Replaced, _) if first.count == 2 => 201,
            (Effect::Removed, _) | (Effect::Acted, None) => return Ok(Some(Reply::bare(204))),
            (_, Some(_)) => 200,
            (_, None) => return Ok(None),
        };
        Ok(Some(self.shown(status, row)))
    }

    fn shown(&self, status: u16, row: Option<Row>) -> Reply {
        let Some(row) = row else { return Reply::bare(status) };
        let key = (status == 201).then(|| self.resource.key_of(&row.json)).flatten();
        let location = key.map(|key| format!("/api/v1/{}/{key}", self.resource.name));
        match (self.returning, status) {
            (Returning::Representation, _) => Reply { status, version: row.version, location, body: Some(row.json) },
            (Returning::Minimal, 200) => Reply { status: 204, version: row.version, location, body: None },
            (Returning::Minimal, _) => Reply { status, version: row.version, location, body: None },
        }
    }

    /// Whether a row that was not found may be there in another version.
    fn may_have_failed(&self) -> bool {
        let Preconditions { if_match, if_none_match } = &self.preconditions;
        matches!(if_match, Some(Tags::Versions(_))) || (self.effect == Effect::Replaced && if_none_match.is_some())
    }
}
