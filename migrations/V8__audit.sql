-- The audit: who changed what, written by triggers in the transaction of the change. When that ends, its entries get the next numbers and
-- are chained: each hash covers its entry and the hash before it (after Schneier and Kelsey, "Secure Audit Logs to Support Computer
-- Forensics", 1999). Every tenant has a chain of its own in its schema; here stand what all chains share, and the chain of the platform.

create function insula.audit_text(t timestamptz) returns text
language sql stable parallel safe as $$
  select to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;
comment on function insula.audit_text(timestamptz) is 'a moment as it stands in the content of an entry, whatever the settings of the session';

-- in PL/pgSQL, whose plans are kept: these are called for every changed row
create function insula.audit_key(r jsonb, key text[]) returns text
language plpgsql immutable parallel safe as $$
begin
  if cardinality(key) = 1 then
    return r ->> key[1];
  end if;
  return (select string_agg(r ->> k.name, '/' order by k.at) from unnest(key) with ordinality k(name, at));
end $$;
comment on function insula.audit_key(jsonb, text[]) is 'the key of a row as text; one of several columns is joined by /';

create function insula.audit_fields(this jsonb, other jsonb, ignored text[], secret text[]) returns jsonb
language plpgsql immutable parallel safe as $$
begin
  return (
    select coalesce(jsonb_object_agg(f.key, case when f.key = any (secret) and f.value <> 'null' then '"***"'::jsonb else f.value end), '{}')
    from jsonb_each(this) f
    where f.key <> all (ignored) and case when other is null then f.value <> 'null' else other -> f.key is distinct from f.value end);
end $$;
comment on function insula.audit_fields(jsonb, jsonb, text[], text[])
  is 'the fields in which a row differs from another, or all that hold something; secrets are masked';

-- What must never be read in an audit is known by its type and name, so that nobody has to remember it.
create function insula.audit_secrets(t regclass) returns text[]
language sql stable as $$
  select coalesce(array_agg(a.attname::text), '{}')
  from pg_attribute a
  where a.attrelid = t and a.attnum > 0 and not a.attisdropped
    and (a.atttypid = 'bytea'::regtype or a.attname ~ '(password|secret|token|hash|sealed)')
$$;
comment on function insula.audit_secrets(regclass) is 'columns of a table whose values are masked';

create function insula.audit_key_columns(t regclass) returns text[]
language sql stable as $$
  select coalesce(array_agg(a.attname::text order by k.at), '{}')
  from pg_index i
  cross join unnest(i.indkey::int2[]) with ordinality k(attnum, at)
  join pg_attribute a on a.attrelid = t and a.attnum = k.attnum
  where i.indrelid = t and i.indisprimary and a.attname <> all (insula.audit_secrets(t))
$$;
comment on function insula.audit_key_columns(regclass) is 'columns of the primary key, but for secret ones';

-- PostgreSQL allows transition tables to triggers of one event only. The arguments: what the rows are called, their key, columns whose
-- change says nothing, columns whose values are masked.
create function insula.audit_attach(t regclass, object text, ignored text[], execute_function text) returns void
language plpgsql as $$
declare
  args constant text := format('%L, %L, %L, %L', object, insula.audit_key_columns(t),
    ignored || '{created_at,created_by,updated_at,row_version}'::text[], insula.audit_secrets(t));
begin
  execute format('create or replace trigger zz_audit_insert after insert on %s referencing new table as new_rows for each statement execute function %s(%s)',
    t, execute_function, args);
  execute format('create or replace trigger zz_audit_update after update on %s referencing old table as old_rows new table as new_rows for each statement execute function %s(%s)',
    t, execute_function, args);
  execute format('create or replace trigger zz_audit_delete after delete on %s referencing old table as old_rows for each statement execute function %s(%s)',
    t, execute_function, args);
end $$;
comment on function insula.audit_attach(regclass, text, text[], text) is 'from now on, changes of a table are entered in the audit';

create function insula.audit_guard() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' and tg_level = 'ROW' then
    if old.seq is null and to_jsonb(new) - '{seq,hash}'::text[] = to_jsonb(old) - '{seq,hash}'::text[] then
      return new;
    end if;
  end if;
  perform insula.app_fail('AP409', 'append_only', 'Entries of this history are never changed or removed.');
  return null;
end $$;
comment on function insula.audit_guard() is 'before update, delete, truncate: an entry changes once, when it is numbered and chained';

grant execute on function
  insula.audit_text(timestamptz),
  insula.audit_key(jsonb, text[]),
  insula.audit_fields(jsonb, jsonb, text[], text[]),
  insula.audit_secrets(regclass),
  insula.audit_key_columns(regclass),
  insula.audit_attach(regclass, text, text[], text),
  insula.audit_guard() to public;

-- ---------- the chain of the platform ----------

create table public.audit_events (
  id          bigint generated always as identity,
  seq         bigint,
  at          timestamptz not null default clock_timestamp(),
  actor       text not null default coalesce(nullif(current_setting('app.actor', true), ''), 'service'),
  action      text not null,
  object_type text not null,
  object_id   text,
  before      jsonb,
  after       jsonb,
  request_id  text default nullif(split_part(current_setting('app.origin', true), ' ', 1), ''),
  address     inet default nullif(split_part(current_setting('app.origin', true), ' ', 2), '')::inet,
  line        bigint not null,
  hash        bytea,
  constraint audit_events_seq_unique unique (seq),
  constraint audit_events_sealed check ((seq is null) = (hash is null))
);
create index audit_events_object_idx on public.audit_events (object_type, object_id);
create index audit_events_open_idx on public.audit_events (id) where seq is null;
comment on table public.audit_events is 'Who changed what on the platform; numbered without gaps and chained at the end of each transaction';
comment on column public.audit_events.line is 'Place among the entries of one statement; the first asks for the sealing';
comment on column public.audit_events.hash is 'Covers this entry and the hash before it';

create table public.audit_head (
  only_row boolean not null default true,
  seq      bigint not null default 0,
  hash     bytea not null default sha256('public'),
  constraint audit_head_pk primary key (only_row),
  constraint audit_head_only_row check (only_row)
);
comment on table public.audit_head is 'The end of the chain of audit_events; who appends holds it until the transaction has ended';
insert into public.audit_head default values;

create table public.audit_anchors (
  chain      text not null,
  day        date not null,
  seq        bigint not null,
  sealed     bytea not null,
  updated_at timestamptz not null default now(),
  constraint audit_anchors_pk primary key (chain, day)
);
comment on table public.audit_anchors is
  'The last known end of every chain on each day, kept apart from the chain: who rewrites a chain cannot forge this without the key';
comment on column public.audit_anchors.chain is 'Schema of the chain';
comment on column public.audit_anchors.sealed is 'The hash at seq, encrypted; associated data = schema and seq';

create trigger guard before update or delete on public.audit_events
  for each row execute function insula.audit_guard();
create trigger guard_all before truncate on public.audit_events
  for each statement execute function insula.audit_guard();

create function public.audit_seal() returns trigger
language plpgsql set search_path = public, insula, pg_temp as $$
declare
  head public.audit_head;
  e record;
begin
  select * into head from audit_head for update;
  for e in select ctid as place, * from audit_events where seq is null order by id loop
    head.seq := head.seq + 1;
    head.hash := sha256(head.hash || convert_to(jsonb_build_array(head.seq, audit_text(e.at), e.actor, e.action, e.object_type, e.object_id,
      e.before, e.after, e.request_id, host(e.address))::text, 'UTF8'));
    update audit_events set seq = head.seq, hash = head.hash where ctid = e.place;
  end loop;
  -- what another statement of the transaction made was numbered with that of the first
  update audit_head set seq = head.seq, hash = head.hash where seq <> head.seq;
  return null;
end $$;
comment on function public.audit_seal() is 'at the end of a transaction: numbers its entries and chains them';

create constraint trigger seal after insert on public.audit_events deferrable initially deferred
  for each row when (new.line = 1) execute function public.audit_seal();

create function public.audit_changes() returns trigger
language plpgsql set search_path = public, insula, pg_temp as $$
declare
  object constant text := tg_argv[0];
  key constant text[] := tg_argv[1];
  ignored constant text[] := tg_argv[2];
  secret constant text[] := tg_argv[3];
begin
  if tg_op = 'INSERT' then
    insert into audit_events (line, action, object_type, object_id, after)
      select row_number() over (), 'create', object, audit_key(n.r, key), audit_fields(n.r, null, ignored, secret)
      from (select to_jsonb(new_rows) as r from new_rows) n;
  elsif tg_op = 'DELETE' then
    insert into audit_events (line, action, object_type, object_id, before)
      select row_number() over (), 'delete', object, audit_key(o.r, key), audit_fields(o.r, null, ignored, secret)
      from (select to_jsonb(old_rows) as r from old_rows) o;
  else
    insert into audit_events (line, action, object_type, object_id, before, after)
      select row_number() over (order by n.at), 'update', object, audit_key(n.r, key),
        audit_fields(o.r, n.r, ignored, secret), audit_fields(n.r, o.r, ignored, secret)
      from (select to_jsonb(old_rows) as r, row_number() over () as at from old_rows) o
      join (select to_jsonb(new_rows) as r, row_number() over () as at from new_rows) n using (at)
      where o.r - ignored <> n.r - ignored;
  end if;
  return null;
end $$;
comment on function public.audit_changes()
  is 'after each statement: an entry for every row that it made, removed or changed; PostgreSQL keeps old and new rows in the same order';

select insula.audit_attach(t::regclass, substr(t, 8), ignored, 'public.audit_changes')
from (values
  ('public.clusters', '{}'::text[]),
  ('public.tenants', '{}'),
  ('public.tenant_domains', '{}'),
  ('public.tenant_packs', '{}'),
  ('public.tenant_subscriptions', '{}'),
  ('public.tenant_module_overrides', '{}'),
  ('public.modules', '{}'),
  ('public.plans', '{}'),
  ('public.plan_modules', '{}'),
  ('public.module_dependencies', '{}'),
  ('public.feature_flags', '{}'),
  ('public.operators', '{last_login_at}'),
  ('public.signing_keys', '{}'),
  ('public.platform_settings', '{}')) audited(t, ignored);
