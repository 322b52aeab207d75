-- Ways in which the role of a tenant reaches beyond its schema, or others reach into it: rows of (subdomain, sentence). $1: only this
-- tenant. Nothing is tried by chance: PostgreSQL is asked for every right there is.
with meant as (
  select t.subdomain, t.schema_name, b.owner_role, b.login_role, n.oid as schema, n.nspowner, n.nspacl, r.oid as role, r.rolname, r.rolsuper,
    r.rolbypassrls, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication
  from public.tenants t
  join public.buckets b on b.id = t.bucket_id
  left join pg_namespace n on n.nspname = t.schema_name
  left join pg_roles r on r.rolname = t.role_name
  where t.state in ('active', 'suspended') and ($1::text is null or t.subdomain = $1)),
acls as (
  select 'table' as kind, n.oid as schema, format('%I.%I', n.nspname, c.relname) as name, c.relowner as owner, x.grantee, x.privilege_type
  from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral aclexplode(c.relacl) x
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'insula')
  union all
  select 'column', n.oid, format('%I.%I.%I', n.nspname, c.relname, a.attname), c.relowner, x.grantee, x.privilege_type
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  cross join lateral aclexplode(a.attacl) x
  where a.attacl is not null and not a.attisdropped and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'insula')
  union all
  select 'function', n.oid, format('%I.%I', n.nspname, p.proname), p.proowner, x.grantee, x.privilege_type
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace cross join lateral aclexplode(p.proacl) x
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'insula')
  union all
  select 'schema', n.oid, format('%I', n.nspname), n.nspowner, x.grantee, x.privilege_type
  from pg_namespace n cross join lateral aclexplode(n.nspacl) x
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'insula'))
select subdomain, format('there is no schema %s', schema_name) from meant where schema is null
union all
select subdomain, 'its role is missing' from meant where role is null
union all
select subdomain, format('its role %s has the attribute %s', rolname, a.name)
from meant
cross join lateral (values (rolsuper, 'superuser'), (rolbypassrls, 'bypassrls'), (rolcreaterole, 'createrole'), (rolcreatedb, 'createdb'),
  (rolcanlogin, 'login'), (rolreplication, 'replication')) a(held, name)
where a.held
union all
select m.subdomain, format('its schema belongs to %s', pg_get_userbyid(m.nspowner))
from meant m
where m.schema is not null and pg_get_userbyid(m.nspowner) <> m.owner_role
union all
select m.subdomain, format('its role is a member of %s', pg_get_userbyid(g.roleid))
from meant m join pg_auth_members g on g.member = m.role
union all
select m.subdomain, format('%s is a member of its role', pg_get_userbyid(g.member))
from meant m join pg_auth_members g on g.roleid = m.role
where pg_get_userbyid(g.member) not in (m.login_role, current_user)
union all
select distinct m.subdomain, format('its role owns %s of %s', d.classid::regclass, d.objid)
from meant m
join pg_shdepend d on d.refclassid = 'pg_authid'::regclass and d.refobjid = m.role and d.deptype = 'o'
union all
select m.subdomain, format('its role holds %s on %s %s', lower(a.privilege_type), a.kind, a.name)
from meant m
join acls a on a.grantee = m.role and a.schema is distinct from m.schema
union all
select m.subdomain, format('%s holds %s on %s %s', case a.grantee when 0 then 'everybody' else pg_get_userbyid(a.grantee) end,
  lower(a.privilege_type), a.kind, a.name)
from meant m
join acls a on a.schema = m.schema and a.grantee not in (m.role, m.nspowner)
union all
select m.subdomain, format('the login %s bypasses row security or is a superuser', r.rolname)
from meant m
join pg_roles r on r.rolname = m.login_role and (r.rolsuper or r.rolbypassrls)
order by 1, 2
