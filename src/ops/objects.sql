-- What schemas ($1, with their roles $2) are made of, each thing with the SQL that makes it, that takes it away and, where that is not
-- the two together, that makes it right; ordered so that it could be run. Names of schema, role and owner are @schema@, @role@ and
-- @owner@: equal schemas give equal texts.
with meant as (
  select n.oid, n.nspname::text as schema, n.nspowner as owner, n.nspacl as acl, r.oid as role
  from unnest($1::text[], $2::text[]) w(schema, role)
  join pg_namespace n on n.nspname = w.schema
  left join pg_roles r on r.rolname = w.role),
relations as (
  select m.*, c.oid as rel, c.relname as name, c.relkind as kind, c.relowner, c.relacl, c.reloptions, c.relrowsecurity
  from meant m
  join pg_class c on c.relnamespace = m.oid and c.relkind in ('r', 'p', 'v', 'm')),
columns as (
  select r.schema, r.name as relation, r.name || '.' || a.attname as name, a.attname, a.attidentity, a.attgenerated, a.attnotnull,
    format_type(a.atttypid, a.atttypmod) as type, pg_get_expr(v.adbin, v.adrelid) as value
  from relations r
  join pg_attribute a on a.attrelid = r.rel and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef v on v.adrelid = r.rel and v.adnum = a.attnum
  where r.kind in ('r', 'p')),
functions as (
  select m.*, p.oid as function, p.proowner, format('%I(%s)', p.proname, oidvectortypes(p.proargtypes)) as signature,
    coalesce(p.proacl, acldefault('f', p.proowner)) as rights
  from meant m
  join pg_proc p on p.pronamespace = m.oid and p.prokind in ('f', 'p')),
grants as (
  select g.schema, g.target, r.name as grantee, string_agg(g.privilege, ', ' order by g.privilege) as privileges
  from (
    select r.schema, r.owner, r.role, format('table %I', r.name) as target, x.grantee, lower(x.privilege_type) as privilege
    from relations r cross join lateral aclexplode(r.relacl) x
    union all
    select r.schema, r.owner, r.role, format('table %I', r.name), x.grantee, format('%s (%I)', lower(x.privilege_type), a.attname)
    from relations r
    join pg_attribute a on a.attrelid = r.rel and a.attnum > 0 and not a.attisdropped and a.attacl is not null
    cross join lateral aclexplode(a.attacl) x
    union all
    select f.schema, f.owner, f.role, 'function ' || f.signature, x.grantee, lower(x.privilege_type)
    from functions f cross join lateral aclexplode(f.rights) x
    union all
    select m.schema, m.owner, m.role, 'schema @schema@', x.grantee, lower(x.privilege_type)
    from meant m cross join lateral aclexplode(m.acl) x) g
  cross join lateral (
    select case g.grantee when 0 then 'public' when g.role then '@role@' else quote_ident(pg_get_userbyid(g.grantee)) end as name) r
  where g.grantee <> g.owner
  group by g.schema, g.target, r.name),
