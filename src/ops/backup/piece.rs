//! What travels between those who read a tenant's data and those who take it: from the database or a file, into the
//! database or a file.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::header::Header;
use crate::error::{Error, Result};

/// Bytes of rows that travel together, about.
pub const CHUNK_BYTES: usize = 128 * 1024;

/// Pieces on their way; the memory of a backup is that of so many chunks.
const UNDER_WAY: usize = 16;

/// A piece.
#[derive(Debug)]
pub enum Piece {
    /// First of all.
    Header(Box<Header>),
    /// The rows of a table follow.
    Table(String),
    /// Rows in the text form of COPY, or parts of rows.
    Rows(Bytes),
    /// No more rows of the table.
    End(Tally),
    /// That was all.
    Finish,
}

/// What the rows of a table come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// How many.
    pub rows: u64,
    /// SHA-256 over all of them in hexadecimal.
    pub sha256: String,
}

/// Counts rows as they go by.
#[derive(Default)]
pub struct Counter {
    rows: u64,
    hash: Sha256,
}

impl Counter {
    /// In the text form of COPY every row is a line, whatever its values are.
    pub fn see(&mut self, rows: &[u8]) {
        self.rows += rows.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.hash.update(rows);
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What they come to.
    pub fn tally(self) -> Tally {
        Tally { rows: self.rows, sha256: data_encoding::HEXLOWER.encode(&self.hash.finalize()) }
    }
}

/// The end of the way where pieces come out.
pub struct Pieces(mpsc::Receiver<Result<Piece>>);

/// The end where they go in.
pub type Giver = mpsc::Sender<Result<Piece>>;

/// A way for pieces.
pub fn way() -> (Giver, Pieces) {
    let (giver, taker) = mpsc::channel(UNDER_WAY);
    (giver, Pieces(taker))
}

impl Pieces {
    /// The next piece.
    pub async fn next(&mut self) -> Result<Piece> {
        self.0.recv().await.unwrap_or_else(|| Err(broken_off()))
    }

    /// The same for a thread that may wait.
    pub fn next_blocking(&mut self) -> Result<Piece> {
        self.0.blocking_recv().unwrap_or_else(|| Err(broken_off()))
    }

    /// The header, which comes first.
    pub async fn header(&mut self) -> Result<Header> {
        match self.next().await? {
            Piece::Header(header) => Ok(*header),
            _ => Err(Error::internal("the header does not come first")),
        }
    }
}

fn broken_off() -> Error {
    Error::internal("the other side of a backup went away")
}

/// Told how work on a whole tenant goes on.
pub type Tell = std::sync::Arc<dyn Fn(Told) + Send + Sync>;

/// What is told of it.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// It is in the journal under this key; what could be refused at once has not been.
    Begun(Uuid),
    /// Rows have gone by; told now and then.
    Rows(Progress),
}

/// Tells nobody.
pub fn quiet() -> Tell {
    std::sync::Arc::new(|_| {})
}

/// How far a backup or restore has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Rows so far.
    pub rows: u64,
    /// Rows in all.
    pub of: u64,
}
