//! A bad pack is refused with file, line and a guess at what was meant.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use insula::pack::{Packs, check_catalog};

use crate::world::World;

pub const MANIFEST: &str = r#"code = "library"
name = "Library"
requires = ["system_admin"]
execute = ["library_due(date)"]

# id is in many words: hidden, identity
[resource.books]
table = "library_book"
search = ["title"]
readonly = ["state"]
scope = "owner_id = (select app_uid())"

[resource.books.action.lend]
permission = "books.lend"
function = "library_lend"
input = { to = "text", until = "date?" }

[report.overdue]
view = "library_v_overdue"
permission = "books.report"

[role.librarian]
name = "Librarian"
grants = ["books.*", "locations.view"]
"#;

pub const SQL: &str = "create table library_book (
  id uuid primary key default uuid_v7(),
  title text not null,
  owner_id uuid,
  state text not null default 'in'
);
create view library_v_overdue with (security_invoker = true) as select title from library_book;
create function library_due(d date) returns date language sql as 'select d + 14';
create function library_lend(id uuid, input jsonb) returns jsonb language sql as 'select input';
";

/// A folder of packs, removed with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("packs-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// The library with some text of its manifest changed.
    pub fn library(from: &str, to: &str) -> Self {
        assert!(MANIFEST.contains(from), "{from}");
        Self::new().with("library", &MANIFEST.replace(from, to), &[("V1__books.sql", SQL)])
    }

    /// The library with some text of its SQL changed.
    fn library_sql(from: &str, to: &str) -> Self {
        assert!(SQL.contains(from), "{from}");
        Self::new().with("library", MANIFEST, &[("V1__books.sql", &SQL.replace(from, to))])
    }

    pub fn with(self, pack: &str, manifest: &str, files: &[(&str, &str)]) -> Self {
        let folder = self.0.join(pack);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("pack.toml"), manifest).unwrap();
        for (name, sql) in files {
            fs::write(folder.join(name), sql).unwrap();
        }
        self
    }

    /// What the manifests alone are refused for, paths below this folder.
    pub fn complaints(&self) -> Vec<String> {
        match Packs::load_with(&self.0).unwrap() {
            Ok(_) => Vec::new(),
            Err(complaints) => complaints.iter().map(|complaint| self.plain(&complaint.to_string())).collect(),
        }
    }

    /// What PostgreSQL and the catalogue refuse, once the manifests are good.
    pub async fn in_database(&self, world: &World) -> Vec<String> {
        assert_eq!(self.complaints(), [""; 0]);
        let packs = Packs::load_with(&self.0).unwrap().unwrap();
        let found = check_catalog(&world.app.platform.database, packs).await.unwrap();
        found.iter().map(|complaint| self.plain(&complaint.to_string())).collect()
    }

    fn plain(&self, complaint: &str) -> String {
        complaint.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A pack of nothing but a table.
fn small(code: &str, more: &str) -> (String, String) {
    let manifest = format!("code = \"{code}\"\nname = \"Small\"\n{more}");
    (manifest, format!("create table {code}_thing (id uuid primary key);"))
}

#[tokio::test]
async fn the_packs_of_the_house_are_good_at_every_version_that_is_served() {
    let world = World::new().await;
    let found = check_catalog(&world.app.platform.database, Packs::load("").unwrap()).await.unwrap();
    assert!(found.is_empty(), "{}", found[0]);
}

#[tokio::test]
async fn a_good_pack_has_no_complaints_and_the_check_leaves_nothing() {
    let world = World::new().await;
    let schemas = "select count(*) from pg_namespace";
    let superuser = world.superuser().await;
    let before: i64 = superuser.query_one(schemas, &[]).await.unwrap().get(0);
    assert_eq!(Folder::library("", "").in_database(&world).await, [""; 0]);
    assert_eq!(superuser.query_one(schemas, &[]).await.unwrap().get::<_, i64>(0), before);
}

#[test]
fn what_the_service_does_itself_is_no_packs_to_choose() {
    let folder = Folder::library(r#"readonly = ["state"]"#, r#"by_service = ["create"]"#);
    let line = MANIFEST.lines().position(|line| line.starts_with("readonly")).unwrap() + 1;
    let why = "resource `books`: the service carries out only `api_keys` itself";
    assert_eq!(folder.complaints(), [format!("library/pack.toml:{line}: {why}")]);
}

#[test]
fn requirements_exist_and_form_no_circle() {
    let folder = Folder::library(r#"["system_admin"]"#, r#"["system_admn"]"#);
    let expected = "library/pack.toml:3: requires `system_admn`, which is no pack; did you mean `system_admin`?";
    assert_eq!(folder.complaints(), [expected]);

    let (a, sql) = small("ante", "requires = [\"bellum\"]");
    let (b, _) = small("bellum", "requires = [\"crm\", \"ante\"]");
    let (outside, _) = small("after", "requires = [\"ante\"]");
    let files: &[(&str, &str)] = &[("V1__x.sql", &sql)];
    let folder = Folder::new().with("ante", &a, files).with("bellum", &b, files).with("after", &outside, files);
    assert_eq!(folder.complaints(), ["ante/pack.toml:3: requires in a circle: ante, bellum"]);

    let (itself, sql) = small("selfish", "requires = [\"selfish\"]");
    let folder = Folder::new().with("selfish", &itself, &[("V1__x.sql", &sql)]);
    assert_eq!(folder.complaints(), ["selfish/pack.toml:3: requires in a circle: selfish"]);
}

#[test]
fn names_of_resources_reports_and_packs_are_used_once() {
    let folder = Folder::library("resource.books", "resource.contacts");
    assert_eq!(folder.complaints()[0], "library/pack.toml:7: the resource `contacts` exists in pack `crm` already");
    let folder = Folder::library("[report.overdue]", "[report.pipeline]");
    assert_eq!(folder.complaints(), ["library/pack.toml:18: the report `pipeline` exists in pack `crm` already"]);

    let (manifest, sql) = small("twin", "");
    let files: &[(&str, &str)] = &[("V1__x.sql", &sql)];
    let folder = Folder::new().with("one", &manifest, files).with("two", &manifest, files);
    let complaints = folder.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].ends_with("/pack.toml:1: the code `twin` is used by two packs"), "{complaints:?}");
}

#[test]
fn a_pack_of_the_folder_stands_for_the_built_in_one_of_its_code() {
    let (manifest, sql) = small("crm", "requires = [\"system_admin\"]");
    let folder = Folder::new().with("our-own-crm", &manifest, &[("V1__x.sql", &sql)]);
    assert_eq!(folder.complaints(), [""; 0]);
    let packs = Packs::load_with(&folder.0.join("our-own-crm")).unwrap().unwrap();
    assert_eq!(packs.get("crm").unwrap().version(), 1);
    assert_eq!(packs.iter().filter(|pack| pack.manifest.code == "crm").count(), 1);
}

#[test]
fn names_fit_into_urls_and_sql() {
    for (name, line) in [("me", 7), ("modules", 7), ("reports", 7)] {
        let folder = Folder::library("resource.books", &format!("resource.{name}"));
        let expected = format!("library/pack.toml:{line}: `{name}` cannot be the name of a resource");
        assert_eq!(folder.complaints()[0], expected);
    }
    let folder = Folder::library("[report.overdue]", "[report.Over-Due]");
    assert_eq!(folder.complaints(), ["library/pack.toml:18: `Over-Due` cannot be the name of a report"]);
    let folder = Folder::library(r#"code = "library""#, r#"code = "Library!""#);
    let expected = "library/pack.toml:1: `Library!` is not a code of lower-case letters, digits and `_`";
    assert_eq!(folder.complaints(), [expected]);
}

#[test]
fn roles_grant_what_exists() {
    for (grant, meant) in [("books.vew", "; did you mean `books.view`?"), ("kitchen.*", ""), ("telepathy", "")] {
        let folder = Folder::library("locations.view", grant);
        let expected = format!("library/pack.toml:24: role `librarian` grants `{grant}`, which no pack defines{meant}");
        assert_eq!(folder.complaints(), [expected]);
    }
    assert_eq!(Folder::library("locations.view", "*").complaints(), [""; 0]);
}

#[test]
fn the_manifest_holds_known_keys_and_types() {
    let folder = Folder::library("readonly =", "readonyl =");
    let complaint = folder.complaints().remove(0);
    assert!(complaint.starts_with("library/pack.toml:10: unknown field `readonyl`, expected one of"), "{complaint}");
    let folder = Folder::library("requires = [\"system_admin\"]", "requires = \"system_admin\"");
    assert!(folder.complaints()[0].starts_with("library/pack.toml:3: "), "{:?}", folder.complaints());
    let folder = Folder::library("name = \"Library\"", "name = ");
    assert!(folder.complaints()[0].starts_with("library/pack.toml:2: "), "{:?}", folder.complaints());
    let folder = Folder::library("until = \"date?\"", "until = \"dat?\"");
    let expected = "library/pack.toml:16: action `books.lend`: `dat?` is not a type; did you mean `date`?";
    assert_eq!(folder.complaints(), [expected]);
    let folder = Folder::library(
        "[resource.books.action.lend]",
        "permissions = { veiw = \"x.y\" }\n[resource.books.action.lend]",
    );
    assert_eq!(
        folder.complaints(),
        ["library/pack.toml:13: resource `books`: `veiw` is not one of view, create, edit, delete, report, export"]
    );
}

#[test]
fn versions_count_from_one_without_a_gap() {
    let with = |files: &[(&str, &str)]| Folder::new().with("library", MANIFEST, files).complaints();
    let gap = with(&[("V1__books.sql", SQL), ("V3__more.sql", "select 1")]);
    assert_eq!(gap, ["library/V3__more.sql: must be number 2: versions count 1, 2, 3, …"]);
    let zero = with(&[("V0__books.sql", SQL)]);
    assert_eq!(zero, ["library/V0__books.sql: must be number 1: versions count 1, 2, 3, …"]);
    let twice = with(&[("V1__books.sql", SQL), ("V1__more.sql", "select 1")]);
    assert_eq!(twice, ["library/V1__more.sql: must be number 2: versions count 1, 2, 3, …"]);
    let nameless = with(&[("V1__books.sql", SQL), ("books.sql", "select 1")]);
    assert_eq!(nameless, ["library/books.sql: must be named V<n>__<name>.sql"]);
    assert_eq!(with(&[]), ["library/V1__….sql: is missing: a pack has at least one file"]);
    let ten: Vec<String> = (1..=11).map(|n| format!("V{n}__x.sql")).collect();
    let ten: Vec<(&str, &str)> = ten.iter().map(|name| (&**name, "select 1")).collect();
    assert_eq!(with(&ten), [""; 0], "10 comes behind 9");
}

#[tokio::test]
async fn tables_columns_and_functions_exist() {
    let world = World::new().await;
    for (from, to, expected) in [
        (
            "table = \"library_book\"",
            "table = \"library_boook\"",
            "7: PostgreSQL refuses it: relation \"library_boook\" does not exist",
        ),
        (
            "search = [\"title\"]",
            "search = [\"tilte\"]",
            "9: `library_book` has no column `tilte`; did you mean `title`?",
        ),
        (
            "readonly = [\"state\"]",
            "hidden = [\"sate\"]",
            "10: `library_book` has no column `sate`; did you mean `state`?",
        ),
        ("readonly = [\"state\"]", "key = \"ident\"", "10: `library_book` has no column `ident`"),
        (
            "function = \"library_lend\"",
            "function = \"library_land\"",
            "15: there is no function `library_land`; did you mean `library_lend`?",
        ),
        (
            "function = \"library_lend\"",
            "function = \"library_due\"",
            "15: function `library_due` must be (uuid, jsonb) returns jsonb",
        ),
        (
            "[resource.books.action.lend]",
            "[resource.books.create]\nfunction = \"library_due\"\n[resource.books.action.lend]",
            "14: function `library_due` must be (uuid, jsonb) returns jsonb",
        ),
        (
            "readonly = [\"state\"]",
            "methods = [\"list\"]\ncreate = { function = \"library_lend\" }",
            "10: `methods` must name `create`, because there is a function for it",
        ),
        (
            "view = \"library_v_overdue\"",
            "view = \"library_v_over\"",
            "19: there is no table or view `library_v_over`; did you mean `library_v_overdue`?",
        ),
        (
            "library_due(date)",
            "library_due(text)",
            "4: PostgreSQL refuses it: function library_due(text) does not exist",
        ),
        (
            "execute =",
            "select = [\"library_boook\"]\nexecute =",
            "4: there is no table or view `library_boook`; did you mean `library_book`?",
        ),
        ("owner_id =", "owned_by =", "7: PostgreSQL refuses it: column \"owned_by\" does not exist"),
    ] {
        let found = Folder::library(from, to).in_database(&world).await;
        assert_eq!(found, [format!("library/pack.toml:{expected}")], "{to}");
    }
}

#[tokio::test]
async fn a_resource_needs_its_key() {
    let world = World::new().await;
    let manifest = "code = \"tidy\"\nname = \"Tidy\"\n[resource.beds]\ntable = \"tidy_bed\"\n";
    let folder = Folder::new().with("tidy", manifest, &[("V1__x.sql", "create table tidy_bed (no int primary key);")]);
    let expected = "tidy/pack.toml:3: `tidy_bed` has no column `id`";
    assert_eq!(folder.in_database(&world).await, [expected]);
    let hidden = manifest.to_owned() + "key = \"no\"\nhidden = [\"no\"]\n";
    let folder = Folder::new().with("tidy", &hidden, &[("V1__x.sql", "create table tidy_bed (no int primary key);")]);
    assert_eq!(folder.in_database(&world).await.len(), 1);
}

#[tokio::test]
async fn columns_do_not_bear_the_words_of_queries() {
    let world = World::new().await;
    for word in ["select", "order", "limit", "cursor", "q", "and", "or", "not", "columns", "on_conflict", "format"] {
        let found =
            Folder::library_sql("  title text", &format!("  \"{word}\" text, title text")).in_database(&world).await;
        let expected =
            format!("library/pack.toml:8: column `library_book.{word}` has a name that the query grammar needs");
        assert_eq!(found, [expected]);
    }
}

#[tokio::test]
async fn bad_sql_is_named_by_file_and_line() {
    let world = World::new().await;
    let found = Folder::library_sql("owner_id uuid,", "owner_id uuuid,").in_database(&world).await;
    assert_eq!(found, ["library/V1__books.sql:4: PostgreSQL refuses it: type \"uuuid\" does not exist"]);
    let sql = format!("{SQL}select 1 / 0;");
    let folder = Folder::new().with("library", MANIFEST, &[("V1__books.sql", SQL), ("V2__bad.sql", &sql[SQL.len()..])]);
    assert_eq!(folder.in_database(&world).await, ["library/V2__bad.sql: PostgreSQL refuses it: division by zero"]);
}

#[test]
fn a_folder_without_packs_is_refused() {
    let folder = Folder::new();
    assert!(Packs::load_with(&folder.0).is_err(), "there is no such folder");
    fs::create_dir_all(&folder.0).unwrap();
    let error = Packs::load_with(&folder.0).unwrap_err();
    assert!(error.message().contains("There is no pack.toml"), "{error}");
}

#[tokio::test]
async fn a_version_that_the_manifest_cannot_be_served_from_is_refused() {
    let world = World::new().await;
    let oldest =
        |version: &str| MANIFEST.replace("name = \"Library\"", &format!("name = \"Library\"\nmin_version = {version}"));
    let library = |version: &str, second: &str| {
        Folder::new().with("library", &oldest(version), &[("V1__books.sql", SQL), ("V2__more.sql", second)])
    };
    for version in ["0", "3"] {
        let found = library(version, "select 1;").complaints();
        assert_eq!(found, ["library/pack.toml:3: `min_version` must be from 1 to 2, the newest version"]);
    }
    let index = "create index library_book_title_idx on library_book (title);";
    assert_eq!(library("1", index).in_database(&world).await, [""; 0]);
    let column = "alter table library_book add column shelf text;";
    let why =
        "library/pack.toml:3: version 1 cannot be served: `library_book.shelf` came later, or has another type since";
    assert_eq!(library("1", column).in_database(&world).await, [why]);
    assert_eq!(library("2", column).in_database(&world).await, [""; 0]);
}

#[test]
fn a_file_outside_a_transaction_holds_nothing_but_indexes() {
    let good = "-- insula: no-transaction\ncreate index concurrently library_title_idx on library_book (title);";
    let bad = good.replace("concurrently ", "");
    let folder =
        |second: &str| Folder::new().with("library", MANIFEST, &[("V1__books.sql", SQL), ("V2__more.sql", second)]);
    assert_eq!(folder(good).complaints(), [""; 0]);
    let found = folder(&bad).complaints();
    assert!(found[0].starts_with("library/V2__more.sql: outside a transaction only"), "{found:?}");
}
