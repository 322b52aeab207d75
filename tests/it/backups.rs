//! A tenant is saved and brought back, by the real program.

use std::path::{Path, PathBuf};

use insula::ops::{outdated_backups, scheduled_backups};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::program::{Ran, insula, invariants, with_variable};
use crate::provisioning::fresh;
use crate::world::World;

const CONTACTS: &str = "/api/v1/contacts";

/// What a name may be and must not do.
const HOSTILE: &str = "=1\n\\.\n\\N\t'); drop schema public; --\u{202e}\\x41";

/// A world and a folder for its backups.
struct Safe {
    world: World,
    folder: TempDir,
    db: Client,
}

impl Safe {
    async fn new() -> Self {
        let world = World::new().await;
        let db = world.superuser().await;
        Self { world, folder: TempDir::new().unwrap(), db }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn backup(&self, subdomain: &str, flags: &[&str]) -> PathBuf {
        let path = self.path(&format!("{subdomain}.backup"));
        let words = ["tenant", "backup", subdomain, "--output", path.to_str().unwrap()];
        insula(&self.world, &[&words[..], flags].concat()).await.expect(0);
        path
    }

    async fn restore(&self, path: &Path, flags: &[&str]) -> Ran {
        insula(&self.world, &[&["tenant", "restore", path.to_str().unwrap()], flags].concat()).await
    }

    /// All rows of a schema, but for what counts at the moment only and what a restore enters in the audit.
    async fn rows(&self, schema: &str) -> Value {
        let fleeting =
            "sys_(attempt|device|idempotency|link|mail|operation|refresh_token|session|audit_head|audit_event)";
        let tables = format!(
            "select c.relname from pg_class c where c.relnamespace = '{schema}'::regnamespace and c.relkind = 'r'
             and c.relname !~ '^{fleeting}$' order by 1"
        );
        let mut all = serde_json::Map::new();
        for row in self.db.query(&tables, &[]).await.unwrap() {
            let table: String = row.get(0);
            let sql = format!(
                "select coalesce(jsonb_agg(to_jsonb(t) order by to_jsonb(t)::text), '[]') from {schema}.{table} t"
            );
            all.insert(table, self.db.query_one(&sql, &[]).await.unwrap().get(0));
        }
        Value::Object(all)
    }

    /// What a schema is made of, without its name.
    async fn shape(&self, schema: &str, role: &str) -> Vec<String> {
        let sql = "select d from (
            select concat('column ', c.relname, '.', a.attname, ' ', format_type(a.atttypid, a.atttypmod), a.attidentity,
              pg_get_expr(x.adbin, x.adrelid)) as d
            from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
            left join pg_attrdef x on x.adrelid = c.oid and x.adnum = a.attnum
            where c.relnamespace = $1::text::regnamespace and c.relkind in ('r', 'v')
            union all
            select concat('constraint ', conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'))
            from pg_constraint where connamespace = $1::text::regnamespace
            union all
            select concat('trigger ', t.tgname, t.tgenabled, pg_get_triggerdef(t.oid))
            from pg_trigger t join pg_class c on c.oid = t.tgrelid
            where c.relnamespace = $1::text::regnamespace and not t.tgisinternal
            union all
            select concat('index ', pg_get_indexdef(i.indexrelid)) from pg_index i join pg_class c on c.oid = i.indrelid
            where c.relnamespace = $1::text::regnamespace and c.relkind = 'r'
            union all
            select concat('function ', pg_get_functiondef(p.oid), array(select a::text from unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a order by 1)) from pg_proc p where p.pronamespace = $1::text::regnamespace
            union all
            select concat('policy ', tablename, policyname, qual, roles) from pg_policies where schemaname = $1
            union all
            select concat('rights ', c.relname, array(select a::text from unnest(coalesce(c.relacl, acldefault('r', c.relowner))) a order by 1), c.relrowsecurity) from pg_class c
            where c.relnamespace = $1::text::regnamespace and c.relkind in ('r', 'v')
            union all
            select concat('rights ', c.relname, a.attname, array(select x::text from unnest(a.attacl) x order by 1)) from pg_class c join pg_attribute a on a.attrelid = c.oid
            where c.relnamespace = $1::text::regnamespace and a.attacl is not null) s order by d";
        let rows = self.db.query(sql, &[&schema]).await.unwrap();
        let plain = |text: String| text.replace(schema, "SCHEMA").replace(role, "ROLE");
        let mut all: Vec<String> = rows.iter().map(|row| plain(row.get(0))).collect();
        all.sort_unstable();
        all
    }
}

/// What one list has and the other has not.
#[track_caller]
fn same(one: &[String], other: &[String]) {
    let lacks = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).map(|line| line.chars().take(300).collect()).collect()
    };
    assert_eq!((lacks(one, other), lacks(other, one)), (Vec::new(), Vec::new()));
    assert_eq!(one.len(), other.len());
}

