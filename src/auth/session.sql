),
proven as materialized (
  -- waits for a change of the password that is under way, and holds off one that would not see this session
  select i.*
  from input i
  where sys_prove(i.user_id::uuid, i.password_hash, i.step::bigint, i.recovery::bytea)),
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
forgiven as (
  delete from sys_attempt
  where key = (select attempt::bytea from seen)),
kept as (
  insert into sys_device as d (token_hash, user_id)
  select device::bytea, user_id::uuid
  from seen
  where device is not null
  on conflict (token_hash) do update
    set last_used_at = now()
    where d.user_id = excluded.user_id),
-- of each user the last 20
forgotten as (
  delete from sys_device d
  using seen s
  where d.user_id = s.user_id::uuid
    and d.token_hash <> s.device::bytea
    and (d.last_used_at < now() - interval '90 days' or d.token_hash in (
      select o.token_hash
      from sys_device o
      where o.user_id = s.user_id::uuid and o.token_hash <> s.device::bytea
      order by o.last_used_at desc
      offset 19))),
swept as (
  delete from sys_session
  where id in (
    select id
    from sys_session
    where expires_at < now()
    order by expires_at
    limit 100
    for update skip locked))
select count(*), (
  select coalesce(json_agg(r.code order by r.code), '[]')::text
  from seen s
  join sys_user_role ur on ur.user_id = s.user_id::uuid
  join sys_role r on r.id = ur.role_id)
from made
