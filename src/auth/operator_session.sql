with proven as (
  update public.operators
  set last_login_at = now()
  where id = $1 and state = 'active' and password_hash = $2
  returning id),
made as (
  insert into public.operator_sessions (id, operator_id, expires_at, user_agent, address)
  select $3, id, now() + make_interval(secs => $4), $5, $6::text::inet
  from proven
  returning id),
swept as (
  delete from public.operator_sessions
  where id in (
    select id
    from public.operator_sessions
    where expires_at < now()
    order by expires_at
    limit 100
    for update skip locked))
insert into public.operator_refresh_tokens (token_hash, session_id)
select decode($7, 'base64'), id
from made
