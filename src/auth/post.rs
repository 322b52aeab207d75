//! Letters on their way. Their orders stand in the tenants' schemas (`sys_mail`), written in the transaction of their
//! reason. Every process hears of an order and looks; one takes it, for two minutes. When that one dies, the others,
//! who know when the next letter of a schema is due, look again. A process that starts looks everywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::letters::{Kind, Order};
use super::link::PREFIX;
use super::secret::Secret;
use crate::config::Config;
use crate::db::{Acting, Answer, Database, News, Place, Scope, Seat, Topic};
use crate::error::{Error, Result};
use crate::mail::Mailer;
use crate::sql::{Sql, Value};
use crate::tenant::{Tenant, Tenants};

/// Schemas looked after at once.
const AT_ONCE: usize = 4;
/// When to look again where looking failed.
const LATER: Duration = Duration::from_secs(10);
/// A day that is never reached.
const NEVER: Duration = Duration::from_secs(86_400);

/// What becomes of the letters of a sandbox.
const DROP_ALL: &str = "with dropped as (
      update sys_mail set ended_at = now(), outcome = 'dropped' where ended_at is null returning 1),
    old as (delete from sys_mail where ended_at < now() - interval '7 days')
    select count(*), null::text from dropped";

/// The post office of a process.
pub struct Post {
    database: Database,
    tenants: Tenants,
    mailer: Arc<Mailer>,
    config: Config,
    /// When to look into which schema; no more of them than there are tenants.
    due: Mutex<HashMap<String, Instant>>,
    everywhere: Notify,
    changed: Notify,
}

impl Post {
    /// An office that has nothing to do yet.
    pub fn new(database: Database, mailer: Arc<Mailer>, config: &Config) -> Self {
        let tenants = Tenants::new(database.clone(), &config.cache);
        let (due, everywhere, changed) = Default::default();
        Self { database, tenants, mailer, config: config.clone(), due, everywhere, changed }
    }

    /// Notes where there is something to send.
    pub fn hear(&self, news: &News) {
        if !self.mailer.is_on() {
            return;
        }
        self.tenants.hear(news);
        match news {
            News::Changed(Topic::Mail, schema) => self.look_at(schema.clone(), Instant::now()),
            News::Changed(..) => {}
            News::Resync => self.everywhere.notify_one(),
        }
    }

    /// Sends what is to be sent, until `stop`. What is under way then is taken up by others.
    pub async fn deliver(self: Arc<Self>, stop: CancellationToken) {
        if !self.mailer.is_on() {
            return;
        }
        let mut rounds = JoinSet::new();
        loop {
            let (schema, next) = self.next(rounds.len() < AT_ONCE);
            if let Some(schema) = schema {
                let this = self.clone();
                rounds.spawn(async move { this.round(schema).await });
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = self.everywhere.notified() => {
                    let this = self.clone();
                    rounds.spawn(async move { this.look_everywhere().await });
                }
                () = sleep_until(next) => {}
                Some(_) = rounds.join_next() => {}
            }
        }
    }

    fn look_at(&self, schema: String, at: Instant) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.entry(schema).and_modify(|known| *known = at.min(*known)).or_insert(at);
        drop(due);
        self.changed.notify_one();
    }

    /// A schema that is due, if there is a hand free for it; else when to ask again.
    fn next(&self, free: bool) -> (Option<String>, Instant) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let first = due.iter().min_by_key(|(_, at)| **at).map(|(schema, at)| (schema.clone(), *at));
        match first {
            Some((schema, at)) if free && at <= now => {
                due.remove(&schema);
                (Some(schema), now)
            }
            Some((_, at)) if free => (None, at),
            _ => (None, now + NEVER),
        }
    }

    /// Where letters may have been left when nobody listened: all schemas whose table of orders was ever used.
    async fn look_everywhere(&self) {
        let sql = "select t.schema_name from public.tenants t
            join pg_namespace n on n.nspname = t.schema_name
            join pg_class c on c.relnamespace = n.oid and c.relname = 'sys_mail'
            where t.state in ('active', 'suspended') and pg_relation_size(c.oid) > 0";
        match self.database.look_up(sql, &[]).await {
            Ok(rows) => rows.iter().for_each(|row| self.look_at(row.get(0), Instant::now())),
            Err(error) => {
                tracing::warn!(context = error.private_context(), "cannot look for letters: {error}");
                sleep(LATER).await;
                self.everywhere.notify_one();
            }
        }
    }

    async fn round(&self, schema: String) {
        let again = match self.empty(&schema).await {
            Ok(again) => again,
            Err(error) if error.code() == "tenant_not_found" => None,
            Err(error) => {
                tracing::warn!(context = error.private_context(), schema, "cannot look for letters: {error}");
                Some(LATER)
            }
        };
        if let Some(wait) = again {
            self.look_at(schema, Instant::now() + wait);
        }
    }

    /// Sends all that is due in a schema; gives the time until the next letter is.
    async fn empty(&self, schema: &str) -> Result<Option<Duration>> {
        let tenant = self.tenants.by_schema(schema).await?;
        if tenant.sandbox {
            self.ask(&tenant.place, &Sql::new(DROP_ALL)).await?;
            return Ok(None);
        }
        loop {
            let token = Secret::generate(PREFIX)?;
            let mut take = Sql::new("select 1::bigint, sys_mail_take(decode(");
            take.bind(Value::text(token.digest())).push(", 'base64'))::text");
            let Some(order) = self.ask(&tenant.place, &take).await?.body else { break };
            let order = serde_json::from_str(&order).map_err(Error::internal)?;
            self.send(&tenant, order, token).await?;
        }
        let next = self.ask(&tenant.place, &Sql::new("select 1::bigint, sys_mail_next()::text")).await?.body;
        Ok(next.and_then(|seconds| seconds.parse().ok()).map(|seconds: f64| Duration::from_secs_f64(seconds.max(0.1))))
    }

    async fn send(&self, tenant: &Tenant, order: Order, token: Secret) -> Result<()> {
        let (id, kind): (_, Kind) = (order.id, order.kind);
        let url = self.config.tenant_url(&tenant.subdomain);
        let sent = self.mailer.send(order.write(tenant, &url, &token.into_text())).await;
        let mut end = Sql::new("select 1::bigint, sys_mail_end(");
        end.bind(Value::text(id.to_string()))
            .push("::uuid, ")
            .bind(Value::text(sent.is_ok().to_string()))
            .push("::boolean, ")
            .bind(Value::text(sent.as_ref().is_err_and(|reason| reason.for_good).to_string()))
            .push("::boolean)");
        let outcome = self.ask(&tenant.place, &end).await?.body;
        if let Err(reason) = sent {
            let (tenant, given_up) = (&tenant.subdomain, outcome.is_some());
            tracing::warn!(mail = %id, ?kind, tenant, given_up, "a letter could not be sent: {reason}");
        }
        Ok(())
    }

    async fn ask(&self, place: &Arc<Place>, sql: &Sql) -> Result<Answer> {
        let limit = self.database.statement_timeout();
        Ok(self.database.run(&Scope::write(place.clone(), Seat::Owner, Acting::service(), limit), sql).await?)
    }
}
