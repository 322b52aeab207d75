//! Plans run in the caller's scope.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::parse::ListRequest;
use super::places::Places;
use super::plan::{Level, ListPlan, RowKey, Shape, Sight};
use super::render::Count;
use super::row::Row;
use super::{cursor, refusal, render};
use crate::access::Right;
use crate::db::{Answer, Database, Scope, Stop};
use crate::error::{Error, Result};
use crate::pack::{Catalog, Resource};
use crate::sql::Sql;

/// The engine: the catalogue and the door to the database.
#[derive(Clone)]
pub struct Engine {
    pub(super) database: Database,
    pub(super) catalog: Arc<Catalog>,
    pub(super) limit: Duration,
    /// How long an export or an operation may take.
    pub(super) long_work: Duration,
    pub(super) exports: Places,
    pub(super) operations: Places,
    pub(super) followers: Places,
    /// Operations under way.
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// JSON array.
    pub data: String,
    /// Whether there are more rows.
    pub has_more: bool,
    /// Where the next page begins, if pages can follow each other.
    pub next_cursor: Option<String>,
    /// Rows of all pages, if they were counted.
    pub total_count: Option<i64>,
}

/// What stands above the rows of a list: rows shown, total, sort values of the last one shown.
type Head = (i64, Option<i64>, Option<cursor::Position>);

/// Adding up may read many rows; nobody needs to wait for it as long as for a write.
const AGGREGATE_LIMIT: Duration = Duration::from_secs(5);

/// Exports of one tenant at once.
const EXPORTS_PER_TENANT: usize = 2;
/// Operations of one tenant at once.
const OPERATIONS_PER_TENANT: usize = 1;
/// Callers of one bucket, and of one tenant, who follow operations at once.
const FOLLOWERS: usize = 64;
const FOLLOWERS_PER_TENANT: usize = 8;

impl Engine {
    /// An engine over a database.
    pub fn new(database: Database, catalog: Arc<Catalog>) -> Self {
        let (limit, most) = (database.statement_timeout(), database.most_long_work());
        Self {
            limit,
            long_work: database.long_work_timeout(),
            exports: Places::new("exports", most, EXPORTS_PER_TENANT),
            operations: Places::new("operations", most, OPERATIONS_PER_TENANT),
            followers: Places::new("followers of operations", FOLLOWERS, FOLLOWERS_PER_TENANT),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            database,
            catalog,
        }
    }

    /// Stops the operations under way; each is undone, and says so to whoever follows it.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The catalogue.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A page of a resource or report.
    pub async fn list(
        &self,
        right: &Right,
        shape: Shape<'_>,
        request: &ListRequest,
        count: Option<Count>,
    ) -> Result<Page> {
        let mut plan = self.planned(right, shape, request)?;
        plan.is_page()?;
        let (key, tenant, cursors) = (self.database.sealing(), right.tenant(), plan.has_cursors(shape));
        if let Some(text) = &request.cursor {
            let sorts = if cursors { plan.level.sorts.len() } else { 0 };
            plan.after = Some(cursor::open(key, tenant, shape.relation, request, text, sorts)?);
        }
        let limit = if plan.level.grouped { self.limit.min(AGGREGATE_LIMIT) } else { self.limit };
        let answer = self.database.run(&right.read(limit), &render::list(&plan, count)).await;
        let answer = answer.map_err(|stop| self.explain_read(stop, &plan.level))?;
        let (shown, total_count, last, data) = read_page(answer.body.as_deref().unwrap_or_default())?;
        let has_more = answer.count > shown;
        let next_cursor = match last.filter(|_| has_more && cursors) {
            Some(position) => cursor::seal(key, tenant, shape.relation, request, &position)?,
            None => None,
        };
        Ok(Page { data, has_more, next_cursor, total_count })
    }

    /// A list held against the catalogue and the caller's rights.
    pub(super) fn planned<'a>(
        &'a self,
        right: &Right,
        shape: Shape<'a>,
        request: &'a ListRequest,
    ) -> Result<ListPlan<'a>> {
        let may = |resource: &Resource, verb| right.also(resource.permission(verb), &resource.module);
        ListPlan::new(Sight { catalog: &self.catalog, may: &may }, shape, request)
    }

    /// One row.
    pub async fn get(&self, right: &Right, resource: &Resource, key: &RowKey, request: &ListRequest) -> Result<Row> {
        let may = |resource: &Resource, verb| right.also(resource.permission(verb), &resource.module);
        let level = Level::of_row(Sight { catalog: &self.catalog, may: &may }, resource, request)?;
        let answer = self.database.run(&right.read(self.limit), &render::row(resource, &level, key)).await;
        let answer = answer.map_err(|stop| self.explain_read(stop, &level))?;
        answer.body.as_deref().and_then(Row::read).ok_or_else(Error::not_found)
    }

    pub(super) async fn run(&self, scope: &Scope, sql: &Sql) -> Result<Answer> {
        self.database.run(scope, sql).await.map_err(|stop| self.meaning(stop))
    }

    /// A refusal of a value that only PostgreSQL can judge is about the query.
    pub(super) fn explain_read(&self, stop: Stop, level: &Level<'_>) -> Error {
        match stop {
            Stop::Refused(error) => error,
            Stop::Failed(failure) => match refusal::unfit(&failure, &level.judged()) {
                Some(error) => error,
                None => refusal::explain(&self.catalog, failure),
            },
        }
    }

    /// What it means to the caller that a statement did not answer.
    pub(super) fn meaning(&self, stop: Stop) -> Error {
        match stop {
            Stop::Refused(error) => error,
            Stop::Failed(failure) => refusal::explain(&self.catalog, failure),
        }
    }
}

fn read_page(body: &str) -> Result<(i64, Option<i64>, Option<cursor::Position>, String)> {
    let (head, data) = body.split_once('\n').ok_or_else(|| Error::internal("a list without its head"))?;
    let (shown, total, last): Head = serde_json::from_str(head).map_err(Error::internal)?;
    Ok((shown, total, last, data.to_owned()))
}
