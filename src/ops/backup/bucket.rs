//! Backups in an S3-compatible store: `s3://BUCKET/KEY` in the place of a path.
//!
//! Credentials, region and endpoint come from the environment, under the names that the tools of AWS use:
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, and so on.
//!
//! Everything here waits, and is called from threads that may.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Bytes of a part. A store takes at most 10,000 parts, and none but the last below 5 MiB; of these one is on its way while
/// the next is made.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// An object, or what the keys of several begin with.
#[derive(Debug, Clone)]
pub struct Object {
    store: Arc<AmazonS3>,
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
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build()?;
        Ok(Self { store: Arc::new(store), key, runtime: Handle::current() })
    }

    /// What is in it.
    pub fn read(&self) -> io::Result<impl Read + Send + use<>> {
        let got = self.runtime.block_on(self.store.get(&self.key))?;
        let stream = got.into_stream().map_err(io::Error::from);
        Ok(SyncIoBridge::new_with_handle(StreamReader::new(stream), self.runtime.clone()))
    }

    /// Begins to write it. It is there when it is whole; one that is there is replaced then.
    pub fn create(&self) -> io::Result<Upload> {
        let upload = self.runtime.block_on(self.store.put_multipart(&self.key))?;
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
        let found = self.runtime.block_on(found)?;
        let named = |one: &object_store::ObjectMeta| {
            let parts = one.location.prefix_match(&self.key)?;
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            Some(Listed { name: parts.join("/"), bytes: one.size, modified: one.last_modified.into() })
        };
        Ok(found.iter().filter_map(named).collect())
    }

    /// Removes it.
    pub fn remove(&self) -> io::Result<()> {
        Ok(self.runtime.block_on(self.store.delete(&self.key))?)
    }
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
            Some(part) => Ok(self.runtime.block_on(part).map_err(io::Error::other)??),
            None => Ok(()),
        }
    }

    /// Puts it in its place. Gives how many bytes it has.
    pub fn finish(mut self) -> io::Result<u64> {
        self.send()?;
        self.arrived()?;
        if let Some(upload) = &mut self.upload {
            self.runtime.block_on(upload.complete())?;
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
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = self.runtime.block_on(upload.abort())
        {
            tracing::warn!("what was written of a backup stays in its bucket: {error}");
        }
    }
}
