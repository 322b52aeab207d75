//! Where packs come from: the binary, and a folder of the operator.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use super::check::Complaint;
use super::manifest::Manifest;
use super::steps::{IndexStep, index_steps};
use crate::error::{Error, Result};

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/sql");

/// A pack as it was read.
#[derive(Debug, Clone)]
pub struct Pack {
    /// The folder it was read from.
    pub folder: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's text, for naming lines in complaints.
    pub text: String,
    /// `V<n>__<name>.sql`, ordered, numbered 1, 2, 3, ….
    pub files: Vec<File>,
    /// Believable data for a demo tenant.
    pub demo: Option<String>,
}

/// One SQL file of a pack.
#[derive(Debug, Clone)]
pub struct File {
    /// File name.
    pub name: String,
    /// Its text.
    pub sql: String,
    /// SHA-256 of its text: what was applied is compared with what there is.
    pub digest: [u8; 32],
    /// Statements that run outside a transaction, one by one; none for a file that runs as a whole in one.
    pub steps: Option<Vec<IndexStep>>,
}

impl File {
    fn read(name: String, sql: String) -> Result<Self, String> {
        let digest = Sha256::digest(&sql).into();
        Ok(Self { steps: index_steps(&sql)?, name, sql, digest })
    }

    /// Its text for a transaction: in a schema that nobody works in, indexes need not be made beside the work.
    pub fn in_transaction(&self) -> Cow<'_, str> {
        match &self.steps {
            None => Cow::Borrowed(&self.sql),
            Some(steps) => steps.iter().map(|step| format!("{};\n", step.blocking())).collect::<String>().into(),
        }
    }
}

impl Pack {
    /// The newest version: the number of files.
    pub fn version(&self) -> i32 {
        i32::try_from(self.files.len()).unwrap_or(i32::MAX)
    }

    /// The oldest version that this program serves; older ones must be brought up to date first.
    pub fn min_version(&self) -> i32 {
        self.manifest.min_version.unwrap_or_else(|| self.version())
    }

    /// Digests of the files up to a version.
    pub fn digests(&self, version: i32) -> Vec<&[u8]> {
        let files = self.files.iter().take(usize::try_from(version).unwrap_or(0));
        files.map(|file| file.digest.as_slice()).collect()
    }

    /// Whether the binary holds this very pack. Then its files and manifest were checked before the binary was.
    pub fn is_built_in(&self) -> bool {
        let same = |name: &str, text: &str| {
            let file = EMBEDDED.get_file(format!("{}/{name}", self.manifest.code));
            file.and_then(include_dir::File::contents_utf8) == Some(text)
        };
        same("pack.toml", &self.text) && self.files.iter().all(|file| same(&file.name, &file.sql))
    }

    fn read(folder: &str, files: BTreeMap<String, String>) -> Result<Self, Vec<Complaint>> {
        let at = |file: &str| format!("{folder}/{file}");
        let Some(text) = files.get("pack.toml").cloned() else {
            return Err(vec![Complaint::new(at("pack.toml"), 0, "is missing")]);
        };
        let manifest: Manifest = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            vec![Complaint::new(at("pack.toml"), line, error.message())]
        })?;
        let demo = files.get("demo.sql").cloned();
        let mut numbered: Vec<(u32, File)> = Vec::new();
        let mut complaints = Vec::new();
        for (name, sql) in files.into_iter().filter(|(name, _)| name.ends_with(".sql") && name != "demo.sql") {
            match version(&name) {
                Some(number) => match File::read(name.clone(), sql) {
                    Ok(file) => numbered.push((number, file)),
                    Err(why) => complaints.push(Complaint::new(at(&name), 0, why)),
                },
                None => complaints.push(Complaint::new(at(&name), 0, "must be named V<n>__<name>.sql")),
            }
        }
        numbered.sort_by_key(|(number, _)| *number);
        for (expected, (number, file)) in (1..).zip(&numbered) {
            if *number != expected {
                complaints.push(Complaint::new(
                    at(&file.name),
                    0,
                    format!("must be number {expected}: versions count 1, 2, 3, …"),
                ));
                break;
            }
        }
        if numbered.is_empty() {
            complaints.push(Complaint::new(at("V1__….sql"), 0, "is missing: a pack has at least one file"));
        }
        if complaints.is_empty() {
            Ok(Self {
                folder: folder.to_owned(),
                manifest,
                text,
                files: numbered.into_iter().map(|(_, file)| file).collect(),
                demo,
            })
        } else {
            Err(complaints)
        }
    }
}

