//! What injected SQL could do: every way out of a tenant that we know, tried on the service's own connections.
//!
//! [`WAYS_OUT`] are refused. [`INSIDE_THE_BUCKET`] and [`OPEN`] are not: the login of a bucket is member of all its
//! tenants' roles, and some functions of PostgreSQL are for everybody. Both lists may only shrink.

use std::sync::Arc;
use std::time::Duration;

use insula::db::{Acting, Place, Scope, Seat};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::World;

/// Refused to a tenant's role and to the bare login of its bucket. `{superuser}` is the server's.
const WAYS_OUT: &[&str] = &[
    // becoming somebody else
    "set role it_control",
    "set role it_b1_owner",
    "set role {superuser}",
    "set role pg_read_server_files",
    "select set_config('role', 'it_control', true)",
    "select set_config('role', 'it_b1_owner', false)",
    "select set_config('session_authorization', 'it_control', true)",
    "set session authorization it_control",
    "set session authorization {superuser}",
    "set local session authorization it_b1_owner",
    "grant it_b1_owner to it_b1",
    "grant it_control to it_t_acme",
    "grant it_t_techstart to it_t_acme",
    "alter role it_control password 'x'",
    "alter role it_t_techstart login",
    "alter role it_b1 superuser",
    "alter role it_t_acme bypassrls",
    "create role it_intruder",
    "drop role it_t_techstart",
    // the registry and the catalogue's secrets
    "select from public.tenants",
    "select password_sealed from public.buckets",
    "select password_hash from public.operators",
    "select secret_sealed from public.signing_keys",
    "update public.tenant_subscriptions set state = 'active'",
    "select public.tenant_entitlements(null, null)",
    "select rolpassword from pg_authid",
    "select passwd from pg_shadow",
    "select from pg_user_mapping",
    "select query_to_xml('select * from public.operators', true, true, '')",
    "select query_to_xml('select * from tenant_techstart.crm_contact', true, true, '')",
    "select table_to_xml('public.tenants', true, true, '')",
    "select pg_get_viewdef('public.tenants'::regclass), (select count(*) from public.tenants)",
    "do $$ begin perform 1 from public.tenants; end $$",
    // the neighbour's schema, the owner's, the template
    "select from tenant_techstart.crm_contact",
    "insert into tenant_techstart.crm_lost_reason (name) values ('x')",
    "select tenant_techstart.crm_deal_move(null, '{}')",
    "lock table tenant_techstart.crm_contact in access share mode",
    "select from insula_template.crm_contact",
    "copy tenant_techstart.crm_contact to stdout",
    // the server's files and programs
    "copy (select 1) to program 'id'",
    "copy (select 1) to '/tmp/insula-escape'",
    "select pg_read_file('/etc/passwd')",
    "select pg_read_binary_file('postgresql.conf')",
    "select pg_ls_dir('.')",
    "select pg_stat_file('postgresql.conf')",
    "select pg_ls_logdir()",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/insula-escape')",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_switch_wal()",
    "select pg_create_restore_point('x')",
    "select pg_promote()",
    "select current_setting('data_directory')",
    "set local session_replication_role = replica",
    "set local log_statement = 'none'",
    "set local lo_compat_privileges = on",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'it_control'",
    "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'it_control'",
    // making things
    "create temp table shadow ()",
    "create temp view shadow as select 1",
    "create table tenant_acme.shadow ()",
    "create table insula.shadow ()",
    "create table public.shadow ()",
    "create schema shadow",
    "create function tenant_acme.shadow() returns int language sql as 'select 1'",
    "create or replace function tenant_acme.crm_sees(owner uuid) returns boolean language sql as 'select true'",
    "create or replace function insula.app_has(p text) returns boolean language sql as 'select true'",
    "create extension pgcrypto schema tenant_acme",
    "create extension file_fdw",
    "create foreign data wrapper shadow",
    "create event trigger shadow on ddl_command_end execute function insula.sys_refuse()",
    "create publication shadow for all tables",
    "create subscription shadow connection 'dbname=postgres' publication x with (connect = false)",
    // loosening what holds the tenant's own rows
    "alter table tenant_acme.crm_contact disable row level security",
    "alter table tenant_acme.crm_contact disable trigger all",
    "alter table tenant_acme.crm_contact owner to it_t_acme",
    "alter table tenant_acme.crm_contact add column shadow int",
    "create policy shadow on tenant_acme.crm_contact using (true)",
    "drop policy scope on tenant_acme.crm_contact",
    "create trigger shadow before insert on tenant_acme.crm_contact for each row execute function insula.sys_touch()",
    "create index on tenant_acme.crm_contact (title)",
    "drop table tenant_acme.crm_contact",
    "truncate tenant_acme.crm_contact",
    "alter schema tenant_acme rename to tenant_zz",
    "set local row_security = off; select from tenant_acme.crm_contact",
    "select from tenant_acme.sys_credential",
    "update tenant_acme.sys_user set email = 'x@y.zz'",
    "insert into tenant_acme.sys_user_role select from tenant_acme.sys_user",
    "delete from tenant_acme.sys_session",
    "insert into tenant_acme.sys_event (event) values ('x')",
    "select tenant_acme.sys_emit('x', 'x', null, null, null, null, null, null)",
    "select tenant_acme.sys_next_number('invoice', current_date)",
    "select tenant_acme.crm_contact_locked(null)",
    "update tenant_acme.crm_deal set closed_at = now()",
    "update tenant_acme.crm_contact set id = insula.uuid_v7()",
];

