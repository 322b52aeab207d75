//! Lists and reports as files, streamed: rows leave as they come, so the memory of an export is that of a few rows.

mod csv;
mod xlsx;

pub use csv::{header as csv_header, row as csv_row};

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_util::task::AbortOnDropHandle;

use super::parse::ListRequest;
use super::places::Place;
use super::plan::Shape;
use super::render::{self, Form};
use super::run::Engine;
use crate::access::Right;
use crate::db::{Failure, Rows, Stop};
use crate::error::{Error, Kind, Result};
use crate::pack;

/// How much of a file is put together before it leaves, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// A form of a list that is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, with a header.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Office Open XML workbook.
    Xlsx,
}

impl Format {
    /// All of them, by their names in `format=`.
    pub const ALL: [(&'static str, Self); 3] = [("csv", Self::Csv), ("ndjson", Self::Ndjson), ("xlsx", Self::Xlsx)];

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// Its ending in file names.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Xlsx => "xlsx",
        }
    }
}

/// A column of a file.
#[derive(Debug, Clone)]
pub struct Heading {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: pack::Kind,
}

/// An export that has begun: its first row has come, so it was not refused.
pub struct Export {
    rows: Rows,
    first: Option<Row>,
    headings: Vec<Heading>,
    format: Format,
    limit: Duration,
    /// Given back when the last piece was handed over.
    _place: Place,
}

impl Engine {
    /// Begins an export of a resource or report. There is no limit unless the request sets one.
    pub async fn export(
        &self,
        right: &Right,
        shape: Shape<'_>,
        request: &ListRequest,
        format: Format,
    ) -> Result<Export> {
        if request.cursor.is_some() {
            return Err(Error::malformed("A file has no pages: leave `cursor` out."));
        }
        let plan = self.planned(right, shape, request)?;
        let headings = plan.level.headings();
        let form = match format {
            Format::Ndjson => Form::Json,
            Format::Csv => Form::Text,
            Format::Xlsx => Form::Sheet,
        };
        let place = self.exports.enter(right.bucket(), right.tenant())?;
        let limit = self.long_work;
        let scope = right.read(limit);
        let mut rows = match self.database.stream(&scope, &render::export(&plan, form)).await {
            Ok(rows) => rows,
            Err(stop) => return Err(self.explain_read(stop, &plan.level)),
        };
        let first = rows.next().await.map_err(|failure| self.explain_read(Stop::Failed(failure), &plan.level))?;
        Ok(Export { rows, first, headings, format, limit, _place: place })
    }
}

/// Pieces on their way to the reader, and the work that makes them.
type Pieces = (mpsc::Receiver<Bytes>, AbortOnDropHandle<Result<()>>);

impl Export {
    /// The file in pieces. What goes wrong now breaks it off: its beginning has left already.
    ///
    /// The work has a clock of its own, because a reader who takes a byte now and then would hold its connection and
    /// its place for ever. It ends at once when the reader goes away.
    pub fn into_chunks(self) -> impl Stream<Item = Result<Bytes>> + Send {
        let limit = self.limit;
        let (sender, receiver) = mpsc::channel(1);
        let work = timeout(limit, self.send(sender)).map(|outcome| outcome.unwrap_or_else(|_| Err(too_slow())));
        let pieces = (receiver, AbortOnDropHandle::new(tokio::spawn(work)));
        stream::unfold(Some(pieces), |pieces| async { next_piece(pieces?).await })
    }

    async fn send(mut self, pieces: mpsc::Sender<Bytes>) -> Result<()> {
        if self.format == Format::Xlsx {
            let mut file = xlsx::write(&mut self).await?;
            while let Some(bytes) = piece(&mut file).await? {
                pieces.send(bytes).await.map_err(|_| gone())?;
            }
            return Ok(());
        }
        let mut begins = true;
        while let Some(bytes) = self.text(std::mem::take(&mut begins)).await? {
            pieces.send(bytes).await.map_err(|_| gone())?;
        }
        Ok(())
    }
}

async fn next_piece((mut pieces, work): Pieces) -> Option<(Result<Bytes>, Option<Pieces>)> {
    if let Some(bytes) = pieces.recv().await {
        return Some((Ok(bytes), Some((pieces, work))));
    }
    let error = work.await.map_err(Error::internal).and_then(|done| done).err()?;
    tracing::warn!(context = error.private_context(), "an export broke off");
    Some((Err(error), None))
}

fn too_slow() -> Error {
    Error::new(Kind::Timeout, "timeout", "The export took too long and was stopped.")
        .context("long_work_timeout_ms is over")
}

fn gone() -> Error {
    Error::internal("the reader of an export went away")
}

async fn piece(file: &mut tokio::fs::File) -> Result<Option<Bytes>> {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::with_capacity(CHUNK_BYTES);
    file.take(CHUNK_BYTES as u64).read_to_end(&mut bytes).await.map_err(Error::internal)?;
    Ok((!bytes.is_empty()).then(|| bytes.into()))
}

impl Export {
    async fn next(&mut self) -> Result<Option<Row>, Failure> {
        match self.first.take() {
            Some(row) => Ok(Some(row)),
            None => self.rows.next().await,
        }
    }

    async fn text(&mut self, begins: bool) -> Result<Option<Bytes>> {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        if begins && self.format == Format::Csv {
            csv::header(&mut bytes, &self.headings);
        }
        while bytes.len() < CHUNK_BYTES {
            match self.next().await? {
                None => break,
                Some(row) if self.format == Format::Csv => csv::row(&mut bytes, &self.headings, &row)?,
                Some(row) => {
                    bytes.extend_from_slice(row.try_get::<_, &str>(0).map_err(Failure::from)?.as_bytes());
                    bytes.push(b'\n');
                }
            }
        }
        Ok((!bytes.is_empty()).then(|| bytes.into()))
    }
}
