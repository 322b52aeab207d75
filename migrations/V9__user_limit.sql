-- How many users a tenant's plan allows, for the answer that the service caches.

create function public.tenant_user_limit(p_tenant uuid) returns bigint
language sql stable
begin atomic
  select (p.limits ->> 'users')::bigint
    from public.tenant_subscriptions s
    join public.plans p on p.code = s.plan_code
    where s.tenant_id = p_tenant and s.state not in ('canceled', 'incomplete_expired');
end;
comment on function public.tenant_user_limit(uuid) is 'Users that the plan of a tenant allows; null = as many as it likes';
revoke all on function public.tenant_user_limit(uuid) from public;
