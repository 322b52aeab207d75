//! Many new rows: in statements as large as may be and, where PostgreSQL refuses one, row by row, to say which row it is
//! that is refused.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::body::{Fields, MOST_AT_ONCE, Rows, conflict_columns, group, pointer};
use super::super::prefer::Resolution;
use super::super::run::Engine;
use super::one_at_a_time;
use super::operation::Progress;
use super::render_many::{Answering, Upsert, insert_many};
use crate::access::Right;
use crate::db::Open;
use crate::error::{Error, Kind, Result};
use crate::pack::{Column, Resource};
use crate::sql::Sql;

/// Rows of the first statement where they are made step by step, and of one whose rows are then tried one by one.
const STRIDE: usize = 500;
/// Rows of a statement after all went well for a while: many small steps burden the server with subtransactions.
const LONG_STRIDE: usize = 8_000;
/// Refused rows after which no more are looked for.
const MOST_REFUSED: usize = 50;

/// Many new rows of one body.
#[derive(Debug, Clone)]
pub struct Bulk {
    resource: Arc<Resource>,
    rows: Rows,
    resolution: Option<Resolution>,
    on_conflict: Option<String>,
}

impl Bulk {
    /// Rows, and what happens to those that are there already, as `on_conflict=` tells them.
    pub fn new(
        resource: Arc<Resource>,
        rows: Rows,
        resolution: Option<Resolution>,
        on_conflict: Option<&str>,
    ) -> Result<Self> {
        one_at_a_time(&resource)?;
        let bulk = Self { resource, rows, resolution, on_conflict: on_conflict.map(str::to_owned) };
        bulk.upsert()?;
        Ok(bulk)
    }

    /// The resource.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// How many rows.
    pub fn count(&self) -> usize {
        self.rows.0.len()
    }

    /// Whether nobody should wait for so many.
    pub fn is_long(&self) -> bool {
        self.count() > MOST_AT_ONCE
    }

    /// All rows, held against the columns.
    pub fn fields(&self) -> Result<Vec<Fields<'_>>> {
        let rows = self.rows.read(&self.resource, self.resolution.is_some(), 0..self.count())?;
        self.tell_apart(&mut HashMap::new(), 0, &rows).map(|()| rows)
    }

    /// Two rows of a body cannot both be merged into the same record. `seen` holds those before `first`.
    fn tell_apart(&self, seen: &mut HashMap<Vec<String>, usize>, first: usize, rows: &[Fields<'_>]) -> Result<()> {
        let Some(upsert) = self.upsert()? else { return Ok(()) };
        let mut faults = Error::validation();
        for (at, row) in (first..).zip(rows) {
            let given = |column: &&Column| {
                let field = row.0.iter().find(|field| field.column.name == column.name);
                field.and_then(|field| field.value.as_text()).map(str::to_owned)
            };
            let key: Option<Vec<String>> = upsert.columns.iter().map(given).collect();
            if let Some(other) = key.and_then(|key| seen.insert(key, at)) {
                faults = faults.field(format!("#/{at}"), "duplicate", format!("is about the same record as #/{other}"));
            }
        }
        faults.if_any()
    }

    fn upsert(&self) -> Result<Option<Upsert<'_>>> {
        let Some(resolution) = self.resolution else { return Ok(None) };
        let columns = conflict_columns(&self.resource, self.on_conflict.as_deref())?;
        Ok(Some(Upsert { columns, resolution }))
    }

    /// Statements that make these rows, each with the places of its own.
    pub fn statements(&self, rows: &[Fields<'_>], answer: Answering) -> Result<Vec<(Sql, Vec<usize>)>> {
        let upsert = self.upsert()?;
        let groups = group(&self.resource, rows, upsert.is_none());
        let one = |group| (insert_many(&self.resource, &group, upsert.as_ref(), answer), group.places);
        Ok(groups.into_iter().map(one).collect())
    }
}

impl Engine {
    /// Makes the rows in work that is open. What is refused is said of its row, `#/3/email`; the work is then to be undone.
    pub(super) async fn make_rows(&self, open: &mut Open, bulk: &Bulk, mut progress: Progress<'_>) -> Result<()> {
        let (mut seen, mut told_apart) = (HashMap::new(), 0);
        let (mut done, mut stride, mut refused) = (0, STRIDE, None);
        while done < bulk.count() && !refused.as_ref().is_some_and(is_enough) {
            let end = bulk.count().min(done + stride);
            let read = bulk.rows.read(&bulk.resource, bulk.resolution.is_some(), done..end).and_then(|rows| {
                let from = told_apart.clamp(done, end);
                bulk.tell_apart(&mut seen, from, &rows[from - done..])?;
                Ok(rows)
            });
            told_apart = told_apart.max(end);
            match read {
                Err(error) => also(&mut refused, error),
                Ok(rows) => match open.attempt(&statements(bulk, &rows)?).await {
                    Ok(()) => stride = LONG_STRIDE.min(stride * 2),
                    Err(stop) => {
                        judge(self.meaning(stop))?;
                        if rows.len() > STRIDE {
                            stride = STRIDE;
                            continue;
                        }
                        self.one_by_one(open, bulk, done, &rows, &mut refused).await?;
                    }
                },
            }
            done = end;
            progress.come_to(self, done).await?;
        }
        refused.map_or(Ok(()), Err)
    }

    async fn one_by_one(
        &self,
        open: &mut Open,
        bulk: &Bulk,
        first: usize,
        rows: &[Fields<'_>],
        refused: &mut Option<Error>,
    ) -> Result<()> {
        for (at, row) in rows.iter().enumerate() {
            let Err(stop) = open.attempt(&statements(bulk, std::slice::from_ref(row))?).await else { continue };
            let error = of_row(judge(self.meaning(stop))?, first + at);
            also(refused, error);
            if refused.as_ref().is_some_and(is_enough) {
                break;
            }
        }
        Ok(())
    }

    /// Which rows it was that PostgreSQL refused: all are tried again, in vain. Gives the refusal of all of them
    /// together when nothing more is to be found out.
    pub(super) async fn blame(&self, right: &Right, bulk: &Bulk, together: Error) -> Error {
        let Ok((mut open, _)) = self.database.begin_steps(&right.write(self.limit), &[]).await else { return together };
        let made = self.make_rows(&mut open, bulk, Progress::untold()).await;
        open.undo().await;
        match made {
            Err(error) if matches!(error.kind(), Kind::Invalid | Kind::Conflict | Kind::Forbidden) => error,
            _ => together,
        }
    }
}

fn statements(bulk: &Bulk, rows: &[Fields<'_>]) -> Result<Vec<Sql>> {
    Ok(bulk.statements(rows, Answering::Number)?.into_iter().map(|(sql, _)| sql).collect())
}

/// A refusal of a row, or an end of everything.
fn judge(error: Error) -> Result<Error> {
    match error.kind() {
        Kind::Invalid | Kind::Conflict | Kind::Forbidden | Kind::NotFound => Ok(error),
        _ => Err(error),
    }
}

fn also(refused: &mut Option<Error>, error: Error) {
    *refused = Some(match refused.take() {
        Some(before) => before.joined(error),
        None => error,
    });
}

fn is_enough(refused: &Error) -> bool {
    refused.faults().len() >= MOST_REFUSED
}

/// A refusal, said of the row at a place of the body.
fn of_row(error: Error, at: usize) -> Error {
    let row = pointer(&at.to_string());
    if error.faults().is_empty() {
        let (code, message) = (error.code().to_owned(), error.message().into_owned());
        return error.field(row, code, message);
    }
    error.within(&row)
}
