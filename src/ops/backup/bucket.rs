//! Backups in an S3-compatible store: `s3://BUCKET/KEY` in the place of a path.
//!
//! Credentials, region and endpoint come from the environment, under the names that the tools of AWS use:
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, and so on.
//!
//! Everything here waits, and is called from threads that may.

use std::future::ready;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{ClientConfigKey, GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Bytes of a part. A store takes at most 10,000 parts, and none but the last below 5 MiB; of these one is on its way while
/// the next is made.
const PART_BYTES: usize = 16 * 1024 * 1024;
/// Enough for what a backup begins with; the next ranges are longer, up to a part.
const FIRST_RANGE_BYTES: u64 = 256 * 1024;
/// How long a part or range may take.
const PART_TIMEOUT: &str = "5 minutes";

/// An object, or what the keys of several begin with.
#[derive(Debug, Clone)]
pub struct Object {
    store: Arc<dyn ObjectStore>,
    key: Key,
    runtime: Handle,
}

/// An object below another key.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The rest of its key.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
}

impl Object {
    /// The object that a path means, if it means one.
    pub fn named(path: &Path) -> Option<io::Result<Self>> {
        let named = path.to_str()?.strip_prefix("s3://")?;
        let (bucket, key) = named.split_once('/').unwrap_or((named, ""));
        Some(Self::new(bucket, key))
    }

    fn new(bucket: &str, key: &str) -> io::Result<Self> {
        // Another part of the program may have chosen it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = Key::parse(key.trim_end_matches('/')).map_err(io::Error::other)?;
        let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_config(timeout, PART_TIMEOUT);
        let store = builder.build().map_err(trouble)?;
        Ok(Self { store: Arc::new(store), key, runtime: Handle::current() })
    }

    /// What is in it.
    pub fn read(&self) -> io::Result<Download> {
        let found = self.runtime.block_on(self.store.head(&self.key)).map_err(trouble)?;
        Ok(Download {
            object: self.clone(),
            bytes: found.size,
            tag: found.e_tag,
            at: 0,
            range: FIRST_RANGE_BYTES,
            content: Bytes::new(),
        })
    }

    /// Begins to write it. It is there when it is whole; one that is there is replaced then.
    pub fn create(&self) -> io::Result<Upload> {
        let upload = self.runtime.block_on(self.store.put_multipart(&self.key)).map_err(trouble)?;
        Ok(Upload {
            runtime: self.runtime.clone(),
            upload: Some(upload),
            part: BytesMut::with_capacity(PART_BYTES),
            on_its_way: None,
            bytes: 0,
        })
    }

    /// All objects whose keys begin with this one and a slash.
    pub fn list(&self) -> io::Result<Vec<Listed>> {
        let found = self.store.list(Some(&self.key)).try_collect::<Vec<_>>();
        let found = self.runtime.block_on(found).map_err(trouble)?;
        let named = |one: &object_store::ObjectMeta| {
            let parts = one.location.prefix_match(&self.key)?;
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            Some(Listed { name: parts.join("/"), bytes: one.size, modified: one.last_modified.into() })
        };
        Ok(found.iter().filter_map(named).collect())
    }

    /// Removes it.
    pub fn remove(&self) -> io::Result<()> {
        self.runtime.block_on(self.store.delete(&self.key)).map_err(trouble)
    }

    /// Removes all objects whose keys begin with this one and a slash.
    pub fn remove_below(&self) -> io::Result<()> {
        let all = self.store.list(Some(&self.key)).map_ok(|one| one.location).boxed();
        self.runtime.block_on(self.store.delete_stream(all).try_for_each(|_| ready(Ok(())))).map_err(trouble)
    }
}

/// An object that is being read, range by range: whoever takes long between two of them, as a restore does, keeps no answer
/// waiting. It is the same object from the first to the last.
#[derive(Debug)]
pub struct Download {
    object: Object,
    bytes: u64,
    tag: Option<String>,
    at: u64,
    /// How long the next range is.
    range: u64,
    content: Bytes,
}

