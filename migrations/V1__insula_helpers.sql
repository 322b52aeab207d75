-- Schema insula: what every tenant shares. Helpers run with the caller's rights and name everything in full, because the caller chooses
-- the search path. The app_* functions stand inside row security, so each is one expression that the planner can inline.
create schema insula;
comment on schema insula is 'helper functions and extensions shared by all tenants';
grant usage on schema insula to public;

create extension btree_gist with schema insula;

-- RFC 9562 version 7: 48 bits of milliseconds, 12 bits of the fraction of the millisecond (method 3), 62 random bits
create function insula.uuid_v7() returns uuid
language plpgsql volatile parallel safe as $$
declare
  us constant bigint := extract(epoch from clock_timestamp()) * 1000000;
begin
  return encode(
    int8send((us / 1000 << 16) | 28672 | (us % 1000 * 4096 / 1000)) || substr(uuid_send(gen_random_uuid()), 9),
    'hex')::uuid;
end $$;
comment on function insula.uuid_v7() is 'a new key, ordered by time';

create function insula.app_uid() returns uuid
language sql stable parallel safe as $$
  select nullif(current_setting('app.user_id', true), '')::uuid
$$;
comment on function insula.app_uid() is 'the user on whose behalf the transaction runs; null for the service itself';

create function insula.app_has(p text) returns boolean
language sql stable parallel safe as $$
  select coalesce(
    string_to_array(current_setting('app.perms', true), ',') && array['*', p, split_part(p, '.', 1) || '.*'],
    false)
$$;
comment on function insula.app_has(text) is 'is this permission granted: by itself, by the wildcard of its first segment, or by *';

create function insula.app_today() returns date
language sql stable parallel safe as $$
  select coalesce(
    nullif(current_setting('app.today', true), '')::date,
    (now() at time zone coalesce(nullif(current_setting('app.timezone', true), ''), 'UTC'))::date)
$$;
comment on function insula.app_today() is 'the calendar day in the time zone of the tenant';

-- the day of a moment, for reports by day and month
create function insula.app_date(t timestamptz) returns date
language sql stable parallel safe as $$
  select (t at time zone coalesce(nullif(current_setting('app.timezone', true), ''), 'UTC'))::date
$$;
comment on function insula.app_date(timestamptz) is 'the calendar day of a moment in the time zone of the tenant';

-- the field goes into the COLUMN part of the error, as it does for the constraints of the server
create function insula.app_fail(state text, code text, msg text, field text default null) returns void
language plpgsql as $$
begin
  if field is null then
    raise exception using errcode = state, message = msg, detail = code;
  end if;
  raise exception using errcode = state, message = msg, detail = code, column = field;
end $$;
comment on function insula.app_fail(text, text, text, text)
  is 'refuses: AP403, AP404, AP409 or AP422, machine code, sentence for the user, field at fault';

create function insula.app_require(p text) returns void
language plpgsql as $$
begin
  if not insula.app_has(p) then
    perform insula.app_fail('AP403', 'forbidden', format('This needs the permission %s.', p));
  end if;
end $$;
comment on function insula.app_require(text) is 'refuses when a permission is not granted';

-- who created a row and when is written once, at insert
create function insula.sys_touch() returns trigger
language plpgsql as $$
begin
  new.created_at := old.created_at;
  new.created_by := old.created_by;
  new.updated_at := now();
  new.row_version := old.row_version + 1;
  return new;
end $$;
comment on function insula.sys_touch() is 'before update: counts the row version and keeps the marks of creation';

