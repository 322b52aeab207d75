),
proven as (
  -- waits for a change of the password that is under way, and holds off one that would not see this session
  select i.*
  from input i
  join sys_credential c on c.user_id = i.user_id::uuid and c.password_hash = i.password_hash
  for share of c),
seen as (
  update sys_user u
  set last_login_at = now()
  from proven p
  where u.id = p.user_id::uuid and u.state = 'active'
  returning p.*),
made as (
  insert into sys_session (id, user_id, expires_at, user_agent, address)
  select id::uuid, user_id::uuid, now() + make_interval(secs => life::int), agent, address::inet
  from seen
  returning id),
refreshable as (
  insert into sys_refresh_token (token_hash, session_id)
  select decode(i.refresh, 'base64'), m.id
  from made m
  join input i on i.id::uuid = m.id),
swept as (
  delete from sys_session
  where id in (
    select id
    from sys_session
    where expires_at < now()
    order by expires_at
    limit 100
    for update skip locked))
select count(*), null::text
from made
