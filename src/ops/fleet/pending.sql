-- What is behind its newest version: $1 packs, $2 their versions, in order; $3 a subdomain, or null for all; $4 now; $5 a pack that $6
-- needs, itself among them. Who could have bought a pack that he lacks is found first, and only of him the entitlements are asked.
with newest as (
  select n.* from unnest($1::text[], $2::int[]) with ordinality n(pack, version, position)),
meant as (
  select t.* from public.tenants t where t.state in ('active', 'suspended') and ($3::text is null or t.subdomain = $3)),
bought as (
  select s.tenant_id, s.module_code from public.tenant_subscriptions s where s.module_code is not null
  union
  select s.tenant_id, m.module_code from public.tenant_subscriptions s join public.plan_modules m on m.plan_code = s.plan_code
  union
  select o.tenant_id, o.module_code from public.tenant_module_overrides o where o.enabled),
lacking as (
  select distinct b.tenant_id, r.pack
  from bought b
  join unnest($5::text[], $6::text[]) r(pack, module) on r.module = b.module_code
  where not exists (select from public.tenant_packs p where p.tenant_id = b.tenant_id and p.pack = r.pack)
    and exists (select from public.tenant_entitlements(b.tenant_id, $4) e where e.module_code = b.module_code and e.enabled)),
behind as (
  select p.tenant_id, p.pack, p.version from public.tenant_packs p
  union all
  select l.tenant_id, l.pack, 0 from lacking l)
select t.id, t.schema_name, t.role_name, t.bucket_id, o.owner_role, t.timezone, t.subdomain,
  n.pack, b.version, n.version, coalesce(m.state = 'quarantined' and m.to_version = n.version, false)
from behind b
join newest n on n.pack = b.pack and b.version < n.version
join meant t on t.id = b.tenant_id
join public.buckets o on o.id = t.bucket_id
left join public.tenant_migrations m on m.tenant_id = t.id and m.pack = n.pack
order by t.subdomain, n.position