create function insula.sys_std(t regclass) returns void
language plpgsql as $$
begin
  execute format(
    'alter table %s
       add created_at timestamptz not null default now(),
       add created_by uuid default insula.app_uid(),
       add updated_at timestamptz not null default now(),
       add row_version int not null default 1', t);
  execute format('create trigger zz_touch before update on %s for each row execute function insula.sys_touch()', t);
end $$;
comment on function insula.sys_std(regclass) is 'adds the four standard columns and their trigger to a table';

-- argument, optional: the foreign key column, named with its table, through which a delete of the parent row takes its history along
create function insula.sys_refuse() returns trigger
language plpgsql as $$
declare
  parent_alive boolean;
begin
  if tg_op = 'DELETE' and tg_nargs = 2 then
    execute format('select exists (select from %I.%I where id = $1)', tg_table_schema, tg_argv[0])
      into parent_alive using (to_jsonb(old) ->> tg_argv[1])::uuid;
    -- row security could hide a living parent; the cascade itself runs as the owner of the table, whom it does not bind
    if not parent_alive and not row_security_active(format('%I.%I', tg_table_schema, tg_argv[0])) then
      return old;
    end if;
  end if;
  perform insula.app_fail('AP409', 'append_only', 'Entries of this history are never changed or removed.');
  return null;
end $$;
comment on function insula.sys_refuse() is 'trigger of append-only tables';

create function insula.sys_append_only(t regclass, parent text default null, fk text default null) returns void
language plpgsql as $$
begin
  execute format(
    'alter table %s
       add created_at timestamptz not null default now(),
       add created_by uuid default insula.app_uid()', t);
  execute format('create trigger zz_append_only before update or delete on %s for each row execute function insula.sys_refuse(%s)',
    t, case when parent is null then '' else format('%L, %L', parent, fk) end);
  execute format('create trigger zz_no_truncate before truncate on %s for each statement execute function insula.sys_refuse()', t);
end $$;
comment on function insula.sys_append_only(regclass, text, text)
  is 'marks of creation, and no update, delete or truncate; with parent and fk the rows go when their parent row goes';

-- arguments: frozen states, columns that may still change (comma lists). An AFTER trigger, because a BEFORE trigger cannot read
-- stored generated columns.
create function insula.sys_freeze() returns trigger
language plpgsql as $$
declare
  was constant jsonb := to_jsonb(old);
  free constant text[] := string_to_array(concat_ws(',', nullif(tg_argv[1], ''), 'updated_at,row_version'), ',');
begin
  if was ->> 'state' = any (string_to_array(tg_argv[0], ','))
    and (tg_op = 'DELETE' or (to_jsonb(new) - free) is distinct from (was - free)) then
    perform insula.app_fail('AP409', 'frozen', format('A record that is %s cannot be changed.', was ->> 'state'));
  end if;
  return null;
end $$;
comment on function insula.sys_freeze() is 'after update or delete: a document in a final state keeps its content';

-- arguments: parent table, foreign key column, states of the parent in which lines may change, columns that may always change.
-- Both parents are checked when a line moves; the parent stays locked, so that nobody posts it in between.
create function insula.sys_freeze_child() returns trigger
language plpgsql as $$
declare
  was constant jsonb := to_jsonb(old);
  now_is constant jsonb := to_jsonb(new);
  free constant text[] := string_to_array(concat_ws(',', nullif(tg_argv[3], ''), 'updated_at,row_version'), ',');
  parent constant text := format('%I.%I', tg_table_schema, tg_argv[0]);
  parent_id uuid;
  parent_state text;
begin
  if tg_op = 'UPDATE' and (now_is - free) is not distinct from (was - free) then
    return null;
  end if;
  for parent_id in
    select distinct k from unnest(array[(was ->> tg_argv[1])::uuid, (now_is ->> tg_argv[1])::uuid]) k where k is not null order by k
  loop
    execute format('select state from %s where id = $1 for no key update', parent) into parent_state using parent_id;
    if parent_state is null and (tg_op <> 'DELETE' or row_security_active(parent)) then
      perform insula.app_fail('AP404', 'not_found', 'not found');
    end if;
    if parent_state <> all (string_to_array(tg_argv[2], ',')) then
      perform insula.app_fail('AP409', 'parent_frozen',
        format('The lines cannot be changed once the document is %s.', parent_state));
    end if;
  end loop;
  return null;
end $$;
comment on function insula.sys_freeze_child() is 'after insert, update or delete: lines of a document in a final state keep their content';

-- argument: columns that only an action may change (comma list). The service sets app.action for the transaction of an action, never
-- for generic writes.
create function insula.sys_action_only() returns trigger
language plpgsql as $$
declare
  was constant jsonb := to_jsonb(old);
  now_is constant jsonb := to_jsonb(new);
  c text;
begin
  if coalesce(current_setting('app.action', true), '') = '' then
    foreach c in array string_to_array(tg_argv[0], ',') loop
      if now_is -> c is distinct from was -> c then
        perform insula.app_fail('AP403', 'action_only', format('%s changes only through an action.', c), c);
      end if;
    end loop;
  end if;
  return new;
end $$;
comment on function insula.sys_action_only() is 'before update: guards the columns that belong to actions';

create function insula.access_changed() returns trigger
language plpgsql as $$
begin
  perform pg_notify('insula', 'access:' || tg_table_schema);
  return null;
end $$;
comment on function insula.access_changed() is 'after each statement: tells every process to forget the rights of this tenant';
