//! What holds backups: folders, or objects of an [S3-compatible store](super::bucket) where a path begins with `s3://`.
//!
//! Everything here waits, and is called from threads that may.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use super::bucket::{Object, Upload};

/// What is in a file or an object.
pub type Source = Box<dyn Read + Send>;

/// Opens a file or an object.
pub fn read(path: &Path) -> io::Result<Source> {
    match Object::named(path) {
        Some(object) => Ok(Box::new(object?.read()?)),
        None => Ok(Box::new(File::open(path)?)),
    }
}

/// Begins a file or an object, that appears when it is whole.
pub fn create(path: &Path) -> io::Result<Draft> {
    if let Some(object) = Object::named(path) {
        return Ok(Draft::Object(object?.create()?));
    }
    let temporary = tempfile::Builder::new().prefix(".backup-").suffix(PARTIAL).tempfile_in(parent(path))?;
    Ok(Draft::File(BufWriter::new(temporary), path.to_owned()))
}

/// Of files that are not whole.
pub const PARTIAL: &str = ".partial";

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What is being written; nothing of it stays when it is dropped.
pub enum Draft {
    /// Beside its place.
    File(BufWriter<NamedTempFile>, PathBuf),
    /// In parts.
    Object(Upload),
}

impl Draft {
    /// Puts it in its place. Gives how many bytes it has.
    pub fn finish(self) -> io::Result<u64> {
        let (file, path) = match self {
            Self::File(file, path) => (file.into_inner().map_err(|error| error.into_error())?, path),
            Self::Object(upload) => return upload.finish(),
        };
        file.as_file().sync_all()?;
        let bytes = file.as_file().metadata()?.len();
        file.persist(&path).map_err(|error| error.error)?;
        File::open(parent(&path))?.sync_all()?;
        Ok(bytes)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.write(bytes),
            Self::Object(upload) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.flush(),
            Self::Object(upload) => upload.flush(),
        }
    }
}

/// A file in a folder of a folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name of the inner folder.
    pub folder: String,
    /// Name of the file.
    pub file: String,
    /// Bytes of it.
    pub bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
}

impl Entry {
    /// Where it is.
    pub fn path(&self, root: &Path) -> PathBuf {
        root.join(&self.folder).join(&self.file)
    }
}

/// All files in the folders of a folder, or in one of them; links are none. Nothing, where there is no folder yet.
pub fn list(root: &Path, only: Option<&str>) -> io::Result<Vec<Entry>> {
    let below = only.map_or_else(|| root.to_owned(), |only| root.join(only));
    let Some(object) = Object::named(&below) else { return files(root, only) };
    let entry = |listed: super::bucket::Listed| {
        let (folder, file) = match only {
            Some(only) => (only, listed.name.as_str()),
            None => listed.name.split_once('/')?,
        };
        let (folder, file) = (folder.to_owned(), file.to_owned());
        (!file.contains('/')).then_some(Entry { folder, file, bytes: listed.bytes, modified: listed.modified })
    };
    Ok(object?.list()?.into_iter().filter_map(entry).collect())
}

fn files(root: &Path, only: Option<&str>) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for (folder, kind) in entries(root)?.into_iter().filter(|(name, _)| only.is_none_or(|only| only == name)) {
        let within = if kind.is_dir() { entries(&root.join(&folder))? } else { Vec::new() };
        for (file, kind) in within.into_iter().filter(|(_, kind)| kind.is_file()) {
            let (folder, bytes, modified) = (folder.clone(), kind.len(), kind.modified()?);
            found.push(Entry { folder, file, bytes, modified });
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<(String, fs::Metadata)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?))
    };
    fs::read_dir(folder)?.map(entry).collect()
}

/// Makes a folder; a store needs none.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if Object::named(path).is_some() { Ok(()) } else { fs::create_dir_all(path) }
}

/// Removes a file or an object.
pub fn remove(path: &Path) -> io::Result<()> {
    match Object::named(path) {
        Some(object) => object?.remove(),
        None => fs::remove_file(path),
    }
}

/// Removes a folder with all that is in it.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match Object::named(path) {
        Some(object) => object?.remove_below(),
        None => fs::remove_dir_all(path),
    }
}
