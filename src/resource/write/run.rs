//! Changes run in the caller's scope.

use super::super::parse::ListRequest;
use super::super::plan::{ListPlan, Shape, Sight};
use super::super::precondition::failed;
use super::super::prefer::Returning;
use super::super::row::Row;
use super::super::run::Engine;
use super::render::{self, Counting, Target};
use super::{Course, Part, Plan, Reply, batch, lost};
use crate::access::Right;
use crate::db::{Answer, Ending, Halt, Stop};
use crate::error::{Error, Kind, Result};
use crate::pack::{Resource, Verb};

impl Engine {
    /// Does what a plan says. What the caller may change but not view does not come back to them.
    pub async fn write(&self, right: &Right, mut plan: Plan) -> Result<Reply> {
        plan.parts
            .iter_mut()
            .filter(|part| !part.may_be_seen(right))
            .for_each(|part| part.returning = Returning::Minimal);
        if let Some(claim) = plan.claim.clone() {
            return self.once(right, plan, claim).await;
        }
        let answers = match self.at_once(right, &plan).await {
            Some(answers) => answers?,
            None => self.in_steps(right, &plan).await?,
        };
        match plan.reply(&answers)? {
            Some(reply) => Ok(reply),
            None => Err(self.missed(right, &plan, 0).await),
        }
    }

    /// The common case: one change, whose statements PostgreSQL may have prepared.
    async fn at_once(&self, right: &Right, plan: &Plan) -> Option<Result<Vec<Answer>>> {
        let [part] = plan.parts.as_slice() else { return None };
        if plan.rollback || part.one_moment {
            return None;
        }
        let scope = part.action.as_ref().map_or_else(|| right.write(self.limit), |name| right.act(name, self.limit));
        let answers = match part.queries.as_slice() {
            // Statements of many rows are large, and seldom come again.
            _ if !part.places.is_empty() => return None,
            [one] => self.database.run(&scope, one).await.map(|answer| vec![answer]),
            // Without a version named, the call itself always answers.
            [call, after] => {
                let after = self.database.run_then(&scope, call, after).await;
                after.map(|answer| vec![Answer { count: 1, body: None }, answer])
            }
            _ => return None,
        };
        Some(answers.map_err(|stop| self.meaning(stop)))
    }

    /// Plans a change of all rows that a query describes.
    pub fn described<'a>(
        &'a self,
        right: &'a Right,
        resource: &'a Resource,
        request: &'a ListRequest,
        plan: impl FnOnce(&ListPlan<'_>) -> Result<Part>,
    ) -> Result<Part> {
        let ListRequest { items, rows, embedded, search, cursor, format, .. } = request;
        let plain = items.is_empty() && embedded.is_empty() && search.is_empty() && rows.order.is_empty();
        if !plain || cursor.is_some() || format.is_some() || rows.limit.is_some() {
            return Err(Error::malformed("A change of many rows takes conditions only."));
        }
        if rows.conditions.is_empty() {
            let error = Error::malformed("A change of many rows needs at least one condition.");
            return Err(error.hint("For example ?state=eq.archived"));
        }
        let may = |resource: &Resource, verb| right.also(resource.permission(verb), &resource.module);
        // Which rows were changed tells what stands in them.
        may(resource, Verb::View)?;
        plan(&ListPlan::new(Sight { catalog: &self.catalog, may: &may }, Shape::from(resource), request)?)
    }

    async fn in_steps(&self, right: &Right, plan: &Plan) -> Result<Vec<Answer>> {
        let course = plan.course();
        let ending = if plan.rollback { Ending::Rollback } else { Ending::Commit };
        match self.database.run_steps(&right.write(self.limit), course.steps.clone(), ending).await {
            Ok(answers) => Ok(answers),
            Err(halt) => Err(self.why(right, plan, &course, halt).await),
        }
    }

    /// Why a plan was not carried out, in the words of the part at fault.
    pub(super) async fn why(&self, right: &Right, plan: &Plan, course: &Course, halt: Halt) -> Error {
        let Some(at) = course.parts.get(halt.step).copied().flatten() else { return self.meaning(halt.stop) };
        let absent = matches!(&halt.stop, Stop::Failed(failure) if failure.code() == "AP404");
        if absent && plan.parts.get(at).is_some_and(super::Part::may_have_failed) {
            return self.missed(right, plan, at).await;
        }
        let error = self.meaning(halt.stop);
        match plan.parts.get(at).and_then(|part| part.bulk.as_ref()) {
            Some(bulk) if is_about_rows(&error) => self.blame(right, bulk, error).await,
            _ => named(plan, at, error),
        }
    }

    /// Why a row was not found as the request demands: it is not there, or there in another version.
    pub(super) async fn missed(&self, right: &Right, plan: &Plan, at: usize) -> Error {
        let error = match self.present(right, plan, at).await {
            Ok(Some(row)) => failed(plan.parts.get(at).filter(|part| part.may_be_seen(right)).map(|_| row.json)),
            Ok(None) => Error::not_found(),
            Err(error) => error,
        };
        named(plan, at, error)
    }

    async fn present(&self, right: &Right, plan: &Plan, at: usize) -> Result<Option<Row>> {
        let part = plan.parts.get(at).ok_or_else(lost)?;
        let Some(key) = part.key.as_ref().filter(|_| part.may_have_failed()) else { return Ok(None) };
        let target = Target { resource: &part.resource, key, versions: None, counting: Counting::Told };
        let answer = self.run(&right.read(self.limit), &render::read(&target)).await?;
        Ok(answer.body.as_deref().and_then(Row::read))
    }
}

/// Whether a refusal is about what stands in the rows, and not about the moment.
fn is_about_rows(error: &Error) -> bool {
    matches!(error.kind(), Kind::Invalid | Kind::Conflict | Kind::Forbidden) && error.retry_after_hint().is_none()
}

fn named(plan: &Plan, at: usize, error: Error) -> Error {
    if plan.batch { batch::inside(error, at) } else { error }
}
