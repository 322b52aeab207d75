-- What a tenant has and what it may use: subscriptions, overrides, flags, usage, history; the entitlement answer; the news of changes.
-- Columns of money are paise. SQL of billing never reads the clock: every time comes from the caller.

-- ---------- what a tenant has ----------

create table public.tenant_subscriptions (
  id                   uuid not null default insula.uuid_v7(),
  tenant_id            uuid not null,
  plan_code            text,
  module_code          text,
  state                text not null,
  trial_ends_at        timestamptz,
  current_period_start date,
  current_period_end   date,
  anchor_day           smallint,
  pending_plan_code    text,
  cancel_at_period_end boolean not null default false,
  canceled_at          timestamptz,
  access_until         timestamptz,
  created_at           timestamptz not null default now(),
  updated_at           timestamptz not null default now(),
  row_version          integer not null default 1,
  constraint tenant_subscriptions_pk primary key (id),
  constraint tenant_subscriptions_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint tenant_subscriptions_plan_fk foreign key (plan_code) references public.plans (code),
  constraint tenant_subscriptions_module_fk foreign key (module_code) references public.modules (code),
  constraint tenant_subscriptions_pending_plan_fk foreign key (pending_plan_code) references public.plans (code),
  constraint tenant_subscriptions_plan_xor_module check (num_nonnulls(plan_code, module_code) = 1),
  constraint tenant_subscriptions_state_known check (state in ('incomplete', 'incomplete_expired', 'trialing', 'trial_expired',
    'active', 'past_due', 'suspended', 'paused', 'canceled')),
  constraint tenant_subscriptions_trial_end check (state <> 'trialing' or trial_ends_at is not null),
  constraint tenant_subscriptions_period_whole check (num_nonnulls(current_period_start, current_period_end) <> 1),
  constraint tenant_subscriptions_period_order check (current_period_start < current_period_end),
  constraint tenant_subscriptions_anchor_range check (anchor_day between 1 and 31),
  constraint tenant_subscriptions_pending_differs check (pending_plan_code is null
    or (plan_code is not null and pending_plan_code <> plan_code))
);
create unique index tenant_subscriptions_live_plan on public.tenant_subscriptions (tenant_id)
  where plan_code is not null and state not in ('canceled', 'incomplete_expired');
create unique index tenant_subscriptions_live_module on public.tenant_subscriptions (tenant_id, module_code)
  where module_code is not null and state not in ('canceled', 'incomplete_expired');
create index tenant_subscriptions_tenant_idx on public.tenant_subscriptions (tenant_id);
create index tenant_subscriptions_plan_idx on public.tenant_subscriptions (plan_code);
create index tenant_subscriptions_module_idx on public.tenant_subscriptions (module_code);
create index tenant_subscriptions_pending_plan_idx on public.tenant_subscriptions (pending_plan_code) where pending_plan_code is not null;
comment on table public.tenant_subscriptions is
  'A plan or a single module held by a tenant for a time; canceled and incomplete_expired are terminal';
comment on column public.tenant_subscriptions.current_period_end is
  'Exclusive: periods are half-open civil dates of the billing zone (Asia/Kolkata)';
comment on column public.tenant_subscriptions.anchor_day is
  'Day of month the periods begin on; stored, never derived from the last period (31 Jan, 28 Feb, 31 Mar)';
comment on column public.tenant_subscriptions.pending_plan_code is 'Plan that takes over at the period end (downgrade)';
comment on column public.tenant_subscriptions.access_until is
  'Full access ends at this moment whatever the state says, even when the worker is late; null = no such moment';
comment on constraint tenant_subscriptions_plan_xor_module on public.tenant_subscriptions is 'name either a plan or a module, not both';
comment on constraint tenant_subscriptions_state_known on public.tenant_subscriptions is 'is not a subscription state';
comment on constraint tenant_subscriptions_trial_end on public.tenant_subscriptions is 'must be given for a trial';
comment on constraint tenant_subscriptions_period_whole on public.tenant_subscriptions is 'a period has a start and an end';
comment on constraint tenant_subscriptions_period_order on public.tenant_subscriptions is 'the period must end after it starts';
comment on constraint tenant_subscriptions_anchor_range on public.tenant_subscriptions is 'must be between 1 and 31';
comment on constraint tenant_subscriptions_pending_differs on public.tenant_subscriptions is 'must be another plan than the current one';
comment on constraint tenant_subscriptions_plan_fk on public.tenant_subscriptions is 'is not a known plan';
comment on constraint tenant_subscriptions_pending_plan_fk on public.tenant_subscriptions is 'is not a known plan';
comment on constraint tenant_subscriptions_module_fk on public.tenant_subscriptions is 'is not a known module';
comment on constraint tenant_subscriptions_tenant_fk on public.tenant_subscriptions is 'is not a known tenant';
comment on index public.tenant_subscriptions_live_plan is 'the tenant already has a plan';
comment on index public.tenant_subscriptions_live_module is 'the tenant already has this module';