#[tokio::test]
async fn what_was_saved_comes_back_and_what_came_since_is_put_aside() {
    let safe = Safe::new().await;
    let user = safe.world.user("acme", "owner").await;
    let hostile = json!({ "first_name": HOSTILE, "email": "eve@acme.test" });
    user.post(CONTACTS, hostile).await.ok();
    let (rows, shape) = (safe.rows("tenant_acme").await, safe.shape("tenant_acme", "it_t_acme").await);
    let path = safe.backup("acme", &[]).await;

    let late = user.post(CONTACTS, json!({ "first_name": "Late", "email": "late@acme.test" })).await.ok();
    insula(&safe.world, &["check", "audit"]).await.expect(0);
    insula::audit::anchor(&safe.world.app.platform.database).await.unwrap();
    let refused = safe.restore(&path, &[]).await.expect(2);
    assert!(refused.said.contains("--confirm=acme"), "{}", refused.said);
    let told = safe.restore(&path, &["--confirm=acme", "--json"]).await.expect(0).json();

    assert_eq!(safe.rows("tenant_acme").await, rows);
    same(&safe.shape("tenant_acme", "it_t_acme").await, &shape);
    assert_eq!(user.get(CONTACTS).await.problem(401)["code"], "unauthenticated", "who worked there signs in again");
    let user = safe.world.user("acme", "owner").await;
    let late = format!("{CONTACTS}/{}", late["id"].as_str().unwrap());
    assert_eq!(user.get(&late).await.status, StatusCode::NOT_FOUND);
    let made = user.post(CONTACTS, json!({ "first_name": "Later", "email": "later@acme.test" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);

    let shelf = told["kept_as"].as_str().unwrap();
    let kept: i64 = safe
        .db
        .query_one(&format!("select count(*) from {shelf}.crm_contact where first_name = 'Late'"), &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, 1, "what came since is kept");
    let sql = "select has_schema_privilege('it_t_acme', $1, 'usage')";
    assert!(!safe.db.query_one(sql, &[&shelf]).await.unwrap().get::<_, bool>(0), "and out of reach");
    invariants(&safe.world).await;

    insula::audit::anchor(&safe.world.app.platform.database).await.unwrap();
    insula(&safe.world, &["tenant", "unrestore", "acme", "--confirm=acme"]).await.expect(0);
    same(&safe.shape("tenant_acme", "it_t_acme").await, &shape);
    let user = safe.world.user("acme", "owner").await;
    assert_eq!(user.get(&late).await.status, StatusCode::OK, "and comes back when it is wanted");
    invariants(&safe.world).await;
    let told = safe.restore(&path, &["--confirm=acme", "--json"]).await.expect(0).json();
    assert_eq!(safe.rows("tenant_acme").await, rows);
    let shelf = told["kept_as"].as_str().unwrap();
    invariants(&safe.world).await;

    safe.db.batch_execute("update public.shelved_schemas set drop_at = now()").await.unwrap();
    insula::ops::tidy(&safe.world.app.platform).await.unwrap();
    let left = safe.db.query_one("select to_regnamespace($1) is null", &[&shelf]).await.unwrap();
    assert!(left.get::<_, bool>(0), "until its time has come");
    invariants(&safe.world).await;
}

#[tokio::test]
async fn a_backup_becomes_another_tenant_with_the_audit_of_the_first() {
    let safe = Safe::new().await;
    let (name, path) = (fresh(&safe.world, "again"), safe.backup("testcompany", &["--plain"]).await);
    let bytes = std::fs::read(&path).unwrap();
    let told = safe.restore(&path, &["--as", &name, "--json"]).await.expect(0).json();
    assert_eq!(told["subdomain"], json!(name));
    let snake = name.replace('-', "_");
    let (schema, role) = (format!("tenant_{snake}"), format!("it_t_{snake}"));
    assert_eq!(safe.rows(&schema).await, safe.rows("tenant_testcompany").await);
    same(&safe.shape(&schema, &role).await, &safe.shape("tenant_testcompany", "it_t_testcompany").await);
    let entries = |schema: &str| {
        format!("select count(*), max(seq), (array_agg(action order by seq desc))[1] from {schema}.sys_audit_event")
    };
    let (was, is) = (
        safe.db.query_one(&entries("tenant_testcompany"), &[]).await.unwrap(),
        safe.db.query_one(&entries(&schema), &[]).await.unwrap(),
    );
    assert_eq!(is.get::<_, i64>(0), was.get::<_, i64>(0) + 1);
    assert_eq!(is.get::<_, String>(2), "restore");
    invariants(&safe.world).await;

    let login = |host: String, mailbox: &str| {
        let credentials =
            json!({ "email": format!("{mailbox}@testcompany.test"), "password": insula::ops::DEMO_PASSWORD });
        safe.world.request(Method::POST, &host, "/api/v1/auth/login").json(&credentials)
    };
    assert_eq!(login(name.clone(), "owner").send().await.status, StatusCode::OK, "its users are its users");
    let again = safe.restore(&path, &["--as", &name]).await.expect(1);
    assert!(again.said.contains("already taken"), "{}", again.said);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_file_that_is_not_what_was_written_changes_nothing() {
    let safe = Safe::new().await;
    let (sealed, before) = (safe.backup("acme", &[]).await, safe.rows("tenant_acme").await);
    let good = std::fs::read(&sealed).unwrap();
    let verify = |bytes: Vec<u8>| async {
        std::fs::write(&sealed, bytes).unwrap();
        insula(&safe.world, &["backup", "verify", sealed.to_str().unwrap()]).await
    };
    let told = verify(good.clone()).await.expect(0);
    assert!(told.said.contains("sound"), "{}", told.said);
    for (changed, why) in [
        (good[..good.len() / 2].to_vec(), "cut off"),
        (good[..good.len() - 1].to_vec(), "cut off"),
        (good.iter().enumerate().map(|(at, b)| if at == good.len() / 2 { b ^ 1 } else { *b }).collect(), "damaged"),
        ([&good[..], b"x"].concat(), "follows its end"),
        (b"-- a dump".to_vec(), "does not begin as one"),
        (Vec::new(), "does not begin as one"),
    ] {
        let said = verify(changed).await.expect(1).said;
        assert!(said.contains(why), "{why}: {said}");
        let said = safe.restore(&sealed, &["--confirm=acme"]).await.expect(1).said;
        assert!(said.contains(why), "{why}: {said}");
    }
    assert_eq!(safe.rows("tenant_acme").await, before);
    invariants(&safe.world).await;
}

#[tokio::test]
async fn the_service_saves_tenants_by_itself_and_keeps_files_for_a_while() {
    let safe = Safe::new().await;
    let name = fresh(&safe.world, "saved");
    let form = json!({ "company": "Saved", "subdomain": name, "plan": "crm", "email": "ann@saved.test" });
    let id = safe.world.staff().await.post("/api/v1/tenants", form).await.ok()["id"].as_str().unwrap().to_owned();
    let mut settings = safe.world.app.config.backup.clone();
    let (platform, stop) = (&safe.world.app.platform, CancellationToken::new());
    assert!(scheduled_backups(platform, &settings, &stop).await.unwrap().is_empty(), "off unless a folder is set");
    settings.folder = safe.path("all").display().to_string();
    let done = scheduled_backups(platform, &settings, &stop).await.unwrap();
    assert_eq!(done.len(), 6, "{done:?}");
    assert!(scheduled_backups(platform, &settings, &stop).await.unwrap().is_empty(), "not before it is time");
    let files = || {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(safe.path("all").join(&id)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort_unstable();
        files
    };
    let first = files().remove(0);
    insula(&safe.world, &["backup", "verify", first.to_str().unwrap()]).await.expect(0);

    let old = safe.path("all").join(&id).join("20200101T000000Z.backup");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(31 * 24 * 3600);
    for file in [&first, &old] {
        std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    outdated_backups(platform, &settings).await.unwrap();
    assert_eq!(files(), std::slice::from_ref(&first), "the newest stays");

    for words in [["tenant", "delete", &name], ["tenant", "purge", &name]] {
        insula(&safe.world, &[&words[..], &[&format!("--confirm={name}")]].concat()).await.expect(0);
    }
    outdated_backups(platform, &settings).await.unwrap();
    assert!(!safe.path("all").join(&id).exists(), "what is erased leaves no file");
    invariants(&safe.world).await;
}

#[tokio::test]
async fn who_works_in_a_tenant_while_it_is_restored_loses_nothing_that_came_after() {
    let safe = Safe::new().await;
    let path = safe.backup("acme", &[]).await;
    let stop = CancellationToken::new();
    let busy = async {
        let (mut user, mut last) = (safe.world.user("acme", "owner").await, String::new());
        for number in 0.. {
            let contact = json!({ "first_name": format!("Busy {number}"), "email": format!("busy{number}@acme.test") });
            let made = user.post(CONTACTS, contact).await;
            match made.status {
                StatusCode::CREATED => last = made.json()["id"].as_str().unwrap().to_owned(),
                StatusCode::UNAUTHORIZED => user = safe.world.user("acme", "owner").await,
                other => panic!("{other} {}", made.text),
            }
            if stop.is_cancelled() && made.status == StatusCode::CREATED {
                break;
            }
        }
        // The news that nobody is signed in any more may come later than the last answer.
        user = safe.world.user("acme", "owner").await;
        assert_eq!(user.get(&format!("{CONTACTS}/{last}")).await.status, StatusCode::OK);
    };
    let restoring = async {
        for _ in 0..2 {
            safe.restore(&path, &["--confirm=acme"]).await.expect(0);
        }
        stop.cancel();
    };
    tokio::join!(busy, restoring);
    invariants(&safe.world).await;
}

const PARCELS: &str = "code = \"hrms\"\nname = \"Parcels\"\nrequires = [\"system_admin\"]\n\n[resource.parcels]\ntable = \"oms_parcel\"\n";
const PARCEL: &str = "create table oms_parcel (id uuid primary key default uuid_v7(), title text not null);";
const LABEL: &str =
    "alter table oms_parcel add column label text not null default 'none'; alter table oms_parcel drop column title;";

#[tokio::test]
async fn a_backup_of_an_older_version_is_made_as_it_was_and_then_brought_up_to_date() {
    let safe = Safe::new().await;
    let pack = safe.path("parcels");
    std::fs::create_dir(&pack).unwrap();
    let file = |name: &str, text: &str| std::fs::write(pack.join(name), text).unwrap();
    file("pack.toml", PARCELS);
    file("V1__parcel.sql", PARCEL);
    let packs = ("INSULA_PACKS_PATH", pack.to_str().unwrap());
    insula(&safe.world, &["migrate"]).await.expect(0);
    with_variable(&safe.world, &["migrate"], packs).await.expect(0);
    with_variable(&safe.world, &["module", "enable", "acme", "hrms"], packs).await.expect(0);
    safe.db.batch_execute("insert into tenant_acme.oms_parcel (title) values ('one'), ('two')").await.unwrap();
    let path = safe.path("old.backup");
    let backup = ["tenant", "backup", "acme", "--output", path.to_str().unwrap()];
    with_variable(&safe.world, &backup, packs).await.expect(0);

    file("V2__label.sql", LABEL);
    with_variable(&safe.world, &["migrate"], packs).await.expect(0);
    let restore = ["tenant", "restore", path.to_str().unwrap(), "--confirm=acme"];
    with_variable(&safe.world, &restore, packs).await.expect(0);
    let labels: String =
        safe.db.query_one("select string_agg(label, ',') from tenant_acme.oms_parcel", &[]).await.unwrap().get(0);
    assert_eq!(labels, "none,none");
    let behind = with_variable(&safe.world, &["migrate", "--check"], packs).await;
    assert_eq!(behind.code, Some(0), "{}", behind.out);

    let refused = safe.restore(&path, &["--confirm=acme"]).await.expect(1);
    assert!(refused.said.contains("the pack `hrms`, which this program does not have"), "{}", refused.said);
    file("V1__parcel.sql", &PARCEL.replace("not null)", "not null default '')"));
    let refused = with_variable(&safe.world, &restore, packs).await.expect(1);
    assert!(refused.said.contains("V1__parcel.sql"), "{}", refused.said);

    safe.db
        .batch_execute(
            "create table tenant_techstart.by_hand (); alter table tenant_techstart.by_hand add column note text",
        )
        .await
        .unwrap();
    let backup = ["tenant", "backup", "techstart", "--output", path.to_str().unwrap()];
    let refused = insula(&safe.world, &backup).await.expect(1);
    assert!(refused.said.contains("by_hand"), "what no pack has is not left out unseen: {}", refused.said);
}

#[tokio::test]
async fn two_at_once_are_one_after_the_other() {
    let safe = Safe::new().await;
    let (path, name) = (safe.backup("acme", &[]).await, fresh(&safe.world, "twin"));
    let rows = safe.rows("tenant_acme").await;
    let (as_new, clone) = (["--as", &name], ["tenant", "clone", "acme", &name]);
    let (one, two, three, four) = tokio::join!(
        safe.restore(&path, &["--confirm=acme"]),
        safe.restore(&path, &["--confirm=acme"]),
        safe.restore(&path, &as_new),
        insula(&safe.world, &clone),
    );
    one.expect(0);
    two.expect(0);
    let mut codes = [three.code, four.code];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(1)], "{}{}", three.said, four.said);
    assert_eq!(safe.rows("tenant_acme").await, rows);
    invariants(&safe.world).await;
}
