//! Requests that come again: an `Idempotency-Key` names one, and its answer is kept in the transaction of its change
//! (draft-ietf-httpapi-idempotency-key-header).

use std::fmt::Write;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::super::run::Engine;
use super::{Plan, Reply};
use crate::access::Right;
use crate::db::{ATTEMPTS, Answer, Ending, Failure, Halt, Open, Scope, Step, Stop, step_aside};
use crate::error::{Error, Kind, Public, Result};
use crate::sql::{Sql, Value};

/// Characters of a key.
const LONGEST: usize = 255;
/// When a request that is still running may be asked about again.
const SOON: Duration = Duration::from_secs(1);

/// A request as its caller names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Digest of method, path and key.
    request: String,
    /// Digest of the body.
    fingerprint: String,
}

impl Claim {
    /// A request's name, from the text of the header.
    pub fn new(key: &str, method: &str, path: &str, body: &[u8]) -> Result<Self> {
        if key.is_empty() || key.len() > LONGEST || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let error = Error::malformed("A header is not valid.");
            let detail = format!("must be 1 to {LONGEST} visible ASCII characters, for example a uuid");
            return Err(error.parameter("Idempotency-Key", "invalid_parameter", detail));
        }
        let request = digest(format!("{method} {path}\n{key}").as_bytes());
        Ok(Self { request, fingerprint: digest(body) })
    }

    /// The statement that fails unless the request is new.
    pub(super) fn begin(&self) -> Sql {
        let mut sql = Sql::new("select sys_once_begin(");
        sql.bind(self.request()).push(", ").bind(Value::text(&*self.fingerprint)).push("), null::text");
        sql
    }

    fn keep(&self, reply: &Reply) -> Sql {
        let text = |text: &Option<String>| text.as_ref().map_or_else(Value::null, |text| Value::text(&**text));
        let version = reply.version.map_or_else(Value::null, |version| Value::text(version.to_string()));
        let mut sql = Sql::new("select sys_once_keep(");
        sql.bind(self.request()).push(", ").bind(Value::text(&*self.fingerprint));
        for value in [
            Value::text(reply.status.to_string()),
            version,
            text(&reply.location),
            text(&reply.applied),
            text(&reply.body),
        ] {
            sql.push(", ").bind(value);
        }
        sql.push("), null::text");
        sql
    }

    fn recall(&self) -> Sql {
        let mut sql = Sql::new("select 1::bigint, sys_once_recall(");
        sql.bind(self.request()).push(")::text");
        sql
    }

    fn request(&self) -> Value {
        Value::text(&*self.request)
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// An answer as it was kept. Of a refusal the body is its public side: the next one gets a request id of its own.
#[derive(Deserialize)]
struct Kept {
    status: u16,
    version: Option<i64>,
    location: Option<String>,
    applied: Option<String>,
    body: Option<String>,
}

impl Kept {
    fn replay(self) -> Result<Reply> {
        let Self { status, version, location, applied, body } = self;
        if status >= 400 {
            let kept: Public = serde_json::from_str(&body.unwrap_or_default()).map_err(Error::internal)?;
            return Err(Error::from(kept).replayed());
        }
        Ok(Reply { status, version, location, body, applied, replayed: true })
    }
}

/// What became of an attempt.
enum Attempt {
    Done(Reply),
    Refused(Error),
    AnsweredBefore,
    /// Others got in the way, and nothing was done.
    Overtaken(Halt),
}

impl Engine {
    /// Does what a plan says, unless it was done before: then the answer of that time is given. It runs in a task of
    /// its own, so that a caller who goes away changes nothing about it.
    pub(super) async fn once(&self, right: &Right, plan: Plan, claim: Claim) -> Result<Reply> {
        let (this, right) = (self.clone(), right.clone());
        let work = tokio::spawn(async move {
            let mut attempt = this.attempt(&right, &plan, &claim).await;
            for _ in 1..ATTEMPTS {
                let Attempt::Overtaken(_) = attempt else { break };
                step_aside().await;
                attempt = this.attempt(&right, &plan, &claim).await;
            }
            match attempt {
                Attempt::Overtaken(halt) => Err(this.meaning(halt.stop)),
                Attempt::Done(reply) => Ok(reply),
                Attempt::AnsweredBefore => this.recall(&right, &claim).await,
                Attempt::Refused(error) => {
                    this.keep_refusal(&right, &claim, &error).await;
                    Err(error)
                }
            }
        });
        work.await.map_err(Error::internal)?
    }

    async fn attempt(&self, right: &Right, plan: &Plan, claim: &Claim) -> Attempt {
        let (scope, course) = (right.write(self.limit), plan.course());
        match self.database.begin_steps(&scope, &course.steps).await {
            Ok((open, answers)) => self.finish(right, plan, claim, (open, answers)).await,
            Err(halt) if halt.is_retryable() => Attempt::Overtaken(halt),
            Err(halt) => match meaning(&halt) {
                Some(attempt) => attempt,
                None => Attempt::Refused(self.why(right, plan, &course, halt).await),
            },
        }
    }

    async fn finish(&self, right: &Right, plan: &Plan, claim: &Claim, (open, answers): (Open, Vec<Answer>)) -> Attempt {
        let reply = match plan.reply(answers.get(1..).unwrap_or_default()) {
            Ok(Some(reply)) => reply,
            Ok(None) => {
                open.undo().await;
                return Attempt::Refused(self.missed(right, plan, 0).await);
            }
            Err(error) => return Attempt::Refused(error),
        };
        if plan.rollback {
            open.undo().await;
            return Attempt::Done(reply);
        }
        match open.commit_with(&claim.keep(&reply)).await {
            Ok(()) => Attempt::Done(reply),
            Err(stop) => {
                let halt = Halt { step: 0, stop };
                if halt.is_retryable() {
                    return Attempt::Overtaken(halt);
                }
                meaning(&halt).unwrap_or_else(|| Attempt::Refused(self.meaning(halt.stop)))
            }
        }
    }

    /// The answer to a request that came before, though there is no room to do it now; nothing when it is new.
    pub(super) async fn answered_before(&self, right: &Right, claim: Option<&Claim>) -> Option<Result<Reply>> {
        let claim = claim?;
        let steps = vec![Step::Query(claim.begin())];
        let halt = self.database.run_steps(&right.write(self.limit), steps, Ending::Rollback).await.err()?;
        match meaning(&halt)? {
            Attempt::AnsweredBefore => Some(self.recall(right, claim).await),
            Attempt::Refused(error) => Some(Err(error)),
            Attempt::Done(reply) => Some(Ok(reply)),
            Attempt::Overtaken(halt) => Some(Err(self.meaning(halt.stop))),
        }
    }

    async fn recall(&self, right: &Right, claim: &Claim) -> Result<Reply> {
        let answer = self.run(&right.read(self.limit), &claim.recall()).await?;
        let kept = answer.body.ok_or_else(in_progress)?;
        serde_json::from_str::<Kept>(&kept).map_err(Error::internal)?.replay()
    }

    /// Keeps a refusal that will be the same next time. When it cannot be kept, the request may simply run again.
    async fn keep_refusal(&self, right: &Right, claim: &Claim, error: &Error) {
        let status = match error.kind() {
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::Conflict if error.retry_after_hint().is_none() => 409,
            Kind::PreconditionFailed => 412,
            Kind::Invalid if error.code() != REUSED => 422,
            _ => return,
        };
        let Ok(body) = serde_json::to_string(&Public::from(error)) else { return };
        let steps = [claim.begin(), claim.keep(&Reply::new(status, Some(body)))].map(Step::Query).into();
        let scope: Scope = right.write(self.limit);
        if let Err(halt) = self.database.run_steps(&scope, steps, Ending::Commit).await {
            let context = self.meaning(halt.stop).private_context();
            tracing::debug!(context, "a refusal was not kept for its Idempotency-Key");
        }
    }
}

const REUSED: &str = "idempotency_key_reused";

/// What a refusal of [`Claim::begin`] or [`Claim::keep`] means; nothing, when something else was refused.
fn meaning(halt: &Halt) -> Option<Attempt> {
    let Stop::Failed(Failure { detail: Some(code), message, .. }) = &halt.stop else { return None };
    match code.as_str() {
        "idempotency_replay" => Some(Attempt::AnsweredBefore),
        "idempotency_in_progress" => Some(Attempt::Refused(in_progress())),
        REUSED => {
            let error = Error::new(Kind::Invalid, REUSED, message.clone());
            Some(Attempt::Refused(error.hint("Send another key with another request.")))
        }
        _ => None,
    }
}

fn in_progress() -> Error {
    let message = "A request with this Idempotency-Key is still running.";
    Error::new(Kind::Conflict, "idempotency_in_progress", message).retry_after(SOON)
}