create table public.tenant_module_overrides (
  tenant_id   uuid not null,
  module_code text not null,
  enabled     boolean not null,
  reason      text not null,
  actor       text not null,
  expires_at  timestamptz,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  row_version integer not null default 1,
  constraint tenant_module_overrides_pk primary key (tenant_id, module_code),
  constraint tenant_module_overrides_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint tenant_module_overrides_module_fk foreign key (module_code) references public.modules (code),
  constraint tenant_module_overrides_reason_present check (btrim(reason) <> ''),
  constraint tenant_module_overrides_actor_present check (btrim(actor) <> '')
);
create index tenant_module_overrides_module_idx on public.tenant_module_overrides (module_code);
comment on table public.tenant_module_overrides is 'An operator''s word on one module of one tenant, stronger than any subscription';
comment on column public.tenant_module_overrides.expires_at is 'From this moment the override no longer counts; null = until it is removed';
comment on constraint tenant_module_overrides_pk on public.tenant_module_overrides is 'the tenant already has an override for this module';
comment on constraint tenant_module_overrides_module_fk on public.tenant_module_overrides is 'is not a known module';
comment on constraint tenant_module_overrides_reason_present on public.tenant_module_overrides is 'must not be empty';

create table public.feature_flags (
  key             text not null,
  description     text not null default '',
  enabled         boolean not null default false,
  rollout_percent integer not null default 100,
  owner           text not null,
  lifetime        text not null default 'temporary',
  expires_on      date,
  stale_at        timestamptz,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  row_version     integer not null default 1,
  constraint feature_flags_pk primary key (key),
  constraint feature_flags_key_format check (key ~ '^[a-z][a-z0-9_.-]{0,79}$'),
  constraint feature_flags_rollout_range check (rollout_percent between 0 and 100),
  constraint feature_flags_lifetime_known check (lifetime in ('temporary', 'permanent')),
  constraint feature_flags_expires_temporary check (expires_on is null or lifetime = 'temporary')
);
comment on table public.feature_flags is 'Answers "rolled out?"; "paid?" is answered by tenant_entitlements';
comment on column public.feature_flags.enabled is 'false = off for everybody without an override';
comment on column public.feature_flags.rollout_percent is
  'Share of tenants that see it when enabled, chosen by a stable hash of key and tenant';
comment on column public.feature_flags.expires_on is
  'Day by which a temporary flag should be gone from the code; the flag itself goes on working';
comment on column public.feature_flags.stale_at is 'Set when the flag answers the same to everybody and can be removed';
comment on constraint feature_flags_pk on public.feature_flags is 'is already used by another flag';
comment on constraint feature_flags_key_format on public.feature_flags is
  'must be at most 80 lower-case letters, digits, _, . or -, starting with a letter';
comment on constraint feature_flags_rollout_range on public.feature_flags is 'must be between 0 and 100';
comment on constraint feature_flags_lifetime_known on public.feature_flags is 'must be temporary or permanent';
comment on constraint feature_flags_expires_temporary on public.feature_flags is 'only a temporary flag has an end';

create table public.feature_flag_overrides (
  flag_key    text not null,
  tenant_id   uuid not null,
  enabled     boolean not null,
  reason      text not null,
  actor       text not null,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  row_version integer not null default 1,
  constraint feature_flag_overrides_pk primary key (flag_key, tenant_id),
  constraint feature_flag_overrides_flag_fk foreign key (flag_key) references public.feature_flags (key) on delete cascade,
  constraint feature_flag_overrides_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade
);
create index feature_flag_overrides_tenant_idx on public.feature_flag_overrides (tenant_id);
comment on table public.feature_flag_overrides is 'A flag set by hand for one tenant; stronger than the rollout';

