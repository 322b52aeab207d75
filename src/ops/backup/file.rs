//! A backup as a file: records, compressed by zstd, in [frames](super::frames).
//!
//! A record is `kind (1) | length (4) | body`: `H` the header as JSON, `T` the name of a table, `D` rows in the text form of
//! COPY, `E` their number and SHA-256 as JSON, `Z` the end. Nothing in a file is ever run as SQL: names are looked up among
//! those of our own packs, and rows are values.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use super::frames::{Frames, Opened};
use super::header::Header;
use super::piece::{Counter, Giver, Piece, Pieces, Tally, way};
use super::store::{self, Source};
use crate::db::seal::SealingKey;
use crate::error::{Error, Result};

/// Of zstd: fast, and small enough.
const LEVEL: i32 = 3;
/// What a file may ask us to keep in memory while it is decompressed: 2 to the power of this, in bytes.
const WINDOW_LOG: u32 = 23;
/// No header, and no piece of rows, is longer.
const LONGEST_RECORD: usize = 8 * 1024 * 1024;

/// What a finished file is.
#[derive(Debug, Clone)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// What it begins with.
    pub header: Header,
}

/// Writes a file that appears in its place when it is whole.
pub async fn write(path: PathBuf, key: Option<SealingKey>, mut pieces: Pieces) -> Result<Written> {
    let work = move || {
        let unwritten = |error: io::Error| Error::conflict(format!("Cannot write {}: {error}.", path.display()));
        let (draft, header) = fill(store::create(&path).map_err(unwritten)?, key.as_ref(), &mut pieces, unwritten)?;
        Ok(Written { bytes: draft.finish().map_err(unwritten)?, header })
    };
    spawn_blocking(work).await.map_err(Error::internal)?
}

fn fill<W: Write>(
    draft: W,
    key: Option<&SealingKey>,
    pieces: &mut Pieces,
    unwritten: impl Fn(io::Error) -> Error,
) -> Result<(W, Header)> {
    let frames = Frames::new(draft, key).map_err(&unwritten)?;
    let mut out = Encoder::new(frames, LEVEL).map_err(&unwritten)?;
    let mut header = None;
    loop {
        let (kind, body) = match pieces.next_blocking()? {
            Piece::Header(first) => {
                let body = serde_json::to_vec(&first).map_err(Error::internal)?;
                header = Some(*first);
                (b'H', body.into())
            }
            Piece::Table(name) => (b'T', name.into()),
            Piece::Rows(rows) => (b'D', rows),
            Piece::End(tally) => (b'E', serde_json::to_vec(&tally).map_err(Error::internal)?.into()),
            Piece::Finish => break,
        };
        record(&mut out, kind, &body).map_err(&unwritten)?;
    }
    record(&mut out, b'Z', &Bytes::new()).map_err(&unwritten)?;
    let draft = out.finish().and_then(Frames::finish).map_err(&unwritten)?;
    Ok((draft, header.ok_or_else(|| Error::internal("a backup without a header"))?))
}

fn record(out: &mut impl Write, kind: u8, body: &Bytes) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    out.write_all(&[kind])?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(body)
}

/// Reads a file. What comes out is whole and in order, or ends with what is wrong with it.
pub fn read(path: PathBuf, key: SealingKey) -> Pieces {
    let (giver, pieces) = way();
    spawn_blocking(move || {
        let outcome = Reader::open(&path, &key).and_then(|mut reader| reader.pass_on(&giver));
        if let Err(error) = outcome {
            let _ = giver.blocking_send(Err(refusal(&path, &error)));
        }
    });
    pieces
}

/// What a file begins with, or why it cannot be read.
pub fn header(path: &Path, key: &SealingKey) -> Result<Header, String> {
    Reader::open(path, key).and_then(|mut reader| reader.header()).map_err(|error| why(&error))
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => error.to_string(),
    }
}

fn refusal(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Error::internal("nobody reads the backup any more"),
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory | ErrorKind::NotConnected => {
            Error::malformed(format!("Cannot read {}: {error}.", path.display()))
        }
        _ => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Error::conflict(format!("{name} is no sound backup: {}.", why(error)))
        }
    }
}

struct Reader(Decoder<'static, BufReader<Opened<BufReader<Source>>>>);

impl Reader {
    fn open(path: &Path, key: &SealingKey) -> io::Result<Self> {
        let opened = Opened::new(BufReader::new(store::read(path)?), key)?;
        let mut decoder = Decoder::new(opened)?;
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(Self(decoder))
    }

    fn header(&mut self) -> io::Result<Header> {
        let (b'H', body) = self.record()? else { return Err(invalid("its header is missing")) };
        serde_json::from_slice(&body).map_err(|error| invalid(&format!("its header: {error}")))
    }

    fn pass_on(&mut self, giver: &Giver) -> io::Result<()> {
        let give = |piece| giver.blocking_send(Ok(piece)).map_err(|_| io::Error::from(ErrorKind::BrokenPipe));
        let header = self.header()?;
        let tables: Vec<_> = header.tables.iter().map(|table| (table.name.clone(), table.rows)).collect();
        give(Piece::Header(Box::new(header)))?;
        for (name, rows) in tables {
            match self.record()? {
                (b'T', body) if body == name.as_bytes() => give(Piece::Table(name.clone()))?,
                _ => return Err(invalid(&format!("the table `{}` is not where its header says", shown(&name)))),
            }
            let tally = self.rows(&name, rows, &give)?;
            give(Piece::End(tally))?;
        }
        let (b'Z', _) = self.record()? else { return Err(invalid("it holds more than its header says")) };
        match self.0.read(&mut [0])? {
            0 => give(Piece::Finish),
            _ => Err(invalid("something follows its end")),
        }
    }

    fn rows(&mut self, name: &str, wanted: u64, give: &impl Fn(Piece) -> io::Result<()>) -> io::Result<Tally> {
        let mut counter = Counter::default();
        loop {
            match self.record()? {
                (b'D', body) => {
                    counter.see(&body);
                    if counter.rows() > wanted {
                        return Err(invalid(&format!(
                            "the table `{}` has more rows than its header says",
                            shown(name)
                        )));
                    }
                    give(Piece::Rows(body.into()))?;
                }
                (b'E', body) => {
                    let told: Tally = serde_json::from_slice(&body).map_err(|_| invalid("a table has no sum"))?;
                    let seen = counter.tally();
                    return if seen == told && seen.rows == wanted {
                        Ok(seen)
                    } else {
                        Err(invalid(&format!("the rows of the table `{}` are others than were written", shown(name))))
                    };
                }
                _ => return Err(invalid(&format!("the table `{}` has no end", shown(name)))),
            }
        }
    }

    fn record(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
        if length > LONGEST_RECORD {
            return Err(invalid("a record is too long"));
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((kind, body))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// A name out of a file, for a message: short, and nothing that a terminal obeys.
pub fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(63).collect()
}
