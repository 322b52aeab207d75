//! What is seen of a migration: a bar with rate and time left on a terminal, else a line for each tenant.

use std::cell::RefCell;

use indicatif::ProgressBar;
use serde_json::{Value as Json, json};

use super::super::bar::bar;
use super::super::output::{Mark, Output};
use crate::ops::{Behind, Event, Failed};

/// What has happened so far.
pub(super) struct Progress<'a> {
    out: &'a Output,
    bar: Option<ProgressBar>,
    outcomes: RefCell<Vec<Json>>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(out: &'a Output, total: usize) -> Self {
        Self { out, bar: bar(out, total), outcomes: RefCell::default() }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        match event {
            Event::Wave(tenants) => tracing::debug!(tenants, "next wave"),
            Event::Tenant(behind, outcome) => self.tenant(behind, *outcome),
        }
    }

    fn tenant(&self, behind: &Behind, outcome: Result<(), &Failed>) {
        let steps: Vec<String> =
            behind.packs().iter().map(|item| format!("{} {} → {}", item.pack, item.from, item.to)).collect();
        let packs: Vec<Json> =
            behind.packs().iter().map(|item| json!({ "pack": item.pack, "from": item.from, "to": item.to })).collect();
        let subdomain = behind.subdomain();
        match (outcome, &self.bar) {
            (Ok(()), None) => self.out.line(Mark::Good, subdomain, &steps.join(", ")),
            (Ok(()), Some(_)) => {}
            (Err(failed), None) => self.out.line(Mark::Bad, subdomain, &failed.to_string()),
            (Err(failed), Some(bar)) => bar.suspend(|| self.out.line(Mark::Bad, subdomain, &failed.to_string())),
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        self.outcomes.borrow_mut().push(match outcome {
            Ok(()) => json!({ "subdomain": subdomain, "outcome": "migrated", "packs": packs }),
            Err(failed) => {
                json!({ "subdomain": subdomain, "outcome": "failed", "packs": packs, "error": failed.to_string() })
            }
        });
    }

    /// Takes the bar away; gives an object for each tenant.
    pub(super) fn end(self) -> Vec<Json> {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.outcomes.into_inner()
    }
}
