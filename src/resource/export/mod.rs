//! Lists and reports as files, streamed: rows leave as they come, so the memory of an export is that of a few rows.

mod csv;
mod limits;
mod xlsx;

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio_postgres::Row;

pub use limits::Exports;
use limits::Place;

use super::parse::ListRequest;
use super::plan::Shape;
use super::render::{self, Form};
use super::run::Engine;
use crate::access::Right;
use crate::db::{Failure, Rows, Stop};
use crate::error::{Error, Result};
use crate::pack::Kind;

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
    pub kind: Kind,
}

/// An export that has begun: its first row has come, so it was not refused.
pub struct Export {
    rows: Rows,
    first: Option<Row>,
    headings: Vec<Heading>,
    format: Format,
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
        let place = self.exports.enter(right.tenant())?;
        let scope = right.read(self.exports.limit());
        let mut rows = match self.database.stream(&scope, &render::export(&plan, form)).await {
            Ok(rows) => rows,
            Err(stop) => return Err(self.explain_read(stop, &plan)),
        };
        let first = rows.next().await.map_err(|failure| self.explain_read(Stop::Failed(failure), &plan))?;
        Ok(Export { rows, first, headings, format, _place: place })
    }
}

impl Export {
    /// The file in pieces. What goes wrong now breaks it off: its beginning has left already.
    pub fn into_chunks(self) -> impl Stream<Item = Result<Bytes>> + Send {
        let began = std::time::Instant::now();
        stream::try_unfold(Source::new(self), move |mut source| async move {
            match source.chunk().await {
                Ok(Some(bytes)) => Ok(Some((bytes, source))),
                Ok(None) => Ok(None),
                Err(error) => {
                    let context = error.private_context();
                    tracing::warn!(context, seconds = began.elapsed().as_secs(), "an export broke off");
                    Err(error)
                }
            }
        })
    }
}

/// Where the pieces of a file come from.
enum Source {
    Text(Box<Export>, bool),
    Sheet(Box<Export>),
    File(tokio::fs::File),
}

impl Source {
    fn new(export: Export) -> Self {
        match export.format {
            Format::Xlsx => Self::Sheet(Box::new(export)),
            Format::Csv | Format::Ndjson => Self::Text(Box::new(export), true),
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        if let Self::Sheet(export) = self {
            *self = Self::File(xlsx::write(export).await?);
        }
        match self {
            Self::Text(export, begins) => export.text(std::mem::take(begins)).await,
            Self::File(file) => piece(file).await,
            Self::Sheet(_) => Err(Error::internal("a workbook is written only once")),
        }
    }
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

/// How long an export may read.
pub const TIME_LIMIT: Duration = Duration::from_secs(600);
