with made as (
  insert into public.impersonations (session_id, operator_session_id, tenant_id, expires_at)
  select $1, s.id, t.id, now() + make_interval(secs => $4)
  from public.operator_sessions s
  join public.operators o on o.id = s.operator_id
  join public.tenants t on t.id = $3
  where s.id = $2
    and s.revoked_at is null
    and s.expires_at > now()
    and o.state = 'active'
    and o.role in ('owner', 'support')
    and t.state = 'active'
  returning tenant_id),
swept as (
  delete from public.impersonations
  where session_id in (
    select session_id
    from public.impersonations
    where expires_at < now() - interval '1 day'
    limit 100
    for update skip locked))
insert into public.operations (kind, tenant_id, subject, state, input, actor, finished_at)
select 'tenant.impersonate', t.id, t.subdomain, 'succeeded', $5, $6, now()
from made m
join public.tenants t on t.id = m.tenant_id
