//! What PostgreSQL itself says about the database of the demo: nothing is open that need not be.

use insula::pack::Method;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use crate::world::World;

/// Schemas of ours: the registry, the helpers, the template, the tenants.
const OURS: &str = "(n.nspname in ('public', 'insula', 'insula_template') or n.nspname like 'tenant\\_%')";

/// The template stands for every tenant; the tenants are checked too, because rights are given there.
const TENANTS: &str = "n.nspname like 'tenant\\_%'";

/// One database for all: these tests only look. Its service ends with the first test, the database does not.
async fn demo() -> &'static World {
    static DEMO: OnceCell<World> = OnceCell::const_new();
    DEMO.get_or_init(World::new).await
}

/// Fails with all offenders; `seen` must find something to look at, or the rule proves nothing.
async fn none(superuser: &Client, offenders: &str, seen: &str) {
    let found: i64 = superuser.query_one(seen, &[]).await.unwrap().get(0);
    assert!(found > 0, "nothing to look at: {seen}");
    let rows = superuser.query(offenders, &[]).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(names.is_empty(), "{names:#?}");
}

fn in_schemas(which: &str, select: &str, rest: &str) -> String {
    let (from, condition) = rest.split_once(" where ").unwrap_or((rest, "true"));
    format!("select {select} from pg_namespace n join {from} where {which} and {condition}")
}

#[tokio::test]
async fn functions_that_run_as_their_owner_choose_their_own_path_and_are_not_for_everybody() {
    let superuser = demo().await.superuser().await;
    let definer = "pg_proc p on p.pronamespace = n.oid where p.prosecdef";
    let all = in_schemas(OURS, "count(*)", definer);
    let path = in_schemas(
        OURS,
        "p.oid::regprocedure::text",
        &format!("{definer} and not exists (select from unnest(p.proconfig) c where c ~ '^search_path=.+, pg_temp$')"),
    );
    none(&superuser, &path, &all).await;
    // A path that names two schemas of tenants would be a bridge.
    let bridge = in_schemas(
        TENANTS,
        "p.oid::regprocedure::text",
        &format!("{definer} and not p.proconfig @> array['search_path=' || n.nspname || ', insula, pg_temp']"),
    );
    none(&superuser, &bridge, &all).await;
    let public = in_schemas(
        OURS,
        "p.oid::regprocedure::text",
        &format!("{definer} and has_function_privilege('public', p.oid, 'execute')"),
    );
    none(&superuser, &public, &all).await;
}

#[tokio::test]
async fn nothing_is_for_everybody() {
    let superuser = demo().await.superuser().await;
    let closed = format!("{OURS} and n.nspname <> 'insula'");
    let schemas = format!(
        "select n.nspname::text from pg_namespace n where {closed}
         and (has_schema_privilege('public', n.oid, 'usage') or has_schema_privilege('public', n.oid, 'create'))"
    );
    none(&superuser, &schemas, &format!("select count(*) from pg_namespace n where {closed}")).await;
    let writable = "select n.nspname::text from pg_namespace n where has_schema_privilege('public', n.oid, 'create')";
    none(&superuser, writable, "select count(*) from pg_namespace").await;
    let relation = "pg_class c on c.relnamespace = n.oid where c.relkind in ('r', 'p', 'v', 'm', 'S')";
    let rights = "(exists (select from aclexplode(c.relacl) a where a.grantee = 0)
        or exists (select from pg_attribute t, aclexplode(t.attacl) a where t.attrelid = c.oid and a.grantee = 0))";
    let tables = in_schemas(OURS, "c.oid::regclass::text", &format!("{relation} and {rights}"));
    none(&superuser, &tables, &in_schemas(OURS, "count(*)", relation)).await;
    let function = "pg_proc p on p.pronamespace = n.oid";
    let callable = format!("{function} where has_function_privilege('public', p.oid, 'execute')");
    none(
        &superuser,
        &in_schemas(&closed, "p.oid::regprocedure::text", &callable),
        &in_schemas(&closed, "count(*)", function),
    )
    .await;
    // The template is what the service made; a clone gets its rights from the harness.
    let database = "select datname::text from pg_database where datname = 'it_template'
        and (has_database_privilege('public', oid, 'connect') or has_database_privilege('public', oid, 'temp')
          or has_database_privilege('public', oid, 'create'))";
    none(&superuser, database, "select count(*) from pg_database where datname = 'it_template'").await;
}

