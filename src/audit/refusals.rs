//! What was refused: entered soon after, together, so that a refusal costs its caller nothing and a flood of them little.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::db::{Acting, Database, Origin, Place, Scope, Seat};
use crate::error::{Error, Result};

/// Refusals that wait to be entered; more are only counted.
const ROOM: usize = 1_024;

/// How long refusals are gathered. Equal ones become one entry with a number.
const GATHERED: Duration = Duration::from_millis(500);

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// `sign_in_failed` or `refused`.
    pub action: &'static str,
    /// Who was refused, if he was signed in.
    pub actor: Option<Uuid>,
    /// The operator who worked as him, if one did.
    pub impersonator: Option<Uuid>,
    /// Who he said he was, when he signed in.
    pub subject: Option<String>,
    /// Method and route.
    pub route: String,
    /// What the path named.
    pub path: String,
    /// Why: the code of the problem.
    pub code: String,
}

const ROW: &str = "actor_id uuid, impersonator text, action text, object_type text, object_id text, after jsonb, request_id text, address inet";
const TENANT: &str = "insert into sys_audit_event (line, actor_id, impersonator, action, object_type, object_id, after, request_id, address)
    select row_number() over (), r.actor_id, r.impersonator, r.action, r.object_type, r.object_id, jsonb_strip_nulls(r.after), r.request_id, r.address";
const PLATFORM: &str = "insert into public.audit_events (line, actor, action, object_type, object_id, after, request_id, address)
    select row_number() over (), coalesce(r.actor_id::text, 'nobody'), r.action, r.object_type, r.object_id, jsonb_strip_nulls(r.after), r.request_id, r.address";

enum Message {
    Refused(Option<Arc<Place>>, Refusal, Origin),
    Flush(oneshot::Sender<()>),
}

/// The way into the audit for what was refused.
pub struct Refusals(mpsc::Sender<Message>);

#[derive(Serialize)]
struct Row<'a> {
    actor_id: Option<Uuid>,
    impersonator: Option<Uuid>,
    action: &'a str,
    object_type: &'a str,
    object_id: &'a str,
    after: serde_json::Value,
    request_id: &'a str,
    address: String,
}

impl Refusals {
    /// Enters refusals until this is dropped.
    pub fn new(database: Database) -> Self {
        let (sender, receiver) = mpsc::channel(ROOM);
        tokio::spawn(keep(database, receiver));
        Self(sender)
    }

    /// Hands a refusal over to be entered soon: in the tenant that was asked, or on the platform.
    pub fn note(&self, place: Option<Arc<Place>>, refusal: Refusal, origin: Origin) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.0.try_send(Message::Refused(place, refusal, origin)) {
            tracing::warn!("more refusals than the audit takes; this one is in the log only");
        }
    }

    /// Returns when all that was handed over before is entered.
    pub async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        if self.0.send(Message::Flush(sender)).await.is_ok() {
            let _ = done.await;
        }
    }
}

async fn keep(database: Database, mut receiver: mpsc::Receiver<Message>) {
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    let mut gathered = Gathered::default();
    while let Some(first) = receiver.recv().await {
        let until = tokio::time::Instant::now() + GATHERED;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Refused(place, refusal, origin) => gathered.add(place, refusal, origin),
                Message::Flush(sender) => {
                    waiting.push(sender);
                    break;
                }
            }
            next = tokio::time::timeout_at(until, receiver.recv()).await.ok().flatten();
        }
        for (place, refusals) in gathered.take() {
            if let Err(error) = enter(&database, place.as_ref(), &refusals).await {
                let (context, tenant) = (error.private_context(), place.map(|place| place.tenant));
                tracing::warn!(context, ?tenant, "{} refusals are not in the audit: {error}", refusals.len());
            }
        }
        for sender in waiting.drain(..) {
            // Who asked may have gone away.
            let _ = sender.send(());
        }
    }
}

type Counted = HashMap<Refusal, (u64, Origin)>;

#[derive(Default)]
struct Gathered(HashMap<Option<Uuid>, (Option<Arc<Place>>, Counted)>);

impl Gathered {
    fn add(&mut self, place: Option<Arc<Place>>, refusal: Refusal, origin: Origin) {
        let tenant = place.as_ref().map(|place| place.tenant);
        let (_, counted) = self.0.entry(tenant).or_insert_with(|| (place, Counted::new()));
        counted.entry(refusal).or_insert((0, origin)).0 += 1;
    }

    fn take(&mut self) -> Vec<(Option<Arc<Place>>, Counted)> {
        std::mem::take(&mut self.0).into_values().collect()
    }
}

async fn enter(database: &Database, place: Option<&Arc<Place>>, refusals: &Counted) -> Result<()> {
    let row = |(refusal, (times, origin)): (&Refusal, &(u64, Origin))| {
        serde_json::to_value(Row {
            actor_id: refusal.actor,
            impersonator: refusal.impersonator,
            action: refusal.action,
            object_type: &refusal.route,
            object_id: &refusal.path,
            after: serde_json::json!({ "code": refusal.code, "email": refusal.subject, "times": times }),
            request_id: &origin.request_id,
            address: origin.address.to_string(),
        })
    };
    let rows: Vec<serde_json::Value> = refusals.iter().map(row).collect::<Result<_, _>>().map_err(Error::internal)?;
    let (mut tx, into) = match place {
        None => (database.control().await?.begin().await?, PLATFORM),
        Some(place) => {
            let scope = Scope::write(place.clone(), Seat::Owner, Acting::service(), database.statement_timeout());
            (database.begin(&scope).await?, TENANT)
        }
    };
    let sql = format!("{into} from jsonb_to_recordset($1) r({ROW})");
    tx.execute(&sql, &[&serde_json::Value::from(rows)]).await?;
    Ok(tx.commit().await?)
}
