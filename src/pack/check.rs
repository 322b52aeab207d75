//! The pack check: what is wrong with a pack, with file, line and a guess at what was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::manifest::ResourceEntry;
use super::source::Pack;
use crate::db::Failure;
use crate::error::{Error, nearest};
use crate::ident::Ident;

/// Words of the query grammar: a column of such a name could not be filtered.
const RESERVED_COLUMNS: [&str; 11] =
    ["select", "order", "limit", "cursor", "q", "and", "or", "not", "columns", "on_conflict", "format"];

/// Paths below `/api/v1/` that are not resources.
const RESERVED_RESOURCES: [&str; 8] = ["auth", "batch", "me", "modules", "openapi", "operations", "reports", "signup"];

/// Types of an action's input.
pub(super) const INPUT_TYPES: [&str; 8] = ["uuid", "text", "int", "numeric", "bool", "date", "timestamptz", "jsonb"];

/// The one resource whose rows the service makes and ends itself.
const SERVED: &str = "api_keys";

pub(super) const VERBS: [&str; 6] = ["view", "create", "edit", "delete", "report", "export"];

/// One thing that is wrong with a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    file: String,
    line: usize,
    why: String,
}

impl Complaint {
    pub(super) fn new(file: String, line: usize, why: impl Into<String>) -> Self {
        Self { file, line, why: why.into() }
    }

    /// About the first line of the manifest that holds `word`.
    pub(super) fn in_manifest(pack: &Pack, word: &str, why: impl Into<String>) -> Self {
        let line = pack.text.lines().position(|line| holds(line, word)).map_or(0, |at| at + 1);
        Self::new(format!("{}/pack.toml", pack.folder), line, why)
    }

    /// About the first line that holds `word` below the manifest's header `[header]`, else about the header.
    pub(super) fn in_section(pack: &Pack, header: &str, word: &str, why: impl Into<String>) -> Self {
        let header = format!("[{header}]");
        let Some(start) = pack.text.lines().position(|line| line.trim() == header) else {
            return Self::in_manifest(pack, word, why);
        };
        let section = pack.text.lines().skip(start + 1).take_while(|line| !line.starts_with('['));
        let below = section.enumerate().find(|(_, line)| holds(line, word)).map_or(0, |(at, _)| at + 1);
        Self::new(format!("{}/pack.toml", pack.folder), start + 1 + below, why)
    }

    /// About the place in a file that PostgreSQL refused.
    pub(super) fn in_sql(pack: &Pack, file: &str, text: &str, failure: &Failure) -> Self {
        let before = |at: u32| text.chars().take(at.saturating_sub(1) as usize).filter(|c| *c == '\n').count() + 1;
        let line = failure.position.map_or(0, before);
        Self::new(format!("{}/{file}", pack.folder), line, format!("PostgreSQL refuses it: {}", failure.message))
    }

    /// All complaints as one error.
    #[allow(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
    pub(super) fn refuse(complaints: Vec<Self>) -> Error {
        let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        Error::malformed(format!("The packs are not valid:\n{}", lines.join("\n")))
    }
}

/// Whether a line that is no comment holds a word, not only letters of a longer one.
fn holds(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    !line.trim_start().starts_with('#')
        && line
            .match_indices(word)
            .any(|(at, _)| !line[..at].ends_with(inside) && !line[at + word.len()..].starts_with(inside))
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.why)
        } else {
            write!(f, "{}:{}: {}", self.file, self.line, self.why)
        }
    }
}

