-- Users are invited by those who manage users, with roles that these hold themselves, and let themselves in by the link of a letter.

-- A user is sent three invitations an hour, and all of them together 500 a day: nobody makes a mailer of us.
create function sys_invite(p_user uuid) returns void
language plpgsql as $$
begin
  if current_setting('app.mail', true) = 'off' then
    perform app_fail('AP409', 'mail_not_configured', 'This service is not set up to send mail.');
  end if;
  if (select count(*) from sys_mail where user_id = p_user and kind = 'invitation' and created_at > now() - interval '1 hour') >= 3
    or (select count(*) from sys_mail where kind = 'invitation' and created_at > now() - interval '1 day') >= 500 then
    perform app_fail('AP409', 'invited_often', 'Too many invitations were sent just now. Please try again later.');
  end if;
  perform sys_mail_drop(p_user, array['invitation']);
  insert into sys_mail (kind, user_id) values ('invitation', p_user);
end $$;
comment on function sys_invite(uuid) is 'internal: an invitation by mail; the link of the one before no longer counts';
revoke all on function sys_invite(uuid) from public;

-- resource users, a new row
create function sys_user_create(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  u sys_user;
  codes text[];
  strange text;
begin
  perform sys_change_rights('users.manage');
  if coalesce(jsonb_typeof(input -> 'roles'), 'null') not in ('array', 'null')
    or jsonb_path_exists(input, '$.roles[*] ? (@.type() != "string" && @.type() != "null")') then
    perform app_fail('AP422', 'invalid_type', 'must be a list of codes of roles', 'roles');
  end if;
  codes := array(select jsonb_array_elements_text(case jsonb_typeof(input -> 'roles') when 'array' then input -> 'roles' else '[]' end));
  select coalesce(c.code, 'null') into strange
    from unnest(codes) c(code) where not exists (select from sys_role r where r.code = c.code) limit 1;
  if strange is not null then
    perform app_fail('AP422', 'unknown_reference', format('names no role: `%s`', strange), 'roles');
  end if;
  select r.code into strange from sys_role r where r.code = any (codes) and not sys_holds_role(r.id) order by r.code limit 1;
  if strange is not null then
    perform app_fail('AP403', 'not_held', format('You cannot give or take the role `%s`, which may do more than you.', strange));
  end if;
  insert into sys_user (id, email, first_name, last_name, state)
    values ($1, lower(btrim(input ->> 'email')), input ->> 'first_name', input ->> 'last_name', 'invited')
    returning * into u;
  insert into sys_user_role (user_id, role_id) select u.id, r.id from sys_role r where r.code = any (codes);
  perform sys_invite(u.id);
  return to_jsonb(u);
end $$;
comment on function sys_user_create(uuid, jsonb) is 'invites a new user by mail';
revoke all on function sys_user_create(uuid, jsonb) from public;

-- action users.invite: the letter once more
create function sys_user_invite(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  u sys_user;
begin
  perform sys_change_rights('users.manage');
  select * into u from sys_user where id = $1 for update;
  if u.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform sys_outranks(u.id);
  if u.state <> 'invited' then
    perform app_fail('AP409', 'not_invited', 'Only who was invited and has not come yet can be invited again.');
  end if;
  perform sys_invite(u.id);
  return to_jsonb(u);
end $$;
comment on function sys_user_invite(uuid, jsonb) is 'sends an invitation once more; the link of the one before no longer counts';
revoke all on function sys_user_invite(uuid, jsonb) from public;

-- action users.reactivate: who never had a password is invited again
create or replace function sys_user_reactivate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  u sys_user;
  known boolean;
begin
  perform sys_change_rights('users.manage');
  select * into u from sys_user where id = $1 for update;
  if u.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if u.state <> 'disabled' then
    perform app_fail('AP409', 'active', 'The user is already active.');
  end if;
  perform sys_outranks(u.id);
  known := exists (select from sys_credential c where c.user_id = u.id);
  update sys_user set state = case when known then 'active' else 'invited' end where id = u.id returning * into u;
  if not known then
    perform sys_invite(u.id);
  end if;
  return to_jsonb(u);
end $$;
comment on function sys_user_reactivate(uuid, jsonb) is 'lets a user in again, with the roles that he had; who never was in is invited again';
revoke all on function sys_user_reactivate(uuid, jsonb) from public;

-- The user is locked before the link, as in all that voids links: of many who come with one token the first has it, and who comes with
-- one that is void by then has nothing.
create function sys_link_use(p_token bytea, p_kind text, p_state text) returns uuid
language plpgsql as $$
declare
  who uuid;
begin
  select u.id into who from sys_user u
    where u.id = (select l.user_id from sys_link l where l.token_hash = p_token and l.kind = p_kind) and u.state = p_state
    for no key update;
  if who is null then
    return null;
  end if;
  delete from sys_link where token_hash = p_token and kind = p_kind and expires_at > clock_timestamp() returning user_id into who;
  return who;
end $$;
comment on function sys_link_use(bytea, text, text) is 'internal: whose link it is, which is used up; null when it is no good';
revoke all on function sys_link_use(bytea, text, text) from public;

create function sys_accept(p_token bytea, p_password_hash text, p_first_name text, p_last_name text) returns uuid
language plpgsql as $$
declare
  who constant uuid := sys_link_use(p_token, 'invitation', 'invited');
begin
  update sys_user
    set state = 'active', first_name = coalesce(p_first_name, first_name), last_name = coalesce(p_last_name, last_name)
    where id = who;
  insert into sys_credential (user_id, password_hash) select who, p_password_hash where who is not null
    on conflict (user_id) do update set password_hash = excluded.password_hash, changed_at = now();
  return who;
end $$;
comment on function sys_accept(bytea, text, text, text) is 'internal: who was invited comes in, with a password of his own';
revoke all on function sys_accept(bytea, text, text, text) from public;

create function sys_reset(p_token bytea, p_password_hash text) returns uuid
language plpgsql as $$
declare
  who uuid;
begin
  -- before the user, as who signs in does
  perform from sys_credential where user_id = (select l.user_id from sys_link l where l.token_hash = p_token) for update;
  who := sys_link_use(p_token, 'reset', 'active');
  insert into sys_credential (user_id, password_hash) select who, p_password_hash where who is not null
    on conflict (user_id) do update set password_hash = excluded.password_hash, changed_at = now();
  update sys_session set revoked_at = now() where user_id = who and revoked_at is null;
  perform sys_api_keys_end(who);
  return who;
end $$;
comment on function sys_reset(bytea, text) is 'internal: another password in place of one that was forgotten; all sessions and API keys end';
revoke all on function sys_reset(bytea, text) from public;