objects (place, schema, kind, name, make, unmake, amend) as (
  select 0, m.schema, 'role', '@role@', 'create role @role@ nologin', null, null
  from meant m
  where m.role is not null
  union all
  select 1, r.schema, 'table', r.name::text, format('create table %I ()', r.name), format('-- it may hold data: drop table %I', r.name), null
  from relations r
  where r.kind in ('r', 'p')
  union all
  select 2, c.schema, 'column', c.name, format('alter table %I add column %I %s%s', c.relation, c.attname, c.type, case
      when c.attidentity <> '' then format(' generated %s as identity', case c.attidentity when 'a' then 'always' else 'by default' end)
      when c.attgenerated = 's' then format(' generated always as (%s) stored', c.value)
      else '' end),
    format('-- it may hold data: alter table %I drop column %I', c.relation, c.attname),
    format('alter table %I alter column %I type %s', c.relation, c.attname, c.type)
  from columns c
  union all
  select 4, c.schema, 'default', c.name, format('alter table %I alter column %I set default %s', c.relation, c.attname, c.value),
    format('alter table %I alter column %I drop default', c.relation, c.attname),
    format('alter table %I alter column %I set default %s', c.relation, c.attname, c.value)
  from columns c
  where c.value is not null and c.attgenerated = ''
  union all
  select 4, c.schema, 'not null', c.name, format('alter table %I alter column %I set not null', c.relation, c.attname),
    format('alter table %I alter column %I drop not null', c.relation, c.attname), null
  from columns c
  where c.attnotnull
  union all
  select 3, f.schema, 'function', f.signature, pg_get_functiondef(f.function), 'drop function ' || f.signature, pg_get_functiondef(f.function)
  from functions f
  union all
  select case k.contype when 'p' then 4 when 'u' then 4 when 'f' then 6 else 5 end, r.schema, 'constraint', r.name || '.' || k.conname,
    format('alter table %I add constraint %I %s', r.name, k.conname, pg_get_constraintdef(k.oid)),
    format('alter table %I drop constraint %I', r.name, k.conname), null
  from relations r
  join pg_constraint k on k.conrelid = r.rel and k.contype <> 't'
  union all
  select 7, r.schema, 'index', i.relname::text, pg_get_indexdef(x.indexrelid) || case when x.indisvalid then '' else ' -- not valid' end,
    format('drop index %I', i.relname), null
  from relations r
  join pg_index x on x.indrelid = r.rel
  join pg_class i on i.oid = x.indexrelid
  where not exists (select from pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))
  union all
  select 8, r.schema, 'view', r.name::text, v.definition, format('drop view %I', r.name), v.definition
  from relations r
  cross join lateral (
    select format('create or replace view %I%s as %s', r.name, ' with (' || array_to_string(r.reloptions, ', ') || ')',
      rtrim(pg_get_viewdef(r.rel), ';')) as definition) v
  where r.kind = 'v'
  union all
  select 9, r.schema, 'trigger', r.name || '.' || g.tgname,
    pg_get_triggerdef(g.oid) || case g.tgenabled when 'O' then '' else format('; -- switched off: %s', g.tgenabled) end,
    format('drop trigger %I on %I', g.tgname, r.name), null
  from relations r
  join pg_trigger g on g.tgrelid = r.rel and not g.tgisinternal
  union all
  select 10, r.schema, 'row security', r.name::text, format('alter table %I enable row level security', r.name),
    format('alter table %I disable row level security', r.name), null
  from relations r
  where r.relrowsecurity
  union all
  select 11, r.schema, 'policy', r.name || '.' || p.polname,
    format('create policy %I on %I as %s for %s to %s%s%s', p.polname, r.name,
      case when p.polpermissive then 'permissive' else 'restrictive' end,
      case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
      (select string_agg(case u.role when 0 then 'public' when r.role then '@role@' else quote_ident(pg_get_userbyid(u.role)) end, ', ')
       from unnest(p.polroles) u(role)),
      format(' using (%s)', pg_get_expr(p.polqual, p.polrelid)),
      format(' with check (%s)', pg_get_expr(p.polwithcheck, p.polrelid))),
    format('drop policy %I on %I', p.polname, r.name), null
  from relations r
  join pg_policy p on p.polrelid = r.rel
  union all
  select 12, o.schema, 'owner', o.name, format('alter %s owner to %I', o.name, pg_get_userbyid(o.other)),
    format('alter %s owner to @owner@', o.name), null
  from (
    select r.schema, r.owner, r.relowner as other, format('table %I', r.name) as name from relations r
    union all
    select f.schema, f.owner, f.proowner, 'function ' || f.signature from functions f) o
  where o.other <> o.owner
  union all
  select 13, g.schema, 'grant', format('%s to %s', g.target, g.grantee), format('grant %s on %s to %s', g.privileges, g.target, g.grantee),
    format('revoke all on %s from %s', g.target, g.grantee), null
  from grants g)
select o.place, o.schema, o.kind, x.name, x.make, x.unmake, x.amend
from objects o
cross join lateral (
  select max(t.text) filter (where t.n = 1), max(t.text) filter (where t.n = 2), max(t.text) filter (where t.n = 3),
    max(t.text) filter (where t.n = 4)
  from (
    select u.n, replace(replace(u.text, 'SET search_path TO ''' || o.schema || '''', 'SET search_path TO ''@schema@'''), o.schema || '.', '')
    from unnest(array[o.name, o.make, o.unmake, o.amend]) with ordinality u(text, n)) t(n, text)) x(name, make, unmake, amend)