create table public.usage_metrics (
  tenant_id   uuid not null,
  module_code text not null,
  metric      text not null,
  day         date not null,
  value       bigint not null default 0,
  constraint usage_metrics_pk primary key (tenant_id, module_code, metric, day),
  constraint usage_metrics_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint usage_metrics_module_fk foreign key (module_code) references public.modules (code),
  constraint usage_metrics_metric_known check (metric in ('requests', 'rows', 'storage_bytes', 'active_users', 'documents')),
  constraint usage_metrics_value_range check (value >= 0)
);
create index usage_metrics_module_idx on public.usage_metrics (module_code, day);
comment on table public.usage_metrics is 'What a tenant used per module and day; written in batches, so without row versions';
comment on column public.usage_metrics.module_code is
  'system_admin for what belongs to no single module, such as the storage of the whole tenant';
comment on column public.usage_metrics.day is 'Civil date in the billing zone (Asia/Kolkata)';
comment on column public.usage_metrics.value is
  'requests, documents: sum of the day; rows, storage_bytes, active_users: highest level of the day';

create table public.billing_history (
  id           uuid not null default insula.uuid_v7(),
  tenant_id    uuid not null,
  at           timestamptz not null,
  event        text not null,
  amount_paise bigint,
  currency     text not null default 'INR',
  detail       jsonb not null default '{}',
  actor        text not null,
  created_at   timestamptz not null default now(),
  constraint billing_history_pk primary key (id),
  constraint billing_history_tenant_fk foreign key (tenant_id) references public.tenants (id),
  constraint billing_history_event_format check (event ~ '^[a-z][a-z0-9_.]*$'),
  constraint billing_history_currency_format check (currency ~ '^[A-Z]{3}$'),
  constraint billing_history_detail_object check (jsonb_typeof(detail) = 'object'),
  constraint billing_history_actor_present check (btrim(actor) <> '')
);
create index billing_history_tenant_idx on public.billing_history (tenant_id, at);
comment on table public.billing_history is
  'Append-only: what happened to a tenant''s money and subscriptions. Keeps the tenants row from being deleted';
comment on column public.billing_history.at is 'Time by the clock of billing, always given by the caller; created_at is the wall clock';
comment on column public.billing_history.amount_paise is 'Signed, null when no money is involved';
create trigger zz_append_only before update or delete on public.billing_history
  for each row execute function insula.sys_refuse();
create trigger zz_no_truncate before truncate on public.billing_history
  for each statement execute function insula.sys_refuse();

do $$
declare
  t text;
begin
  foreach t in array array['tenant_subscriptions', 'tenant_module_overrides', 'feature_flags', 'feature_flag_overrides'] loop
    execute format('create trigger zz_touch before update on public.%I for each row execute function public.registry_touch()', t);
  end loop;
end $$;

-- ---------- may this tenant use this module now? ----------

-- body in standard SQL: its names are bound here and now, so no search path can redirect it and no column it reads can be dropped
create function public.tenant_entitlements(p_tenant uuid, p_now timestamptz)
returns table (
  module_code text,
  module_name text,
  hidden      boolean,
  enabled     boolean,
  source      text,
  expires_at  timestamptz
)
language sql stable
begin atomic
  with paid as (
    select s.plan_code,
           s.module_code,
           least(case when s.state = 'trialing' then s.trial_ends_at end, s.access_until) as ends_at
      from public.tenant_subscriptions s
     where s.tenant_id = p_tenant
       and s.state in ('trialing', 'active', 'past_due')
  ), granted as (
    select p.module_code, 'subscription' as source, 1 as rank, p.ends_at
      from paid p
     where p.module_code is not null
       and (p.ends_at is null or p.ends_at > p_now)
    union all
    select pm.module_code, 'plan', 2, p.ends_at
      from paid p
      join public.plan_modules pm on pm.plan_code = p.plan_code
     where p.ends_at is null or p.ends_at > p_now
  ), best as (
    select distinct on (g.module_code) g.module_code, g.source, g.ends_at
      from granted g
     order by g.module_code, g.rank
  )
  select m.code,
         m.name,
         m.hidden,
         case when m.kill_switch then false else coalesce(o.enabled, b.module_code is not null) end,
         case when m.kill_switch then 'kill_switch'
              when o.module_code is not null then 'override'
              else coalesce(b.source, 'none') end,
         case when m.kill_switch then null
              when o.module_code is not null then o.expires_at
              else b.ends_at end
    from public.modules m
    left join public.tenant_module_overrides o
      on o.tenant_id = p_tenant
     and o.module_code = m.code
     and (o.expires_at is null or o.expires_at > p_now)
    left join best b on b.module_code = m.code;
