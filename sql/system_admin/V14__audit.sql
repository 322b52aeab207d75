-- Who changed what: an entry for every changed row, in the transaction of the change. See the migration `audit` of the public schema for
-- how entries are chained. The tenant's role can only read; triggers write as the owner of the tables.

create table sys_audit_event (
  id bigint generated always as identity,
  seq bigint,
  at timestamptz not null default clock_timestamp(),
  actor_id uuid default app_uid(),
  impersonator text default nullif(current_setting('app.impersonator', true), ''),
  action text not null,
  through text default nullif(current_setting('app.action', true), ''),
  object_type text not null,
  object_id text,
  before jsonb,
  after jsonb,
  request_id text default nullif(split_part(current_setting('app.origin', true), ' ', 1), ''),
  address inet default nullif(split_part(current_setting('app.origin', true), ' ', 2), '')::inet,
  line bigint not null,
  hash bytea,
  constraint sys_audit_event_seq unique (seq),
  constraint sys_audit_event_sealed check ((seq is null) = (hash is null))
);
comment on table sys_audit_event is 'who changed what, append-only; numbered without gaps and chained at the end of each transaction';
comment on column sys_audit_event.seq is 'number in the chain, without gaps';
comment on column sys_audit_event.actor_id is 'the user who did it; null for the service itself, and for who was not signed in';
comment on column sys_audit_event.impersonator is 'the operator who acted in the name of the user';
comment on column sys_audit_event.action is 'create, update or delete of a record; sign_in_failed, refused';
comment on column sys_audit_event.through is 'the action of the record by which it was changed';
comment on column sys_audit_event.object_type is 'the resource, where there is one, otherwise the table';
comment on column sys_audit_event.before is 'the changed fields as they were; all of them when the record was removed';
comment on column sys_audit_event.after is 'the changed fields as they are; all of them when the record is new';
comment on column sys_audit_event.line is 'place among the entries of one statement; the first asks for the sealing';
comment on column sys_audit_event.hash is 'covers this entry and the hash before it';
create index sys_audit_event_object on sys_audit_event (object_type, object_id);
create index sys_audit_event_at on sys_audit_event using brin (at);
create index sys_audit_event_open on sys_audit_event (id) where seq is null;

create table sys_audit_head (
  only_row boolean not null default true,
  seq bigint not null default 0,
  hash bytea not null,
  constraint sys_audit_head_pk primary key (only_row),
  constraint sys_audit_head_only_row check (only_row)
);
comment on table sys_audit_head is 'the end of the chain; who appends holds it until the transaction has ended';
insert into sys_audit_head (hash) values (sha256(convert_to(current_schema(), 'UTF8')));

create trigger guard before update or delete on sys_audit_event
  for each row execute function audit_guard();
create trigger guard_all before truncate on sys_audit_event
  for each statement execute function audit_guard();

create function sys_audit_seal() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  head sys_audit_head;
  e record;
begin
  select * into head from sys_audit_head for update;
  for e in select ctid as place, * from sys_audit_event where seq is null order by id loop
    head.seq := head.seq + 1;
    head.hash := sha256(head.hash || convert_to(jsonb_build_array(head.seq, audit_text(e.at), e.actor_id, e.impersonator, e.action,
      e.through, e.object_type, e.object_id, e.before, e.after, e.request_id, host(e.address))::text, 'UTF8'));
    update sys_audit_event set seq = head.seq, hash = head.hash where ctid = e.place;
  end loop;
  -- what another statement of the transaction made was numbered with that of the first
  update sys_audit_head set seq = head.seq, hash = head.hash where seq <> head.seq;
  return null;
end $$;
comment on function sys_audit_seal()
  is 'at the end of a transaction: numbers its entries and chains them; not before, so that nobody waits for the head with rows locked';
revoke all on function sys_audit_seal() from public;

create constraint trigger seal after insert on sys_audit_event deferrable initially deferred
  for each row when (new.line = 1) execute function sys_audit_seal();

create function sys_audit_changes() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  object constant text := tg_argv[0];
  key constant text[] := tg_argv[1];
  ignored constant text[] := tg_argv[2];
  secret constant text[] := tg_argv[3];
begin
  if tg_op = 'INSERT' then
    insert into sys_audit_event (line, action, object_type, object_id, after)
      select row_number() over (), 'create', object, audit_key(n.r, key), audit_fields(n.r, null, ignored, secret)
      from (select to_jsonb(new_rows) as r from new_rows) n;
  elsif tg_op = 'DELETE' then
    insert into sys_audit_event (line, action, object_type, object_id, before)
      select row_number() over (), 'delete', object, audit_key(o.r, key), audit_fields(o.r, null, ignored, secret)
      from (select to_jsonb(old_rows) as r from old_rows) o;
  else
    insert into sys_audit_event (line, action, object_type, object_id, before, after)
      select row_number() over (order by n.at), 'update', object, audit_key(n.r, key),
        audit_fields(o.r, n.r, ignored, secret), audit_fields(n.r, o.r, ignored, secret)
      from (select to_jsonb(old_rows) as r, row_number() over () as at from old_rows) o
      join (select to_jsonb(new_rows) as r, row_number() over () as at from new_rows) n using (at)
      where o.r - ignored <> n.r - ignored;
  end if;
  return null;
end $$;
comment on function sys_audit_changes()
  is 'after each statement: an entry for every row that it made, removed or changed; PostgreSQL keeps old and new rows in the same order';
revoke all on function sys_audit_changes() from public;

-- p_names: what the tables are called in URLs. p_unaudited: tables without entries, and columns, as table.column, whose change is none.
create function sys_audit_attach(p_names jsonb, p_unaudited text[]) returns void
language plpgsql as $$
declare
  t text;
begin
  for t in
    select c.relname from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and c.relname <> all (p_unaudited)
    order by c.relname
  loop
    perform audit_attach(
      format('%I', t)::regclass,
      coalesce(p_names ->> t, t),
      array(select split_part(u, '.', 2) from unnest(p_unaudited) u where split_part(u, '.', 1) = t),
      format('%I.sys_audit_changes', current_schema()));
  end loop;
end $$;
comment on function sys_audit_attach(jsonb, text[]) is 'internal: enters all tables of the schema in the audit, after packs were installed';
revoke all on function sys_audit_attach(jsonb, text[]) from public;