/// Not there to be used at all: unknown function or type, invisible table.
const ABSENT: &[&str] = &[
    "select dblink('dbname=postgres', 'select 1')",
    "select dblink_connect('dbname=postgres')",
    "set local search_path = tenant_techstart; select from crm_contact",
    "set local search_path = public; select from tenants",
    "select pg_file_write('x', 'y', false)",
];

/// Passed over with a warning: who may not pass a right on grants nothing.
const WITHOUT_EFFECT: &[&str] = &[
    "grant select on crm_contact to it_t_techstart;
     do $$ begin assert not has_table_privilege('it_t_techstart', 'crm_contact', 'select'); end $$",
    "grant usage on schema tenant_acme to public;
     do $$ begin assert not has_schema_privilege('public', 'tenant_acme', 'usage'); end $$",
];

/// Confined to the bucket only: what one of its tenants' sessions can do to the others in it.
const INSIDE_THE_BUCKET: &[&str] = &[
    "set role it_t_techstart; set local search_path = tenant_techstart, insula; select from crm_contact",
    "select set_config('role', 'it_t_techstart', true); select from tenant_techstart.sys_location",
    "reset role; set role it_t_techstart; delete from tenant_techstart.crm_stage where false",
    "set local app.perms = '*'; select from tenant_acme.crm_contact",
    "reset role; alter role it_b1 set work_mem = '1GB'",
    "reset role; alter role it_b1 password 'x'",
];

/// Open to every role of any PostgreSQL database; a bound on damage, not on who is asked.
const OPEN: &[&str] = &[
    // The names of schemas and roles, so of all tenants of the database, and who is connected.
    "do $$ begin assert exists (select from pg_namespace where nspname = 'tenant_techstart'); end $$",
    "do $$ begin assert exists (select from pg_stat_activity where usename = 'it_control'); end $$",
    // False news: processes forget what they have cached, no more.
    "select pg_notify('insula', 'modules:*')",
    // Locks by number, which provisioning and migration use too.
    "select pg_try_advisory_xact_lock(7)",
    // Large objects, outside every schema.
    "select lo_create(0)",
    // The time limit of the own statement.
    "set local statement_timeout = 0; select pg_sleep(0)",
];

struct Cell {
    world: World,
    place: Arc<Place>,
    superuser: String,
}

