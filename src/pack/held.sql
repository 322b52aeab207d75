-- What a role ($1) holds in a schema ($2): on relations and their columns, on functions, on the schema itself; and which of its policies
-- are in force, by their marks. PostgreSQL keeps an index of everything that names a role.
with named as (
  select d.classid, d.objid, d.objsubid, d.deptype, d.refobjid as role, to_regnamespace($2)::oid as schema
  from pg_shdepend d
  where d.refclassid = 'pg_authid'::regclass and d.refobjid = to_regrole($1)::oid
    and d.dbid = (select oid from pg_database where datname = current_database()))
select 'relation', c.relname::text, array_agg(concat(a.attname, ':', lower(x.privilege_type)))
from named n
join pg_class c on c.oid = n.objid and c.relnamespace = n.schema
left join pg_attribute a on a.attrelid = n.objid and a.attnum = n.objsubid and n.objsubid > 0
cross join lateral aclexplode(case when n.objsubid > 0 then a.attacl else c.relacl end) x
where n.classid = 'pg_class'::regclass and n.deptype = 'a' and x.grantee = n.role
group by c.relname
union all
select 'function', format('%s(%s)', p.proname, replace(oidvectortypes(p.proargtypes), $2 || '.', '')), array_agg(':' || lower(x.privilege_type))
from named n
join pg_proc p on p.oid = n.objid and p.pronamespace = n.schema
cross join lateral aclexplode(p.proacl) x
where n.classid = 'pg_proc'::regclass and n.deptype = 'a' and x.grantee = n.role
group by p.oid, p.proname, p.proargtypes
union all
select 'schema', '', array_agg(':' || lower(x.privilege_type))
from named n
join pg_namespace s on s.oid = n.objid and s.oid = n.schema
cross join lateral aclexplode(s.nspacl) x
where n.classid = 'pg_namespace'::regclass and n.deptype = 'a' and x.grantee = n.role
having count(*) > 0
union all
select 'policy', c.relname::text, array[coalesce(obj_description(p.oid, 'pg_policy'), '')]
from named n
join pg_policy p on p.oid = n.objid and p.polname = 'scope' and p.polroles = array[n.role]
join pg_class c on c.oid = p.polrelid and c.relnamespace = n.schema and c.relrowsecurity
where n.classid = 'pg_policy'::regclass
