//! What a run tells, until its leader has written it down.

use std::fmt;
use std::mem;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Behind, Event, Failed};

/// What was told since it was last taken, in order.
#[derive(Default)]
pub(super) struct Log(Mutex<Lines>);

/// Columns of rows that are still to be written, and what they come to.
#[derive(Default)]
pub(super) struct Lines {
    /// Tenants that they are about.
    pub tenants: Vec<Option<Uuid>>,
    /// `wave`, `migrated` or `failed`.
    pub kinds: Vec<&'static str>,
    /// The rest.
    pub details: Vec<Json>,
}

impl Log {
    /// Keeps a piece of news.
    pub(super) fn note(&self, event: &Event<'_>) {
        let (tenant, kind, detail) = match event {
            Event::Wave(tenants) => (None, "wave", json!({ "tenants": tenants })),
            Event::Tenant(behind, Ok(())) => (behind.tenant(), "migrated", of(behind)),
            Event::Tenant(behind, Err(failed)) => {
                let mut detail = of(behind);
                detail["error"] = failed.to_string().into();
                (behind.tenant(), "failed", detail)
            }
        };
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.tenants.push(tenant);
        lines.kinds.push(kind);
        lines.details.push(detail);
    }

    /// Gives what was kept.
    pub(super) fn take(&self) -> Lines {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn of(behind: &Behind) -> Json {
    let pack = |item: &super::Pending| json!({ "pack": item.pack, "from": item.from, "to": item.to });
    let packs: Vec<Json> = behind.packs().iter().map(pack).collect();
    json!({ "subdomain": behind.subdomain(), "packs": packs })
}

impl Lines {
    /// How many of a kind there are.
    pub(super) fn count(&self, kind: &str) -> i32 {
        i32::try_from(self.kinds.iter().filter(|one| **one == kind).count()).unwrap_or(i32::MAX)
    }
}

/// Each pack with what went wrong.
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (pack, fault)) in self.0.iter().enumerate() {
            let file = fault.file.as_ref().map(|file| format!("/{file}")).unwrap_or_default();
            let state = if fault.sqlstate.is_empty() { String::new() } else { format!(" {}", fault.sqlstate) };
            let blocked: Vec<String> = fault.blocked_by.iter().map(ToString::to_string).collect();
            let blocked =
                if blocked.is_empty() { String::new() } else { format!(" (blocked by {})", blocked.join(", ")) };
            let apart = if at == 0 { "" } else { "; " };
            write!(f, "{apart}{pack}{file}:{state} {}{blocked}", fault.message)?;
        }
        Ok(())
    }
}
