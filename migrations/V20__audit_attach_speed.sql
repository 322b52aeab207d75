-- Every table of a new tenant is attached to its audit: in PL/pgSQL the plans are kept, and what is secret is asked once for each table.

create or replace function insula.audit_secrets(t regclass) returns text[]
language plpgsql stable as $$
begin
  return (
    select coalesce(array_agg(a.attname::text), '{}')
    from pg_attribute a
    where a.attrelid = t and a.attnum > 0 and not a.attisdropped
      and (a.atttypid = 'bytea'::regtype or a.attname ~ '(password|secret|token|hash|sealed)'));
end $$;

create or replace function insula.audit_key_columns(t regclass) returns text[]
language plpgsql stable as $$
declare
  secrets constant text[] := insula.audit_secrets(t);
begin
  return (
    select coalesce(array_agg(a.attname::text order by k.at), '{}')
    from pg_index i
    cross join unnest(i.indkey::int2[]) with ordinality k(attnum, at)
    join pg_attribute a on a.attrelid = t and a.attnum = k.attnum
    where i.indrelid = t and i.indisprimary and a.attname <> all (secrets));
end $$;
