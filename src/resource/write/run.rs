//! Changes run in the caller's scope.

use super::super::precondition::failed;
use super::super::row::Row;
use super::super::run::Engine;
use super::render::{self, Counting, Target};
use super::{Part, Plan, Reply};
use crate::access::Right;
use crate::db::{Answer, Ending, Scope, Step};
use crate::error::{Error, Result};

impl Engine {
    /// Does what a plan says.
    pub async fn write(&self, right: &Right, plan: &Plan) -> Result<Reply> {
        let part = &plan.part;
        let answers = self.answers(right, plan).await?;
        match part.reply(&answers)? {
            Some(reply) => Ok(reply),
            None => Err(self.missed(right, part).await?),
        }
    }

    async fn answers(&self, right: &Right, plan: &Plan) -> Result<Vec<Answer>> {
        let Part { action, queries, one_moment, .. } = &plan.part;
        let scope = self.scope(right, &plan.part);
        if plan.rollback || *one_moment {
            let mut steps: Vec<Step> = queries.iter().cloned().map(Step::Query).collect();
            if *one_moment {
                steps.insert(0, Step::OneMoment);
            }
            if plan.rollback {
                steps.push(Step::CheckConstraints);
            }
            let ending = if plan.rollback { Ending::Rollback } else { Ending::Commit };
            let answers = self.database.run_steps(&scope, steps, ending).await;
            return answers.map_err(|halt| self.meaning(halt.stop));
        }
        let answer = match (queries.as_slice(), action) {
            ([one], _) => self.database.run(&scope, one).await,
            ([call, after], Some(_)) => self.database.run_then(&scope, call, after).await,
            _ => return Err(Error::internal("a part of an unknown form")),
        };
        answer.map_err(|stop| self.meaning(stop)).map(|answer| vec![answer])
    }

    fn scope(&self, right: &Right, part: &Part) -> Scope {
        match &part.action {
            Some(action) => right.act(action, self.limit),
            None => right.write(self.limit),
        }
    }

    /// Why a row was not found as the request demands: it is not there, or there in another version.
    async fn missed(&self, right: &Right, part: &Part) -> Result<Error> {
        let Some(key) = part.key.as_ref().filter(|_| part.may_have_failed()) else { return Ok(Error::not_found()) };
        let target = Target { resource: &part.resource, key, versions: None, counting: Counting::Told };
        let answer = self.run(&right.read(self.limit), &render::read(&target)).await?;
        let row = answer.body.as_deref().and_then(Row::read);
        Ok(row.map_or_else(Error::not_found, |row| failed(row.json)))
    }
}
