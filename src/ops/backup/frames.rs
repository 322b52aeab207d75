//! The outermost layer of a backup file: pieces, each with a proof that it is what was written, where it was written.
//!
//! `INSULABK | version (1) | encrypted (1) | start (19)`, then frames of `length (4) | content | proof`. The highest bit of
//! the length marks the last frame. Encrypted, the proof is that of STREAM over XChaCha20-Poly1305 with the instance's key;
//! otherwise it is SHA-256 over the proof before, the mark and the content, which shows damage and no forger. Nothing is
//! looked at before its proof was.

use std::io::{self, ErrorKind, Read, Write};

use sha2::{Digest, Sha256};

use crate::db::seal::{Decryptor, Encryptor, STREAM_START_BYTES, SealingKey, random};

const MAGIC: &[u8; 8] = b"INSULABK";
const VERSION: u8 = 1;
const CONTENT_BYTES: usize = 256 * 1024;
/// The longer of the two proofs.
const LONGEST_PROOF: usize = 32;
const LAST: u32 = 1 << 31;

enum Sealer {
    Hash([u8; 32]),
    Key(Box<Option<Encryptor>>),
}

enum Opener {
    Hash([u8; 32]),
    Key(Box<Option<Decryptor>>),
}

/// Writes frames.
pub struct Frames<W> {
    out: W,
    sealer: Sealer,
    head: Vec<u8>,
    content: Vec<u8>,
}

fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.into())
}

fn proof(before: &[u8; 32], last: bool, content: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(before).chain_update([u8::from(last)]).chain_update(content).finalize().into()
}

impl<W: Write> Frames<W> {
    /// Begins a file; with a key it is encrypted.
    pub fn new(mut out: W, key: Option<&SealingKey>) -> io::Result<Self> {
        let start: [u8; STREAM_START_BYTES] = random().map_err(|error| io::Error::other(error.private_context()))?;
        let head = [&MAGIC[..], &[VERSION, u8::from(key.is_some())]].concat();
        out.write_all(&head)?;
        out.write_all(&start)?;
        let sealer = match key {
            Some(key) => Sealer::Key(Box::new(Some(key.encryptor(&start)))),
            None => Sealer::Hash(Sha256::new().chain_update(&head).chain_update(start).finalize().into()),
        };
        Ok(Self { out, sealer, head, content: Vec::with_capacity(CONTENT_BYTES) })
    }

    fn frame(&mut self, last: bool) -> io::Result<()> {
        let refused = |_| io::Error::other("a piece cannot be encrypted");
        let body = match &mut self.sealer {
            Sealer::Hash(before) => {
                *before = proof(before, last, &self.content);
                [&self.content[..], before].concat()
            }
            Sealer::Key(encryptor) => {
                let payload = chacha20poly1305::aead::Payload { msg: &self.content, aad: &self.head };
                match encryptor.as_mut() {
                    Some(encryptor) if !last => encryptor.encrypt_next(payload).map_err(refused)?,
                    _ => encryptor.take().map_or(Ok(Vec::new()), |e| e.encrypt_last(payload)).map_err(refused)?,
                }
            }
        };
        let length = u32::try_from(body.len()).map_err(io::Error::other)? | if last { LAST } else { 0 };
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&body)?;
        self.content.clear();
        Ok(())
    }

    /// Writes the last frame; gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.frame(true)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Frames<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.content.len() == CONTENT_BYTES {
            self.frame(false)?;
        }
        let taken = bytes.len().min(CONTENT_BYTES - self.content.len());
        self.content.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads frames, each only when its proof is good.