/// `V12__orders.sql` is version 12.
fn version(name: &str) -> Option<u32> {
    let (number, rest) = name.strip_prefix('V')?.split_once("__")?;
    (rest.len() > ".sql".len()).then(|| number.parse().ok()).flatten()
}

/// A set of packs in an order in which each stands behind those it requires.
#[derive(Debug, Clone)]
pub struct Packs(Vec<Pack>);

impl Packs {
    /// The packs of the binary, and those of `extra` when it is not empty.
    pub fn load(extra: &str) -> Result<Self> {
        let mut folders = Vec::new();
        for dir in EMBEDDED.dirs() {
            let text = |file: &include_dir::File<'_>| file.contents_utf8().unwrap_or_default().to_owned();
            let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let files = dir.files().map(|file| (name(file.path()), text(file))).collect();
            folders.push((format!("sql/{}", name(dir.path())), files));
        }
        if !extra.is_empty() {
            folders.extend(read_folders(Path::new(extra))?);
        }
        Self::assemble(folders).map_err(Complaint::refuse)
    }

    /// Reads the packs below `path` only: either one pack, or a folder of packs.
    pub fn load_with(path: &Path) -> Result<Result<Self, Vec<Complaint>>> {
        let mut folders = read_folders(path)?;
        let named: BTreeSet<String> = folders.iter().filter_map(|(_, files)| code(files)).collect();
        for pack in Self::load("")?.0 {
            if !named.contains(&pack.manifest.code) {
                folders.push((format!("sql/{}", pack.manifest.code), pack.into_files()));
            }
        }
        Ok(Self::assemble(folders))
    }

    fn assemble(folders: Vec<(String, BTreeMap<String, String>)>) -> Result<Self, Vec<Complaint>> {
        let mut packs = Vec::new();
        let mut complaints = Vec::new();
        for (folder, files) in folders {
            match Pack::read(&folder, files) {
                Ok(pack) => packs.push(pack),
                Err(found) => complaints.extend(found),
            }
        }
        if !complaints.is_empty() {
            return Err(complaints);
        }
        let packs = in_order(packs)?;
        let complaints = super::check::check(&packs);
        if complaints.is_empty() { Ok(Self(packs)) } else { Err(complaints) }
    }

    /// All packs, each behind those it requires.
    pub fn iter(&self) -> impl Iterator<Item = &Pack> {
        self.0.iter()
    }

    /// The pack of a code.
    pub fn get(&self, code: &str) -> Option<&Pack> {
        self.0.iter().find(|pack| pack.manifest.code == code)
    }

    /// The pack of a code that somebody typed.
    pub fn require(&self, code: &str) -> Result<&Pack> {
        self.get(code).ok_or_else(|| {
            let known: Vec<String> = self.0.iter().map(|pack| pack.manifest.code.clone()).collect();
            let guess = super::check::did_you_mean(code, &known);
            Error::malformed(format!("There is no pack `{code}`{guess}."))
        })
    }

    /// `code` and everything it requires, in order.
    pub fn with_requirements(&self, code: &str) -> Vec<&Pack> {
        let mut wanted = BTreeSet::from([code]);
        for pack in self.0.iter().rev() {
            if wanted.contains(pack.manifest.code.as_str()) {
                wanted.extend(pack.manifest.requires.iter().map(String::as_str));
            }
        }
        self.0.iter().filter(|pack| wanted.contains(pack.manifest.code.as_str())).collect()
    }

