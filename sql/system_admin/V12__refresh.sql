-- Sign-ins that last: a session is a family of refresh tokens (RFC 9700, section 4.14). Each is good for one use, which gives the next;
-- one that comes a second time was stolen, from its owner or from the thief, and ends the whole session.

create table sys_refresh_token (
  token_hash bytea not null,
  session_id uuid not null,
  created_at timestamptz not null default now(),
  used_at timestamptz,
  constraint sys_refresh_token_pk primary key (token_hash),
  constraint sys_refresh_token_hash check (octet_length(token_hash) = 32),
  constraint sys_refresh_token_session_fk foreign key (session_id) references sys_session on delete cascade
);
comment on table sys_refresh_token is 'SHA-256 of the refresh tokens of sessions, used ones too; granted to nobody';
create index sys_refresh_token_session on sys_refresh_token (session_id, used_at);

-- a session that lasts longer changes no right
drop trigger zz_access on sys_session;
create trigger zz_access after update of revoked_at on sys_session
  for each statement execute function access_changed();

create function sys_refresh(p_old bytea, p_new bytea, p_life interval, p_longest interval) returns jsonb
language plpgsql set search_path from current as $$
declare
  session sys_session;
  used timestamptz;
begin
  select s.* into session
    from sys_refresh_token t
    join sys_session s on s.id = t.session_id
    join sys_user u on u.id = s.user_id
    where t.token_hash = p_old and u.state = 'active'
    for update of s;
  if session.id is null or session.revoked_at is not null or session.expires_at <= now() then
    return null;
  end if;
  select t.used_at into used from sys_refresh_token t where t.token_hash = p_old;
  if used is not null then
    update sys_session set revoked_at = now() where id = session.id;
    return null;
  end if;
  update sys_refresh_token set used_at = now() where token_hash = p_old;
  delete from sys_refresh_token where session_id = session.id and used_at < now() - p_life;
  insert into sys_refresh_token (token_hash, session_id) values (p_new, session.id);
  update sys_session set expires_at = least(now() + p_life, created_at + p_longest) where id = session.id;
  return jsonb_build_object('session', session.id, 'user', (
    select jsonb_build_object('id', u.id, 'email', u.email, 'first_name', u.first_name, 'last_name', u.last_name, 'roles', coalesce((
      select jsonb_agg(r.code order by r.code)
      from sys_user_role ur
      join sys_role r on r.id = ur.role_id
      where ur.user_id = u.id), '[]'))
    from sys_user u
    where u.id = session.user_id));
end $$;
comment on function sys_refresh(bytea, bytea, interval, interval)
  is 'takes a refresh token and puts the next in its place; null when it is not good, and a second use ends its session';
revoke all on function sys_refresh(bytea, bytea, interval, interval) from public;

-- action sessions.revoke: one's own, and those of others for who manages users
create function sys_session_revoke(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s sys_session;
begin
  perform app_require('sessions.revoke');
  select * into s from sys_session where id = $1 and (user_id = app_uid() or app_has('users.manage')) for update;
  if s.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if s.user_id <> app_uid() then
    perform sys_outranks(s.user_id);
  end if;
  if s.revoked_at is not null or s.expires_at <= now() then
    perform app_fail('AP409', 'over', 'The session is over already.');
  end if;
  update sys_session set revoked_at = now() where id = $1 returning * into s;
  return to_jsonb(s);
end $$;
comment on function sys_session_revoke(uuid, jsonb) is 'ends a session, and with it all its tokens';
revoke all on function sys_session_revoke(uuid, jsonb) from public;