pub struct Opened<R> {
    from: R,
    opener: Opener,
    head: Vec<u8>,
    content: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Opened<R> {
    /// Looks at the beginning of a file. `key` opens it when it is encrypted.
    pub fn new(mut from: R, key: &SealingKey) -> io::Result<Self> {
        let mut head = vec![0; MAGIC.len() + 2];
        let mut start = [0; STREAM_START_BYTES];
        from.read_exact(&mut head).and_then(|()| from.read_exact(&mut start)).map_err(|_| damaged(NO_BACKUP))?;
        let opener = match (head.strip_prefix(MAGIC), head.last()) {
            (Some([VERSION, 0]), _) => {
                Opener::Hash(Sha256::new().chain_update(&head).chain_update(start).finalize().into())
            }
            (Some([VERSION, 1]), _) => Opener::Key(Box::new(Some(key.decryptor(&start)))),
            (Some([version, 0 | 1]), _) => {
                return Err(damaged(format!("its format is version {version}, and this program reads {VERSION}")));
            }
            _ => return Err(damaged(NO_BACKUP)),
        };
        Ok(Self { from, opener, head, content: Vec::new(), at: 0, ended: false })
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.from.read_exact(&mut length).map_err(cut_off)?;
        let length = u32::from_be_bytes(length);
        let (last, length) = (length & LAST != 0, usize::try_from(length & !LAST).map_err(io::Error::other)?);
        if length > CONTENT_BYTES + LONGEST_PROOF {
            return Err(damaged("it is damaged"));
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body).map_err(cut_off)?;
        self.content = self.open(body, last)?;
        (self.at, self.ended) = (0, last);
        if last && self.from.read(&mut [0])? > 0 {
            return Err(damaged("something follows its end"));
        }
        Ok(())
    }

    fn open(&mut self, mut body: Vec<u8>, last: bool) -> io::Result<Vec<u8>> {
        match &mut self.opener {
            Opener::Hash(before) => {
                let content = body.len().checked_sub(before.len()).ok_or_else(|| damaged("it is damaged"))?;
                let given = body.split_off(content);
                *before = proof(before, last, &body);
                if given == before[..] { Ok(body) } else { Err(damaged("it is damaged")) }
            }
            Opener::Key(decryptor) => {
                let payload = chacha20poly1305::aead::Payload { msg: &body, aad: &self.head };
                let opened = match decryptor.as_mut() {
                    Some(decryptor) if !last => decryptor.decrypt_next(payload),
                    _ => decryptor
                        .take()
                        .map_or(Err(chacha20poly1305::aead::Error), |decryptor| decryptor.decrypt_last(payload)),
                };
                opened.map_err(|_| damaged("it is damaged, or was encrypted with another key than `encryption.key`"))
            }
        }
    }
}

const NO_BACKUP: &str = "it does not begin as one";

fn cut_off(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::UnexpectedEof { damaged("it is cut off") } else { error }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.content.len() {
            if self.ended {
                return Ok(0);
            }
            self.fill()?;
        }
        let taken = into.len().min(self.content.len() - self.at);
        into[..taken].copy_from_slice(&self.content[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8], key: Option<&SealingKey>) -> Vec<u8> {
        let mut frames = Frames::new(Vec::new(), key).unwrap();
        frames.write_all(bytes).unwrap();
        frames.finish().unwrap()
    }

    fn read(file: &[u8], key: &SealingKey) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Opened::new(file, key)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn key() -> SealingKey {
        SealingKey::from_base64(&SealingKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let (key, other) = (key(), key());
        for length in [0, 1, CONTENT_BYTES - 1, CONTENT_BYTES, CONTENT_BYTES + 1, 3 * CONTENT_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let (sealed, open) = (written(&bytes, Some(&key)), written(&bytes, None));
            assert_eq!(read(&sealed, &key).unwrap(), bytes);
            assert_eq!(read(&open, &other).unwrap(), bytes);
            assert!(read(&sealed, &other).is_err());
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let key = key();
        for sealing in [Some(&key), None] {
            let file = written(b"a tenant's data", sealing);
            for at in 0..file.len() {
                let mut changed = file.clone();
                changed[at] ^= 0x40;
                assert!(read(&changed, &key).is_err(), "byte {at}");
                assert!(read(&file[..at], &key).is_err(), "cut at {at}");
            }
            assert!(read(&[&file[..], b"x"].concat(), &key).unwrap_err().to_string().contains("follows its end"));
        }
    }

    #[test]
    fn frames_cannot_be_moved_or_left_out() {
        let key = key();
        for sealing in [Some(&key), None] {
            let head = MAGIC.len() + 2 + STREAM_START_BYTES;
            let file = written(&vec![7; 3 * CONTENT_BYTES], sealing);
            let frame = (u32::from_be_bytes(file[head..head + 4].try_into().unwrap()) + 4) as usize;
            let (one, two, rest) = (head, head + frame, head + 2 * frame);
            let swapped = [&file[..one], &file[two..rest], &file[one..two], &file[rest..]].concat();
            let without = [&file[..one], &file[two..]].concat();
            assert!(read(&swapped, &key).is_err() && read(&without, &key).is_err());
        }
    }
}
