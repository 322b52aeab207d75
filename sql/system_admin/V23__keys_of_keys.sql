-- A key that makes keys: they end with it, so that whoever ends a key that was lost ends what came of it.

alter table sys_api_key_digest
  add column made_by uuid,
  add constraint sys_api_key_digest_made_by_fk foreign key (made_by) references sys_api_key on delete set null;
comment on column sys_api_key_digest.made_by is 'the key by which this one was made; null when its user was signed in';
create index sys_api_key_digest_made_by on sys_api_key_digest (made_by);

create function sys_api_key_ends_others() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  update sys_api_key set revoked_at = now()
    where revoked_at is null and id in (select d.key_id from sys_api_key_digest d where d.made_by = new.id);
  return null;
end $$;
comment on function sys_api_key_ends_others() is 'after a key is ended: those that were made by it end too';
revoke all on function sys_api_key_ends_others() from public;
create trigger ends_others after update of revoked_at on sys_api_key
  for each row when (old.revoked_at is null and new.revoked_at is not null) execute function sys_api_key_ends_others();

create or replace function sys_api_key_create(
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
  latest timestamptz := now() + p_longest;
  ends timestamptz;
  maker sys_api_key;
  strange text;
  k sys_api_key;
begin
  perform app_require('api_keys.create');
  -- one after the other: who waits here counts the key that was made before
  perform from sys_user where id = app_uid() for no key update;
  -- a password that is reset ends sessions, then keys: what is made by a session of before is ended with it, or not made
  perform from sys_session where id = p_session and revoked_at is null for share;
  if not found then
    select * into maker from sys_api_key where id = p_session and revoked_at is null for share;
    if maker.id is null then
      perform app_fail('AP403', 'forbidden', 'You have been signed out.');
    end if;
    latest := least(latest, maker.expires_at);
  end if;
  if not sys_holds('api_keys.create') then
    perform app_fail('AP403', 'forbidden', 'This needs the permission api_keys.create.');
  end if;
  select c.code into strange from unnest(p_permissions) c(code) where not sys_holds(c.code) order by c.code limit 1;
  if strange is not null then
    perform app_fail('AP403', 'not_held', format('You cannot give a key `%s`, which you do not have.', strange));
  end if;
  ends := coalesce(p_expires_at, latest);
  if ends > maker.expires_at then
    perform app_fail('AP422', 'invalid_value', 'A key cannot outlive the key that makes it: choose an earlier `expires_at`.');
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
  insert into sys_api_key_digest (digest, key_id, made_by) values (p_digest, k.id, maker.id);
  return to_jsonb(k);
end $$;
comment on function sys_api_key_create(text, text[], timestamptz, interval, text, bytea, uuid) is 'a new key of the caller, who holds all that it may do';
revoke all on function sys_api_key_create(text, text[], timestamptz, interval, text, bytea, uuid) from public;
