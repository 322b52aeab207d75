//! Changes as data: what is to be sent, and how the answers become a reply. One route alone and many in a batch share
//! this path.

mod batch;
mod bulk;
mod once;
mod operation;
mod plan;
pub(super) mod render;
mod render_many;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use batch::{Batch, Wish, inside};
pub use bulk::Bulk;
pub use once::Claim;
pub use plan::Planner;

use super::plan::RowKey;
use super::precondition::{Preconditions, Tags};
use super::prefer::Returning;
use super::row::Row;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::access::Right;
use crate::db::{Answer, Step};
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::pack::{Resource, Verb};
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
    /// What of the caller's preferences was honoured.
    pub applied: Option<String>,
    /// Whether this was answered before, and nothing has happened now.
    pub replayed: bool,
}

impl Reply {
    fn new(status: u16, body: Option<String>) -> Self {
        Self { status, version: None, location: None, body, applied: None, replayed: false }
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
    Upserted,
    CreatedMany,
    Begun(Uuid),
    ChangedMany,
    RemovedMany,
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
    /// Which rows of the body each query is about, where there are many.
    places: Vec<Vec<usize>>,
    /// The rows of the body, where there are many.
    bulk: Option<Arc<Bulk>>,
}

/// Everything of one request, to be done wholly or not at all.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is done, in this order.
    pub parts: Vec<Part>,
    /// Whether the parts came as a batch.
    pub batch: bool,
    /// Whether it is a trial: everything runs and is undone.
    pub rollback: bool,
    /// What of the caller's preferences is honoured.
    pub applied: Option<String>,
    /// The caller's name for the request, when it may come again.
    pub claim: Option<Claim>,
}

/// What is sent, and on behalf of which part.
struct Course {
    steps: Vec<Step>,
    parts: Vec<Option<usize>>,
}

impl Plan {
    fn course(&self) -> Course {
        let mut course = Course { steps: Vec::new(), parts: Vec::new() };
        let mut add = |part: Option<usize>, step: Step| {
            course.steps.push(step);
            course.parts.push(part);
        };
        if self.parts.iter().any(|part| part.one_moment) {
            add(None, Step::OneMoment);
        }
        if let Some(claim) = &self.claim {
            add(None, Step::Query(claim.begin()));
        }
        for (at, part) in self.parts.iter().enumerate() {
            part.steps().into_iter().for_each(|step| add(Some(at), step));
        }
        if self.rollback {
            add(None, Step::CheckConstraints);
        }
        course
    }

    /// What the answers of the parts mean; nothing, when a row was not found as the request demands.
    fn reply(&self, mut answers: &[Answer]) -> Result<Option<Reply>> {
        let mut replies = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (own, others) = answers.split_at_checked(part.queries.len()).ok_or_else(lost)?;
            answers = others;
            match part.reply(own)? {
                Some(reply) => replies.push(reply),
                None => return Ok(None),
            }
        }
        let reply = if self.batch { batch::reply(&replies) } else { replies.pop().ok_or_else(lost)? };
        Ok(Some(Reply { applied: self.applied.clone(), ..reply }))
    }
}

/// Refuses many rows, and rows that may be there already, of a resource whose rows are made by a function.
fn one_at_a_time(resource: &Resource) -> Result<()> {
    match resource.maker {
        None => Ok(()),
        Some(_) => Err(Error::validation_message(format!("`{}` are made one at a time.", resource.name))),
    }
}

fn lost() -> Error {
    Error::internal("an answer is missing")
}

impl Part {
    /// The statements, for looking at.
    pub fn statements(&self) -> &[Sql] {
        &self.queries
    }

    fn steps(&self) -> Vec<Step> {
        let queries = self.queries.iter().cloned().map(Step::Query);
        let Some(action) = &self.action else { return queries.collect() };
        let enter = [Step::EnterAction(action.clone())];
        enter.into_iter().chain(queries).chain([Step::LeaveAction]).collect()
    }

    /// What the answers to the queries mean; nothing, when the row was not found as the request demands.
    fn reply(&self, answers: &[Answer]) -> Result<Option<Reply>> {
        let (Some(first), Some(last)) = (answers.first(), answers.last()) else {
            return Err(lost());
        };
        match self.effect {
            Effect::CreatedMany => return self.rows(201, answers).map(Some),
            Effect::Begun(id) => return Ok(Some(operation::begun(id))),
            Effect::ChangedMany => return self.rows(200, answers).map(Some),
            Effect::RemovedMany => return Ok(Some(Reply::new(204, None))),
            Effect::Upserted if first.count == 0 => return Ok(Some(Reply::new(204, None))),
            _ => {}
        }
        if first.count == 0 {
            return Ok(None);
        }
        let row = last.body.as_deref().and_then(Row::read);
        let status = match (self.effect, &row) {
            (Effect::Created, _) => 201,
            (Effect::Replaced, _) if first.count == 2 => 201,
            (Effect::Removed, _) | (Effect::Acted, None) => return Ok(Some(Reply::new(204, None))),
            (_, Some(_)) => 200,
            (_, None) => return Ok(None),
        };
        Ok(Some(self.shown(status, row)))
    }

    /// The rows of all answers as a list, in the order of the body.
    fn rows(&self, status: u16, answers: &[Answer]) -> Result<Reply> {
        if self.returning == Returning::Minimal {
            return Ok(Reply::new(if status == 200 { 204 } else { status }, None));
        }
        let list = |rows: &str| {
            let end = r#","has_more":false,"next_cursor":null,"total_count":null}"#;
            Reply::new(status, Some(format!(r#"{{"object":"list","data":{rows}{end}"#)))
        };
        if let [only] = answers {
            return Ok(list(only.body.as_deref().unwrap_or("[]")));
        }
        let mut rows: Vec<(usize, &RawValue)> = Vec::new();
        for (answer, places) in answers.iter().zip(&self.places) {
            let own: Vec<&RawValue> =
                serde_json::from_str(answer.body.as_deref().unwrap_or("[]")).map_err(Error::internal)?;
            // Where some were left out nobody knows which, and the rest stays together.
            let whole = own.len() == places.len();
            rows.extend(own.into_iter().enumerate().map(|(at, row)| (if whole { places[at] } else { places[0] }, row)));
        }
        rows.sort_by_key(|(place, _)| *place);
        let rows: Vec<&str> = rows.into_iter().map(|(_, row)| row.get()).collect();
        Ok(list(&format!("[{}]", rows.join(","))))
    }

    fn shown(&self, status: u16, row: Option<Row>) -> Reply {
        let Some(row) = row else { return Reply::new(status, None) };
        let key = (status == 201).then(|| self.resource.key_of(&row.json)).flatten();
        let location = key.map(|key| format!("/api/v1/{}/{key}", self.resource.name));
        let (status, body) = match (self.returning, status) {
            (Returning::Representation, _) => (status, Some(row.json)),
            (Returning::Minimal, 200) => (204, None),
            (Returning::Minimal, _) => (status, None),
        };
        Reply { version: row.version, location, ..Reply::new(status, body) }
    }

    /// What a public action answers with, whoever has not signed in sees; the rows that he sees are in PostgreSQL's hands.
    fn may_be_seen(&self, right: &Right) -> bool {
        right.is_guest() || right.also(self.resource.permission(Verb::View), &self.resource.module).is_ok()
    }

    /// Whether a row that was not found may be there in another version.
    fn may_have_failed(&self) -> bool {
        let Preconditions { if_match, if_none_match } = &self.preconditions;
        matches!(if_match, Some(Tags::Versions(_))) || (self.effect == Effect::Replaced && if_none_match.is_some())
    }
}