impl Download {
    fn fetch(&mut self) -> io::Result<()> {
        let Object { store, key, runtime } = &self.object;
        let end = self.bytes.min(self.at + self.range);
        let options = GetOptions { if_match: self.tag.clone(), ..GetOptions::new().with_range(Some(self.at..end)) };
        let range = async { store.get_opts(key, options).await?.bytes().await };
        self.content = runtime.block_on(range).map_err(trouble)?;
        self.at = end;
        self.range = (self.range * 4).min(PART_BYTES as u64);
        Ok(())
    }
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.content.is_empty() && self.at < self.bytes {
            self.fetch()?;
        }
        let taken = into.len().min(self.content.len());
        self.content.split_to(taken).copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}

/// What the store says, told apart from what is wrong with a backup.
fn trouble(error: object_store::Error) -> io::Error {
    let kind = match error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        _ => ErrorKind::NotConnected,
    };
    io::Error::new(kind, error)
}

/// An object that is being written. Nothing of it stays when it is dropped before [`Upload::finish`]; what a killed process
/// has begun is removed by the rule of the bucket for uploads that were not completed.
pub struct Upload {
    runtime: Handle,
    upload: Option<Box<dyn MultipartUpload>>,
    part: BytesMut,
    on_its_way: Option<JoinHandle<object_store::Result<()>>>,
    bytes: u64,
}

impl Upload {
    fn send(&mut self) -> io::Result<()> {
        self.arrived()?;
        let part = std::mem::replace(&mut self.part, BytesMut::with_capacity(PART_BYTES)).freeze();
        self.bytes += part.len() as u64;
        if let Some(upload) = &mut self.upload {
            self.on_its_way = Some(self.runtime.spawn(upload.put_part(part.into())));
        }
        Ok(())
    }

    fn arrived(&mut self) -> io::Result<()> {
        match self.on_its_way.take() {
            Some(part) => self.runtime.block_on(part).map_err(io::Error::other)?.map_err(trouble),
            None => Ok(()),
        }
    }

    /// Puts it in its place. Gives how many bytes it has.
    pub fn finish(mut self) -> io::Result<u64> {
        self.send()?;
        self.arrived()?;
        if let Some(upload) = &mut self.upload {
            self.runtime.block_on(upload.complete()).map_err(trouble)?;
        }
        self.upload = None;
        Ok(self.bytes)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.extend_from_slice(bytes);
        if self.part.len() >= PART_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        // A part that is on its way could arrive after the end.
        if let Err(error) = self.arrived().and_then(|()| self.runtime.block_on(upload.abort()).map_err(trouble)) {
            tracing::warn!("what was written of a backup stays in its bucket: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use tokio::task::spawn_blocking;

    use super::*;

    fn object(store: &Arc<InMemory>, key: &str) -> Object {
        Object { store: store.clone(), key: Key::parse(key).unwrap(), runtime: Handle::current() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_written_in_parts_is_read_in_ranges() {
        let store = Arc::new(InMemory::new());
        let (object, below) = (object(&store, "all/one/a.backup"), object(&store, "all"));
        let content: Vec<u8> = (0..2 * PART_BYTES + 7).map(|at| (at % 251) as u8).collect();
        let work = move || {
            let mut upload = object.create().unwrap();
            content.chunks(100_000).for_each(|chunk| upload.write_all(chunk).unwrap());
            assert!(below.list().unwrap().is_empty(), "not before it is whole");
            assert_eq!(upload.finish().unwrap(), content.len() as u64);
            let mut read = Vec::new();
            object.read().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == content);
            let listed = below.list().unwrap();
            assert_eq!((&*listed[0].name, listed[0].bytes), ("one/a.backup", content.len() as u64));
        };
        spawn_blocking(work).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_upload_that_is_given_up_leaves_nothing_and_a_folder_goes_whole() {
        let store = Arc::new(InMemory::new());
        let keys = ["all/one/a.backup", "all/one/deep/b", "all/one-more/c.backup"];
        let objects = keys.map(|key| object(&store, key));
        let (all, one) = (object(&store, "all"), object(&store, "all/one"));
        let work = move || {
            objects[0].create().unwrap().write_all(&vec![1; PART_BYTES + 1]).unwrap();
            assert!(all.list().unwrap().is_empty());
            for object in &objects {
                object.create().unwrap().finish().unwrap();
            }
            one.remove_below().unwrap();
            let left: Vec<String> = all.list().unwrap().into_iter().map(|object| object.name).collect();
            assert_eq!(left, ["one-more/c.backup"]);
            assert_eq!(objects[0].read().unwrap_err().kind(), ErrorKind::NotFound);
        };
        spawn_blocking(work).await.unwrap();
    }
}