/// `; did you mean …?`, or nothing.
pub(super) fn did_you_mean(word: &str, known: &[String]) -> String {
    nearest(word, known.iter().map(String::as_str)).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// What the manifests alone can tell; names of tables and columns are checked against the template schema.
pub fn check(packs: &[Pack]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut owners: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for pack in packs {
        let manifest = &pack.manifest;
        let mut complain = |word: &str, why: String| complaints.push(Complaint::in_manifest(pack, word, why));
        if Ident::new(&*manifest.code).is_err() {
            complain("code", format!("`{}` is not a code of lower-case letters, digits and `_`", manifest.code));
        }
        if !(1..=pack.version()).contains(&pack.min_version()) {
            complain("min_version", format!("`min_version` must be from 1 to {}, the newest version", pack.version()));
        }
        let names = manifest
            .resource
            .keys()
            .map(|name| ("resource", name))
            .chain(manifest.report.keys().map(|name| ("report", name)));
        for (what, name) in names {
            let header = format!("[{what}.{name}]");
            if Ident::new(&**name).is_err() || (what == "resource" && RESERVED_RESOURCES.contains(&name.as_str())) {
                complain(&header, format!("`{name}` cannot be the name of a {what}"));
            }
            if let Some(other) = owners.insert((what, name), &manifest.code) {
                complain(&header, format!("the {what} `{name}` exists in pack `{other}` already"));
            }
        }
        for (name, resource) in &manifest.resource {
            check_resource(name, resource, &mut complain);
        }
        super::job::check(manifest, &mut complain);
        super::public::check(packs, manifest, &mut complain);
        let known = permissions_of(packs, pack);
        for (code, role) in &manifest.role {
            for grant in role.grants.iter().filter(|grant| !is_known(grant, &known)) {
                let known: Vec<String> = known.iter().cloned().collect();
                complain(
                    grant,
                    format!("role `{code}` grants `{grant}`, which no pack defines{}", did_you_mean(grant, &known)),
                );
            }
        }
    }
    complaints
}

fn check_resource(name: &str, resource: &ResourceEntry, complain: &mut impl FnMut(&str, String)) {
    for verb in resource.permissions.keys().filter(|verb| !VERBS.contains(&verb.as_str())) {
        complain(verb, format!("resource `{name}`: `{verb}` is not one of view, create, edit, delete, report, export"));
    }
    if let Some(word) = resource.if_match.as_deref().filter(|word| *word != "required") {
        complain("if_match", format!("resource `{name}`: `if_match` can only be \"required\", not `{word}`"));
    }
    if !resource.by_service.is_empty() && name != SERVED {
        complain("by_service", format!("resource `{name}`: the service carries out only `{SERVED}` itself"));
    }
    for (action, entry) in &resource.action {
        check_input(&format!("action `{name}.{action}`"), &entry.input, complain);
    }
    if let Some(maker) = &resource.create {
        check_input(&format!("`create` of `{name}`"), &maker.input, complain);
    }
}

fn check_input(whose: &str, input: &BTreeMap<String, String>, complain: &mut impl FnMut(&str, String)) {
    let known: Vec<String> = INPUT_TYPES.iter().map(ToString::to_string).collect();
    for (field, kind) in input {
        let bare = kind.strip_suffix('?').unwrap_or(kind);
        if !INPUT_TYPES.contains(&bare) {
            complain(field, format!("{whose}: `{kind}` is not a type{}", did_you_mean(bare, &known)));
        }
    }
}

/// Complains about a column whose name the query grammar needs.
pub(super) fn reserved_column(pack: &Pack, header: &str, table: &str, column: &str) -> Option<Complaint> {
    RESERVED_COLUMNS.contains(&column).then(|| {
        let why = format!("column `{table}.{column}` has a name that the query grammar needs");
        Complaint::in_section(pack, header, table, why)
    })
}

/// Every permission code that `pack` and the packs it may build on define.
fn permissions_of(packs: &[Pack], pack: &Pack) -> BTreeSet<String> {
    let below = packs.iter().take_while(|other| other.manifest.code != pack.manifest.code).chain([pack]);
    below.flat_map(|pack| pack.manifest.permissions()).collect()
}

fn is_known(grant: &str, known: &BTreeSet<String>) -> bool {
    match grant.strip_suffix('*') {
        Some("") => true,
        Some(family) => known.iter().any(|code| code.starts_with(family)),
        None => known.contains(grant),
    }
}

impl super::Manifest {
    /// Every permission code that this pack defines.
    pub fn permissions(&self) -> BTreeSet<String> {
        let mut codes: BTreeSet<String> = self.permission.keys().cloned().collect();
        codes.extend(self.report.values().map(|report| report.permission.clone()));
        for (name, resource) in &self.resource {
            codes.extend(VERBS.iter().map(|verb| resource.permission(name, verb)));
            codes.extend(resource.action.values().map(|action| action.permission.clone()));
        }
        codes
    }
}

impl ResourceEntry {
    /// The code for a verb: as the manifest says, else `<resource>.<verb>`.
    pub fn permission(&self, name: &str, verb: &str) -> String {
        self.permissions.get(verb).cloned().unwrap_or_else(|| format!("{name}.{verb}"))
    }
}