#[tokio::test]
async fn roles_can_no_more_than_they_need() {
    let superuser = demo().await.superuser().await;
    let runtime = "(rolname ~ '^it_b[0-9]+$' or rolname ~ '^it_t_')";
    let all = format!("select count(*) from pg_roles where {runtime}");
    let mighty = format!(
        "select rolname::text from pg_roles where ({runtime} or rolname ~ '^it_b[0-9]+_owner$')
         and (rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication)"
    );
    none(&superuser, &mighty, &all).await;
    let control = "select rolname::text from pg_roles where rolname = 'it_control' and (rolsuper or rolbypassrls or rolreplication)";
    none(&superuser, control, "select count(*) from pg_roles where rolname = 'it_control'").await;
    let logins = "select rolname::text from pg_roles where
        (rolname ~ '^it_b[0-9]+$') <> (rolcanlogin and not rolinherit) and rolname ~ '^it_(b|t_)'
        or rolcanlogin and rolname ~ '^it_(t_|b[0-9]+_owner)'";
    none(&superuser, logins, &all).await;
    let create = format!(
        "select r.rolname || ' in ' || n.nspname from pg_roles r, pg_namespace n
         where {runtime} and has_schema_privilege(r.oid, n.oid, 'create')"
    );
    none(&superuser, &create, &all).await;
    let database = format!(
        "select r.rolname::text from pg_roles r, pg_database d where d.datname = 'it_template' and {runtime}
         and (has_database_privilege(r.oid, d.oid, 'temp') or has_database_privilege(r.oid, d.oid, 'create'))"
    );
    none(&superuser, &database, &all).await;
    let owned = format!(
        "select r.rolname || ' owns ' || c.oid::regclass from pg_roles r join pg_class c on c.relowner = r.oid where {runtime}
         union all
         select r.rolname || ' owns ' || p.oid::regprocedure from pg_roles r join pg_proc p on p.proowner = r.oid where {runtime}
         union all
         select r.rolname || ' owns ' || n.nspname from pg_roles r join pg_namespace n on n.nspowner = r.oid where {runtime}"
    );
    none(&superuser, &owned, &all).await;
}

#[tokio::test]
async fn a_login_is_member_of_its_own_tenants_only_and_a_tenant_of_nothing() {
    let superuser = demo().await.superuser().await;
    let memberships =
        "select count(*) from pg_auth_members m join pg_roles r on r.oid = m.member where r.rolname = 'it_b1'";
    let strange = "select m.roleid::regrole::text from pg_auth_members m join pg_roles r on r.oid = m.member
        where r.rolname = 'it_b1' and (m.admin_option or m.roleid::regrole::text !~ '^it_t_')";
    none(&superuser, strange, memberships).await;
    let belongs = "select t.role_name from public.tenants t join public.buckets b on b.id = t.bucket_id
        where not pg_has_role(b.login_role, t.role_name, 'member')
        union all
        select t.role_name || ' for ' || b.login_role from public.tenants t join public.buckets b on b.id <> t.bucket_id
        where pg_has_role(b.login_role, t.role_name, 'member')";
    none(&superuser, belongs, memberships).await;
    let upward = "select r.rolname || ' in ' || m.roleid::regrole from pg_auth_members m
        join pg_roles r on r.oid = m.member where r.rolname ~ '^it_(t_|b[0-9]+_owner)'";
    none(&superuser, upward, memberships).await;
    let foreign = "select t.role_name || ' in ' || n.nspname from public.tenants t, pg_namespace n
        where n.nspname <> t.schema_name and n.nspname not in ('insula', 'pg_catalog', 'information_schema')
        and has_schema_privilege(t.role_name, n.oid, 'usage')";
    none(&superuser, foreign, "select count(*) from public.tenants").await;
}

#[tokio::test]
async fn rows_with_a_scope_are_guarded_and_no_view_goes_round_it() {
    let world = demo().await;
    let superuser = world.superuser().await;
    let packs = world.app.platform.catalog.packs();
    let scoped: Vec<&str> = packs
        .iter()
        .flat_map(|pack| pack.manifest.resource.values())
        .filter(|resource| resource.scope.is_some())
        .map(|resource| resource.table.as_str())
        .collect();
    assert!(scoped.len() >= 5, "{scoped:?}");
    for table in scoped {
        let sql = format!(
            "select n.nspname::text from pg_namespace n join pg_class c on c.relnamespace = n.oid
             where {TENANTS} and c.relname = '{table}' and not (c.relrowsecurity and exists (
               select from pg_policy p where p.polrelid = c.oid and p.polcmd = '*' and p.polpermissive
                 and p.polqual is not null and p.polwithcheck is not null
                 and p.polroles = array[(select role_name from public.tenants t where t.schema_name = n.nspname)::regrole::oid]))"
        );
        let all = in_schemas(
            TENANTS,
            "count(*)",
            &format!("pg_class c on c.relnamespace = n.oid where c.relname = '{table}'"),
        );
        none(&superuser, &sql, &all).await;
    }
    let view = "pg_class c on c.relnamespace = n.oid where c.relkind in ('v', 'm')";
    let careless =
        format!("{view} and (c.relkind = 'm' or not coalesce(c.reloptions, '{{}}') @> array['security_invoker=true'])");
    none(&superuser, &in_schemas(OURS, "c.oid::regclass::text", &careless), &in_schemas(OURS, "count(*)", view)).await;
}

