-- The fleet at speed: nothing here looks at more of the catalogue of PostgreSQL than belongs to one tenant.

create table public.template_shapes (
  fingerprint text not null,
  shape       json not null,
  created_at  timestamptz not null default now(),
  constraint template_shapes_pk primary key (fingerprint)
);
comment on table public.template_shapes is
  'What PostgreSQL knows of the template schema, read once for each set of packs, so that a start need not read it again';
comment on column public.template_shapes.fingerprint is 'SHA-256 of all files of all packs, and of how they are read';
revoke all on public.template_shapes from public;

alter table public.tenant_packs add column offered bytea;
comment on column public.tenant_packs.offered is
  'SHA-256 of the roles that the pack last offered in this schema; null = not known, they are offered again';

-- Which tables are there is asked of the dependencies of the schema, which have an index; pg_class has none on its schemas.
create function insula.audit_catch_up(p_schema text, p_names jsonb, p_unaudited text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  f constant text := format('%I.sys_audit_changes', p_schema);
  t record;
begin
  for t in
    select w.oid, w.object, w.ignored
    from (
      select c.oid, c.relname,
        coalesce(p_names ->> c.relname, c.relname) as object,
        array(select split_part(u, '.', 2) from unnest(p_unaudited) u where split_part(u, '.', 1) = c.relname) as ignored
      from pg_depend d
      join pg_class c on c.oid = d.objid
      where d.refclassid = 'pg_namespace'::regclass and d.refobjid = p_schema::regnamespace and d.classid = 'pg_class'::regclass
        and c.relkind in ('r', 'p') and c.relname <> all (p_unaudited)) w
    cross join lateral (
      select coalesce(array_agg(a.attname::text order by a.attnum), '{}') as names
      from pg_attribute a
      where a.attrelid = w.oid and a.attnum > 0 and not a.attisdropped
        and (a.atttypid = 'bytea'::regtype or a.attname ~ '(password|secret|token|hash|sealed)')) s
    cross join lateral (
      select coalesce(array_agg(a.attname::text order by k.at), '{}') as names
      from pg_index i
      cross join unnest(i.indkey::int2[]) with ordinality k(attnum, at)
      join pg_attribute a on a.attrelid = w.oid and a.attnum = k.attnum
      where i.indrelid = w.oid and i.indisprimary and a.attname <> all (s.names)) k
    where (
      select count(*) from pg_trigger g
      where g.tgrelid = w.oid and g.tgname in ('zz_audit_insert', 'zz_audit_update', 'zz_audit_delete')
        and g.tgargs = convert_to(w.object, 'UTF8') || '\x00' || convert_to(k.names::text, 'UTF8') || '\x00'
          || convert_to((w.ignored || '{created_at,created_by,updated_at,row_version}'::text[])::text, 'UTF8') || '\x00'
          || convert_to(s.names::text, 'UTF8') || '\x00') < 3
    order by w.relname
  loop
    perform insula.audit_attach(t.oid::regclass, t.object, t.ignored, f);
  end loop;
end $$;
comment on function insula.audit_catch_up(text, jsonb, text[]) is
  'enters those tables of a schema in its audit that are not entered, or were under other words. p_names: what tables are called in URLs; '
  'p_unaudited: tables without entries, and columns, as table.column, whose change is none';
grant execute on function insula.audit_catch_up(text, jsonb, text[]) to public;