    /// Changes whenever any file of any pack does.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for pack in &self.0 {
            hash.update(&pack.text);
            for file in &pack.files {
                hash.update(&file.sql);
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Pack {
    fn into_files(self) -> BTreeMap<String, String> {
        let mut files: BTreeMap<String, String> = self.files.into_iter().map(|file| (file.name, file.sql)).collect();
        files.insert("pack.toml".to_owned(), self.text);
        files
    }
}

/// The code in a manifest, whatever else may be wrong with it.
fn code(files: &BTreeMap<String, String>) -> Option<String> {
    let manifest: toml::Table = files.get("pack.toml")?.parse().ok()?;
    Some(manifest.get("code")?.as_str()?.to_owned())
}

fn read_folders(path: &Path) -> Result<Vec<(String, BTreeMap<String, String>)>> {
    let unreadable = |error| Error::malformed(format!("Cannot read packs from {}: {error}.", path.display()));
    if path.join("pack.toml").is_file() {
        return Ok(vec![(path.display().to_string(), read_files(path).map_err(unreadable)?)]);
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        if folder.join("pack.toml").is_file() {
            folders.push((folder.display().to_string(), read_files(&folder).map_err(unreadable)?));
        }
    }
    if folders.is_empty() {
        return Err(Error::malformed(format!("There is no pack.toml in {} or in its folders.", path.display())));
    }
    Ok(folders)
}

fn read_files(folder: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

/// Names the packs that require each other, not those that merely stand behind them.
fn circle(mut packs: Vec<Pack>) -> Option<Complaint> {
    loop {
        let needed: BTreeSet<String> = packs.iter().flat_map(|pack| pack.manifest.requires.clone()).collect();
        let before = packs.len();
        packs.retain(|pack| needed.contains(&pack.manifest.code));
        if packs.len() == before {
            break;
        }
    }
    let codes: Vec<&str> = packs.iter().map(|pack| pack.manifest.code.as_str()).collect();
    let why = format!("requires in a circle: {}", codes.join(", "));
    packs.first().map(|pack| Complaint::in_manifest(pack, "requires", why))
}

/// Sorts packs behind what they require; refuses unknown requirements and circles.
fn in_order(mut packs: Vec<Pack>) -> Result<Vec<Pack>, Vec<Complaint>> {
    packs.sort_by(|a, b| a.manifest.code.cmp(&b.manifest.code));
    let codes: Vec<String> = packs.iter().map(|pack| pack.manifest.code.clone()).collect();
    let mut complaints = Vec::new();
    for (pack, next) in packs.iter().zip(packs.iter().skip(1)) {
        if pack.manifest.code == next.manifest.code {
            let why = format!("the code `{}` is used by two packs", next.manifest.code);
            complaints.push(Complaint::in_manifest(next, "code", why));
        }
    }
    for pack in &packs {
        for required in pack.manifest.requires.iter().filter(|code| !codes.contains(code)) {
            let why =
                format!("requires `{required}`, which is no pack{}", super::check::did_you_mean(required, &codes));
            complaints.push(Complaint::in_manifest(pack, required, why));
        }
    }
    let mut sorted: Vec<Pack> = Vec::new();
    while complaints.is_empty() && !packs.is_empty() {
        let ready = |pack: &Pack| {
            pack.manifest.requires.iter().all(|code| sorted.iter().any(|done| done.manifest.code == *code))
        };
        let Some(next) = packs.iter().position(ready) else {
            complaints.extend(circle(packs));
            break;
        };
        let pack = packs.remove(next);
        sorted.push(pack);
    }
    if complaints.is_empty() { Ok(sorted) } else { Err(complaints) }
}