#[tokio::test]
async fn what_proves_who_somebody_is_cannot_be_read_or_written_by_tenants() {
    let superuser = demo().await.superuser().await;
    let secret = "select t.role_name || ' may ' || p || ' ' || c from public.tenants t,
        unnest(array['sys_credential', 'sys_session', 'sys_api_key', 'sys_api_key_digest', 'sys_mail', 'sys_link', 'sys_place', 'sys_refresh_token', 'sys_recovery_code', 'sys_device', 'sys_attempt']) c, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p
        where (c, p) not in (('sys_session', 'select'), ('sys_api_key', 'select'))
          and case when p in ('delete', 'truncate', 'trigger') then has_table_privilege(t.role_name, t.schema_name || '.' || c, p)
            else has_any_column_privilege(t.role_name, t.schema_name || '.' || c, p) end";
    none(&superuser, secret, "select count(*) from public.tenants").await;
    // How people and roles are called may be changed; a trigger guards which role by whom. What they may do changes in
    // functions only.
    let people = "select t.role_name || ' may ' || p || ' ' || c || '.' || a.attname
        from public.tenants t, unnest(array['sys_user', 'sys_role', 'sys_role_grant', 'sys_user_role']) c
        join pg_class k on k.relname = c join pg_attribute a on a.attrelid = k.oid and a.attnum > 0 and not a.attisdropped,
          unnest(array['insert', 'update']) p
        where k.relnamespace = t.schema_name::regnamespace and has_column_privilege(t.role_name, k.oid, a.attnum, p)
          and (c, a.attname::text) not in (('sys_role', 'code'), ('sys_role', 'name'))
          and (c, a.attname::text, p) not in (('sys_user', 'first_name', 'update'), ('sys_user', 'last_name', 'update'), ('sys_role', 'id', 'insert'))
        union all
        select t.role_name || ' may delete from ' || c from public.tenants t, unnest(array['sys_user', 'sys_role_grant', 'sys_user_role']) c
        where has_table_privilege(t.role_name, t.schema_name || '.' || c, 'delete')";
    none(&superuser, people, "select count(*) from public.tenants").await;
    let history =
        "select t.role_name || ' may write ' || c from public.tenants t, unnest(array['sys_event', 'sys_approval']) c
        where has_any_column_privilege(t.role_name, t.schema_name || '.' || c, 'insert,update')
          or has_table_privilege(t.role_name, t.schema_name || '.' || c, 'delete')";
    none(&superuser, history, "select count(*) from public.tenants").await;
}

#[tokio::test]
async fn tables_explain_themselves_and_refusals_have_sentences() {
    let world = demo().await;
    let superuser = world.superuser().await;
    let table = "pg_class c on c.relnamespace = n.oid where c.relkind in ('r', 'p', 'v')";
    let silent =
        format!("{table} and c.relname <> 'refinery_schema_history' and obj_description(c.oid, 'pg_class') is null");
    none(&superuser, &in_schemas(OURS, "c.oid::regclass::text", &silent), &in_schemas(OURS, "count(*)", table)).await;

    let catalog = world.app.engine.catalog();
    let mut mute = Vec::new();
    for resource in catalog.resources() {
        let writable: Vec<&str> =
            resource.columns.iter().filter(|column| column.writable).map(|column| column.name.as_str()).collect();
        // A unique key that holds `id` cannot be met: the primary key is there first.
        let deletes = resource.methods.contains(&Method::Delete);
        let sql = "select name from (
              select k.conname::text as name, k.contype::text as type, obj_description(k.oid, 'pg_constraint') as sentence,
                (select array_agg(a.attname::text) from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any (k.conkey)) as columns
              from pg_constraint k
              where k.conrelid = ('insula_template.' || $1)::regclass and k.contype in ('c', 'u', 'f', 'x', 'p')
              union all
              select i.relname::text, 'i', obj_description(i.oid, 'pg_class'),
                (select array_agg(a.attname::text) from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                 where d.classid = 'pg_class'::regclass and d.objid = i.oid and d.refclassid = 'pg_class'::regclass)
              from pg_index x join pg_class i on i.oid = x.indexrelid
              where x.indrelid = ('insula_template.' || $1)::regclass and x.indisunique
                and not exists (select from pg_constraint k where k.conindid = i.oid)) rules
            where sentence is null and columns && $2 and not (type in ('u', 'p') and 'id' = any (columns))
            union all
            select conname::text from pg_constraint k
            where $3 and k.confrelid = ('insula_template.' || $1)::regclass and k.confdeltype in ('a', 'r')
              and obj_description(k.oid, 'pg_constraint') is null";
        let rows = superuser.query(sql, &[&resource.table.as_str(), &writable, &deletes]).await.unwrap();
        mute.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    assert!(mute.is_empty(), "a caller can meet these and gets no sentence: {mute:#?}");
}

#[tokio::test]
async fn foreign_keys_are_supported_by_an_index() {
    let superuser = demo().await.superuser().await;
    let keys = "pg_constraint k on k.connamespace = n.oid where k.contype = 'f'";
    // The columns of the key come first in the index, in any order; empty references need not be in it.
    let slow = format!(
        "{keys} and not exists (
          select from pg_index i where i.indrelid = k.conrelid and i.indisvalid
            and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
            and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) ~ '^\\(\\w+ IS NOT NULL\\)$'))"
    );
    none(&superuser, &in_schemas(OURS, "n.nspname || '.' || k.conname", &slow), &in_schemas(OURS, "count(*)", keys))
        .await;
}