end;
comment on function public.tenant_entitlements(uuid, timestamptz) is
  'Every module with the answer "may this tenant use it at p_now?". Kill switch > override > subscribed module > plan > none. '
  'expires_at: until when the answer holds if nothing is written; null = without end. Reads rows and p_now only, never the clock';

-- ---------- guard ----------

create function public.tenants_refuse_reserved() returns trigger
language plpgsql as $$
begin
  if exists (select from public.reserved_subdomains r where r.subdomain = new.subdomain and r.reason = 'reserved') then
    perform insula.app_fail('AP409', 'subdomain_reserved', 'This subdomain is reserved.');
  end if;
  return new;
end $$;
comment on function public.tenants_refuse_reserved() is
  'Keeps platform names from tenants even in psql. A quarantine depends on the clock and is judged by the service';
create trigger refuse_reserved before insert or update of subdomain on public.tenants
  for each row execute function public.tenants_refuse_reserved();

-- ---------- news: NOTIFY insula, '<topic>:<key>' ----------
-- Sent by triggers, so that a write by hand in psql counts too. PostgreSQL folds equal messages of one transaction into one.

create function public.news_tenant() returns trigger
language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform pg_notify('insula', 'tenant:' || old.id);
  end if;
  -- the state counts as well: a name means nothing before provisioning is done and after the deletion
  if tg_op = 'UPDATE' and (new.subdomain, new.state) = (old.subdomain, old.state) then
    return null;
  end if;
  if tg_op <> 'INSERT' then
    perform pg_notify('insula', 'name:' || old.subdomain);
  end if;
  if tg_op <> 'DELETE' then
    perform pg_notify('insula', 'name:' || new.subdomain);
  end if;
  return null;
end $$;
comment on function public.news_tenant() is 'name:<old and new subdomain> and tenant:<id>';

create function public.news_domain() returns trigger
language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform pg_notify('insula', 'name:' || old.domain);
  end if;
  if tg_op <> 'DELETE' then
    perform pg_notify('insula', 'name:' || new.domain);
  end if;
  return null;
end $$;
comment on function public.news_domain() is 'name:<old and new domain>';

create function public.news_tenant_modules() returns trigger
language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform pg_notify('insula', 'modules:' || old.tenant_id);
  end if;
  if tg_op <> 'DELETE' then
    perform pg_notify('insula', 'modules:' || new.tenant_id);
  end if;
  return null;
end $$;
comment on function public.news_tenant_modules() is 'modules:<tenant id>';

create function public.news_all_modules() returns trigger
language plpgsql as $$
begin
  perform pg_notify('insula', 'modules:*');
  return null;
end $$;
comment on function public.news_all_modules() is 'modules:*, once per statement';

create trigger zz_news after insert or update or delete on public.tenants
  for each row execute function public.news_tenant();
create trigger zz_news after insert or update or delete on public.tenant_domains
  for each row execute function public.news_domain();
create trigger zz_news after insert or update or delete on public.tenant_subscriptions
  for each row execute function public.news_tenant_modules();
create trigger zz_news after insert or update or delete on public.tenant_module_overrides
  for each row execute function public.news_tenant_modules();

do $$
declare
  t text;
begin
  foreach t in array array['modules', 'plans', 'plan_modules'] loop
    execute format('create trigger zz_news after insert or update or delete or truncate on public.%I '
      'for each statement execute function public.news_all_modules()', t);
  end loop;
  foreach t in array array['tenant_subscriptions', 'tenant_module_overrides'] loop
    execute format('create trigger zz_news_truncate after truncate on public.%I '
      'for each statement execute function public.news_all_modules()', t);
  end loop;
end $$;

-- ---------- nothing for PUBLIC ----------

revoke all on schema public from public;
revoke all on all tables in schema public from public;
revoke all on all routines in schema public from public;
-- in whatever schema this role creates functions from now on: later helpers of schema insula must be granted by name
alter default privileges revoke execute on routines from public;

-- a REVOKE that cannot be done is only a warning: make it an error
do $$
begin
  execute format('revoke all on database %I from public', current_database());
  if has_schema_privilege('public', 'public', 'usage') or has_schema_privilege('public', 'public', 'create')
    or has_database_privilege('public', current_database(), 'connect')
    or has_database_privilege('public', current_database(), 'temporary') then
    raise exception 'PUBLIC still has rights on schema public or on the database: the control role must own both';
  end if;
end $$;
