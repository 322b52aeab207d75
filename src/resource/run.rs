//! Plans run in the caller's scope.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::body::{Fields, action_input};
use super::parse::ListRequest;
use super::plan::{ListPlan, RowKey, Shape};
use super::{refusal, render};
use crate::access::Right;
use crate::db::{Answer, Database, Scope, Stop};
use crate::error::{Error, Kind, Result};
use crate::pack::{Action, Catalog, Resource};
use crate::sql::Sql;

/// The engine: the catalogue and the door to the database.
#[derive(Clone)]
pub struct Engine {
    database: Database,
    catalog: Arc<Catalog>,
    limit: Duration,
}

/// A page of a list.
#[derive(Debug)]
pub struct Listing {
    /// JSON array.
    pub data: String,
    /// Whether there are more rows.
    pub has_more: bool,
}

impl Engine {
    /// An engine over a database.
    pub fn new(database: Database, catalog: Arc<Catalog>) -> Self {
        let limit = database.statement_timeout();
        Self { database, catalog, limit }
    }

    /// The catalogue.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A page of a resource or report.
    pub async fn list(&self, right: &Right, shape: Shape<'_>, request: &ListRequest) -> Result<Listing> {
        let plan = ListPlan::new(shape, request)?;
        let answer = self.run(&right.read(self.limit), &render::list(&plan)).await;
        let answer = answer.map_err(|error| match error.kind() {
            Kind::Invalid => shape.unfit(request, error),
            _ => error,
        })?;
        let has_more = answer.count > i64::from(plan.limit);
        Ok(Listing { data: answer.body.unwrap_or_else(|| "[]".to_owned()), has_more })
    }

    /// One row as JSON.
    pub async fn get(&self, right: &Right, resource: &Resource, key: &RowKey) -> Result<String> {
        only(self.run(&right.read(self.limit), &render::get(resource, key)).await?)
    }

    /// Makes a row; gives it as JSON.
    pub async fn create(&self, right: &Right, resource: &Resource, body: &Map<String, Json>) -> Result<String> {
        let fields = Fields::to_create(resource, body)?;
        only(self.run(&right.write(self.limit), &render::insert(resource, &fields)).await?)
    }

    /// Changes a row; gives it as JSON.
    pub async fn update(
        &self,
        right: &Right,
        resource: &Resource,
        key: &RowKey,
        body: &Map<String, Json>,
    ) -> Result<String> {
        let fields = Fields::to_update(resource, body)?;
        if fields.is_empty() {
            return self.get(right, resource, key).await;
        }
        only(self.run(&right.write(self.limit), &render::update(resource, key, &fields)).await?)
    }

    /// Removes a row.
    pub async fn delete(&self, right: &Right, resource: &Resource, key: &RowKey) -> Result<()> {
        match self.run(&right.write(self.limit), &render::delete(resource, key)).await?.count {
            0 => Err(Error::not_found()),
            _ => Ok(()),
        }
    }

    /// Runs an action; gives the row as it is afterwards, or nothing when it left the caller's sight.
    pub async fn act(
        &self,
        right: &Right,
        resource: &Resource,
        action: &Action,
        key: &RowKey,
        body: &Map<String, Json>,
    ) -> Result<Option<String>> {
        let call = render::action(&action.function, key, action_input(action, body)?);
        let scope = right.act(&action.name, self.limit);
        let answer = self.database.run_then(&scope, &call, &render::get(resource, key)).await;
        Ok(self.explain(answer)?.body)
    }

    async fn run(&self, scope: &Scope, sql: &Sql) -> Result<Answer> {
        self.explain(self.database.run(scope, sql).await)
    }

    fn explain(&self, answer: Result<Answer, Stop>) -> Result<Answer> {
        answer.map_err(|stop| match stop {
            Stop::Refused(error) => error,
            Stop::Failed(failure) => refusal::explain(&self.catalog, failure),
        })
    }
}

fn only(answer: Answer) -> Result<String> {
    answer.body.ok_or_else(Error::not_found)
}
