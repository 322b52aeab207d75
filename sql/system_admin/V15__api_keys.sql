-- Keys for programs. Each acts for one user, within what was chosen for it and what the user may do at the moment.

create table sys_api_key (
  id uuid primary key default uuid_v7(),
  user_id uuid not null default app_uid(),
  name text not null,
  prefix text not null,
  permissions text[] not null,
  expires_at timestamptz not null default now() + interval '1 year',
  last_used_at timestamptz,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  constraint sys_api_key_name check (length(btrim(name)) between 1 and 100),
  constraint sys_api_key_prefix check (prefix ~ '^[0-9a-f]{12}$'),
  constraint sys_api_key_prefix_key unique (prefix),
  constraint sys_api_key_permissions check (cardinality(permissions) between 1 and 500),
  constraint sys_api_key_expires_at check (expires_at > created_at),
  constraint sys_api_key_user_fk foreign key (user_id) references sys_user on delete cascade
);
comment on table sys_api_key is 'keys of users for programs; a key counts until it expires or is revoked, and is kept for 90 days after that';
comment on column sys_api_key.prefix is 'the part of the key by which people tell it from others';
comment on column sys_api_key.permissions is 'what the key may do at most; it never may do more than its user';
comment on column sys_api_key.last_used_at is 'exact to a minute';
comment on constraint sys_api_key_name on sys_api_key is 'must have 1 to 100 characters';
comment on constraint sys_api_key_prefix_key on sys_api_key is 'is already used by another key';
comment on constraint sys_api_key_permissions on sys_api_key is 'must be 1 to 500 permissions';
comment on constraint sys_api_key_expires_at on sys_api_key is 'must be in the future';
create index sys_api_key_user on sys_api_key (user_id);

create table sys_api_key_digest (
  digest bytea not null,
  key_id uuid not null,
  constraint sys_api_key_digest_pk primary key (digest),
  constraint sys_api_key_digest_length check (octet_length(digest) = 32),
  constraint sys_api_key_digest_key_fk foreign key (key_id) references sys_api_key on delete cascade
);
comment on table sys_api_key_digest is 'SHA-256 of keys, apart from what people see of them; granted to nobody';
create index sys_api_key_digest_key on sys_api_key_digest (key_id);

-- a new key and its last use change no right
create trigger zz_access after update of revoked_at on sys_api_key
  for each statement execute function access_changed();

-- Asked of app.perms too, which is less than the user holds when a key acts for him.
create or replace function sys_holds(p text) returns boolean
language sql stable as $$
  select app_uid() is null or app_has(p) and exists (
    select from sys_user u
    join sys_user_role ur on ur.user_id = u.id
    join sys_role_grant g on g.role_id = ur.role_id
    where u.id = app_uid() and u.state = 'active' and g.permission in ('*', p, split_part(p, '.', 1) || '.*'))
$$;

-- What a key began ends with the key, as what a session began ends with the session.
create or replace function sys_operation_may_go_on(o sys_operation) returns boolean
language sql as $$
  select o.state = 'running' and o.alive_until > clock_timestamp() and sys_holds(o.permission)
    and (exists (select from sys_session s where s.id = o.session_id and s.revoked_at is null)
      or exists (select from sys_api_key k where k.id = o.session_id and k.revoked_at is null))
$$;

create function sys_api_key_create(
  p_name text,
  p_permissions text[],
  p_expires_at timestamptz,
  p_longest interval,
  p_prefix text,
  p_digest bytea,
  p_session uuid)
returns jsonb
language plpgsql security definer set search_path from current as $$
declare
  ends constant timestamptz := coalesce(p_expires_at, now() + p_longest);
  strange text;
  k sys_api_key;
begin
  perform app_require('api_keys.create');
  -- one after the other: who waits here counts the key that was made before
  perform from sys_user where id = app_uid() for no key update;
  -- a password that is reset ends sessions, then keys: what is made by a session of before is ended with it, or not made
  perform from sys_session where id = p_session and revoked_at is null for share;
  if not found then
    perform from sys_api_key where id = p_session and revoked_at is null for share;
    if not found then
      perform app_fail('AP403', 'forbidden', 'You have been signed out.');
    end if;
  end if;
  if not sys_holds('api_keys.create') then
    perform app_fail('AP403', 'forbidden', 'This needs the permission api_keys.create.');
  end if;
  select c.code into strange from unnest(p_permissions) c(code) where not sys_holds(c.code) order by c.code limit 1;
  if strange is not null then
    perform app_fail('AP403', 'not_held', format('You cannot give a key `%s`, which you do not have.', strange));
  end if;
  if ends <= now() or ends > now() + p_longest then
    perform app_fail('AP422', 'invalid_value', format('must be in the future and at most %s days from now', extract(day from p_longest)), 'expires_at');
  end if;
  if (select count(*) from sys_api_key where user_id = app_uid() and revoked_at is null and expires_at > now()) >= 50 then
    perform app_fail('AP409', 'too_many_keys', 'You have 50 keys that count. Revoke one that you no longer need.');
  end if;
  delete from sys_api_key where id in (
    select old.id from sys_api_key old
    where least(old.revoked_at, old.expires_at) < now() - interval '90 days' limit 20 for update skip locked);
  insert into sys_api_key (name, permissions, expires_at, prefix)
    select p_name, array_agg(distinct c.code order by c.code), ends, p_prefix from unnest(p_permissions) c(code)
    returning * into k;
  insert into sys_api_key_digest (digest, key_id) values (p_digest, k.id);
  return to_jsonb(k);
end $$;
comment on function sys_api_key_create(text, text[], timestamptz, interval, text, bytea, uuid) is 'a new key of the caller, who holds all that it may do';
revoke all on function sys_api_key_create(text, text[], timestamptz, interval, text, bytea, uuid) from public;

create function sys_api_key_revoke(p_id uuid) returns jsonb
language plpgsql security definer set search_path from current as $$
declare
  k sys_api_key;
begin
  perform app_require('api_keys.delete');
  select * into k from sys_api_key where id = p_id and (user_id = app_uid() or app_has('users.manage')) for update;
  if k.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if k.user_id <> app_uid() then
    perform sys_outranks(k.user_id);
  end if;
  update sys_api_key set revoked_at = now() where id = k.id and revoked_at is null;
  return to_jsonb(k);
end $$;
comment on function sys_api_key_revoke(uuid) is 'ends a key; one that is over stays over';
revoke all on function sys_api_key_revoke(uuid) from public;

create function sys_api_keys_end(p_user uuid) returns bigint
language sql as $$
  with ended as (update sys_api_key set revoked_at = now() where user_id = p_user and revoked_at is null returning 1)
  select count(*) from ended
$$;
comment on function sys_api_keys_end(uuid) is 'ends all keys of a user, whose account may have been in other hands';

-- Who comes back gets no key back: nobody knows any more where they are.
create function sys_user_ends_keys() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  perform sys_api_keys_end(new.id);
  return null;
end $$;
comment on function sys_user_ends_keys() is 'after a user is disabled: his keys end';
revoke all on function sys_user_ends_keys() from public;
create trigger ends_keys after update of state on sys_user
  for each row when (new.state = 'disabled' and old.state <> 'disabled') execute function sys_user_ends_keys();