impl Cell {
    async fn new(world: World) -> Self {
        let place = world.app.tenants.by_subdomain("acme").await.unwrap().place.clone();
        let client = world.superuser().await;
        let superuser = client.query_one("select current_user::text", &[]).await.unwrap().get(0);
        Self { world, place, superuser }
    }

    /// Runs a statement as a request of acme would, and undoes it. Gives the SQLSTATE, empty for success.
    async fn attempt(&self, sql: &str) -> String {
        let scope = Scope::write(self.place.clone(), Seat::Tenant, Acting::service(), Duration::from_secs(5));
        let mut tx = self.world.app.platform.database.begin(&scope).await.unwrap();
        let outcome = tx.batch(&sql.replace("{superuser}", &self.superuser)).await;
        tx.rollback().await.unwrap();
        outcome.err().map_or_else(String::new, |failure| failure.code().to_owned())
    }
}

#[tokio::test]
async fn there_is_no_way_out_of_a_tenants_role() {
    let cell = Cell::new(World::new().await).await;
    let mut out = Vec::new();
    for sql in WAYS_OUT {
        let state = cell.attempt(sql).await;
        if state != "42501" {
            out.push(format!("{state}: {sql}"));
        }
    }
    for sql in ABSENT {
        let state = cell.attempt(sql).await;
        if !["42883", "42P01"].contains(&&*state) {
            out.push(format!("{state}: {sql}"));
        }
    }
    assert!(out.is_empty(), "{out:#?}");
    for sql in WITHOUT_EFFECT {
        assert_eq!(cell.attempt(sql).await, "", "{sql}");
    }
    assert_eq!(cell.attempt("select from tenant_acme.crm_contact").await, "", "the own rows");
}

#[tokio::test]
async fn the_bare_login_of_a_bucket_can_do_even_less() {
    let cell = Cell::new(World::new().await).await;
    let mut out = Vec::new();
    let own = ["select from tenant_acme.crm_contact", "insert into tenant_acme.crm_lost_reason (name) values ('x')"];
    for sql in WAYS_OUT.iter().chain(&own) {
        let state = cell.attempt(&format!("reset role; {sql}")).await;
        if state != "42501" {
            out.push(format!("{state}: {sql}"));
        }
    }
    assert!(out.is_empty(), "{out:#?}");
}

#[tokio::test]
async fn what_is_confined_to_the_bucket_only_or_open_to_everybody_is_known() {
    let cell = Cell::new(World::new().await).await;
    for sql in INSIDE_THE_BUCKET.iter().chain(OPEN) {
        let state = cell.attempt(sql).await;
        assert_eq!(state, "", "refused now, so it leaves the list: {sql}");
    }
}

#[tokio::test]
async fn the_wall_between_buckets_holds() {
    let world = World::with(|mut config| {
        config.instance = "walls".to_owned();
        config
    })
    .await;
    world.superuser().await.execute("update public.buckets set max_tenants = tenant_count", &[]).await.unwrap();
    let form = json!({ "company": "Stranger", "subdomain": "stranger", "email": "s@stranger.test",
        "password": "a long passphrase", "first_name": "Sam" });
    let made = world.request(Method::POST, "", "/api/v1/signup").json(&form).send().await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    // So that there is a session of the other bucket to aim at.
    let token = made.json()["access_token"].as_str().unwrap().to_owned();
    world.request(Method::GET, "stranger", "/api/v1/contacts").bearer(&token).send().await.ok();
    let cell = Cell::new(world).await;
    for sql in [
        "set role walls_t_stranger",
        "select set_config('role', 'walls_t_stranger', true)",
        "set role walls_b2",
        "set role walls_b2_owner",
        "select from tenant_stranger.crm_contact",
        "select query_to_xml('select * from tenant_stranger.crm_contact', true, true, '')",
        "alter role walls_b2 password 'x'",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'walls_b2'",
    ] {
        for seat in ["", "reset role; ", "set role it_t_techstart; "] {
            assert_eq!(cell.attempt(&format!("{seat}{sql}")).await, "42501", "{seat}{sql}");
        }
    }
}
