-- The registry: what the platform knows about its customers. Schema public, readable only by the control role.
-- A comment on a constraint or a unique index is the sentence the API caller gets when it refuses.

-- ---------- where tenants live ----------

create table public.clusters (
  id          smallint not null,
  name        text not null,
  url_sealed  bytea,
  state       text not null default 'active',
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  row_version integer not null default 1,
  constraint clusters_pk primary key (id),
  constraint clusters_id_range check (id >= 1),
  constraint clusters_name_unique unique (name),
  constraint clusters_name_format check (name ~ '^[a-z][a-z0-9_-]{0,39}$'),
  constraint clusters_state_known check (state in ('active', 'draining', 'offline'))
);
create unique index clusters_one_control on public.clusters ((url_sealed is null)) where url_sealed is null;
comment on table public.clusters is 'PostgreSQL servers that hold tenants; the first one also holds this schema';
comment on column public.clusters.url_sealed is 'Encrypted connection URL; null = the control database itself';
comment on column public.clusters.state is 'draining: takes no new tenants; offline: not connected to';
comment on constraint clusters_name_unique on public.clusters is 'is already used by another cluster';
comment on constraint clusters_name_format on public.clusters is 'must be lower-case letters, digits, _ or -, starting with a letter';
comment on constraint clusters_state_known on public.clusters is 'must be active, draining or offline';
comment on index public.clusters_one_control is 'only one cluster can be the control database';

create table public.buckets (
  id              integer not null,
  cluster_id      smallint not null,
  login_role      text not null,
  owner_role      text not null,
  password_sealed bytea not null,
  tenant_count    integer not null default 0,
  max_tenants     integer not null default 500,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  row_version     integer not null default 1,
  constraint buckets_pk primary key (id),
  constraint buckets_id_range check (id >= 1),
  constraint buckets_cluster_fk foreign key (cluster_id) references public.clusters (id),
  constraint buckets_login_role_unique unique (login_role),
  constraint buckets_owner_role_unique unique (owner_role),
  constraint buckets_role_format check (login_role ~ '^[a-z][a-z0-9_]{0,62}$' and owner_role ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint buckets_roles_differ check (login_role <> owner_role),
  constraint buckets_max_tenants_range check (max_tenants between 1 and 500),
  constraint buckets_tenant_count_range check (tenant_count between 0 and max_tenants)
);
create index buckets_cluster_idx on public.buckets (cluster_id);
comment on table public.buckets is 'Up to 500 tenants of one cluster that share a login role, a pool and an owner role';
comment on column public.buckets.id is
  'Chosen by the service before the insert: it is part of the role names and of the associated data of password_sealed';
comment on column public.buckets.password_sealed is 'Encrypted password of login_role; associated data = cluster and bucket id';
comment on column public.buckets.tenant_count is
  'Places taken, kept by the service with one conditional update in the transaction of the tenants row';
comment on constraint buckets_tenant_count_range on public.buckets is 'the bucket is full';
comment on constraint buckets_max_tenants_range on public.buckets is 'must be between 1 and 500';

-- ---------- tenants and their names ----------

create table public.tenants (
  id               uuid not null default insula.uuid_v7(),
  subdomain        text not null,
  name             text not null,
  state            text not null default 'provisioning',
  suspended_reason text,
  schema_name      text not null,
  role_name        text not null,
  bucket_id        integer not null,
  timezone         text not null default 'Asia/Kolkata',
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  row_version      integer not null default 1,
  constraint tenants_pk primary key (id),
  constraint tenants_bucket_fk foreign key (bucket_id) references public.buckets (id),
  constraint tenants_subdomain_format check (subdomain ~ '^[a-z][a-z0-9-]{1,38}[a-z0-9]$'),
  constraint tenants_name_length check (length(btrim(name)) between 1 and 200),
  constraint tenants_state_known check (state in ('provisioning', 'active', 'suspended', 'deleting', 'deleted')),
  constraint tenants_suspended_reason_state check (state <> 'active' or suspended_reason is null),
  -- checks run in the order of their names: a bad subdomain is reported before the names made from it
  constraint tenants_technical_names_format check (schema_name ~ '^tenant_[a-z][a-z0-9_]{1,55}$'
    and role_name ~ '^[a-z][a-z0-9_]*_t_[a-z][a-z0-9_]*$'
    and octet_length(role_name) <= 63),
  -- abbreviations are refused ('IST' is Israel to PostgreSQL); an unknown zone raises 22023
  constraint tenants_timezone_known check ((timezone = 'UTC' or timezone ~ '^[A-Za-z_]+/[A-Za-z0-9_+/-]+$')
    and (timestamptz '2000-01-01 00:00:00+00' at time zone timezone) is not null)
);
-- deleted rows stay as tombstones and must not hold their names for ever
create unique index tenants_subdomain_unique on public.tenants (subdomain) where state <> 'deleted';
create unique index tenants_schema_name_unique on public.tenants (schema_name) where state <> 'deleted';
create unique index tenants_role_name_unique on public.tenants (role_name) where state <> 'deleted';
-- serves look-ups that do not repeat the predicate above, and finds tombstones
create index tenants_subdomain_idx on public.tenants (subdomain);
create index tenants_bucket_idx on public.tenants (bucket_id);
comment on table public.tenants is 'Customer organisations: one row, one schema, one role each; a deleted tenant keeps its row';
comment on column public.tenants.state is 'Only active tenants are served; a tenant is not routable before provisioning has succeeded';
comment on column public.tenants.schema_name is 'Fixed at creation: renaming the subdomain does not rename the schema';
comment on column public.tenants.timezone is 'IANA name; decides what "today" is for the tenant';
comment on constraint tenants_subdomain_format on public.tenants is
  'must be 3 to 40 lower-case letters, digits or hyphens, starting with a letter and not ending with a hyphen';
comment on constraint tenants_name_length on public.tenants is 'must have 1 to 200 characters';
comment on constraint tenants_state_known on public.tenants is 'must be provisioning, active, suspended, deleting or deleted';
comment on constraint tenants_suspended_reason_state on public.tenants is 'must be empty while the tenant is active';
comment on constraint tenants_timezone_known on public.tenants is 'must be an IANA time zone such as Asia/Kolkata';
comment on index public.tenants_subdomain_unique is 'is already used by another tenant';
comment on index public.tenants_schema_name_unique is 'is already used by another tenant';
comment on index public.tenants_role_name_unique is 'is already used by another tenant';

create table public.reserved_subdomains (
  subdomain  text not null,
  reason     text not null default 'reserved',
  until      timestamptz,
  tenant_id  uuid,
  created_at timestamptz not null default now(),
  constraint reserved_subdomains_pk primary key (subdomain),
  constraint reserved_subdomains_format check (subdomain ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  constraint reserved_subdomains_reason_known check (reason in ('reserved', 'quarantine')),
  constraint reserved_subdomains_until_quarantine check (until is null or reason = 'quarantine')
);
create index reserved_subdomains_tenant_idx on public.reserved_subdomains (tenant_id) where tenant_id is not null;
comment on table public.reserved_subdomains is 'Names no new tenant may take: reserved for the platform, or given up less than 90 days ago';
comment on column public.reserved_subdomains.until is
  'End of the quarantine; null = for ever (or until the operation that holds the name is decided)';
comment on column public.reserved_subdomains.tenant_id is
  'Tenant that holds or gave up the name; no foreign key: the reservation comes before the tenants row';
comment on constraint reserved_subdomains_pk on public.reserved_subdomains is 'is already reserved';
comment on constraint reserved_subdomains_format on public.reserved_subdomains is 'must be a lower-case host label';
comment on constraint reserved_subdomains_reason_known on public.reserved_subdomains is 'must be reserved or quarantine';
comment on constraint reserved_subdomains_until_quarantine on public.reserved_subdomains is 'only a quarantine can end';

create table public.tenant_domains (
  domain      text not null,
  tenant_id   uuid not null,
  verified_at timestamptz,
  is_primary  boolean not null default false,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  row_version integer not null default 1,
  constraint tenant_domains_pk primary key (domain),
  constraint tenant_domains_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint tenant_domains_domain_format check (octet_length(domain) <= 253
    and domain ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$'),
  constraint tenant_domains_primary_verified check (not is_primary or verified_at is not null)
);
create index tenant_domains_tenant_idx on public.tenant_domains (tenant_id);
create unique index tenant_domains_one_primary on public.tenant_domains (tenant_id) where is_primary;
comment on table public.tenant_domains is 'Custom host names of tenants; only verified ones route';
comment on column public.tenant_domains.domain is 'Lower-case host (IDN as punycode), no port, no trailing dot';
comment on column public.tenant_domains.is_primary is 'Links are built with this host instead of the subdomain';
comment on constraint tenant_domains_pk on public.tenant_domains is 'is already used by another tenant';
comment on constraint tenant_domains_domain_format on public.tenant_domains is 'must be a lower-case host name such as crm.example.com';
comment on constraint tenant_domains_primary_verified on public.tenant_domains is 'must be verified before it becomes the primary domain';
comment on index public.tenant_domains_one_primary is 'another domain is already the primary one';

create table public.tenant_packs (
  tenant_id    uuid not null,
  pack         text not null,
  version      integer not null,
  installed_at timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  row_version  integer not null default 1,
  constraint tenant_packs_pk primary key (tenant_id, pack),
  constraint tenant_packs_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint tenant_packs_pack_format check (pack ~ '^[a-z][a-z0-9_]{1,39}$'),
  constraint tenant_packs_version_range check (version >= 1)
);
create index tenant_packs_version_idx on public.tenant_packs (pack, version);
comment on table public.tenant_packs is 'Version of every pack installed in a tenant schema; "is anything to migrate?" is one query here';
comment on column public.tenant_packs.pack is 'Code of the pack; no foreign key: what is installed need not be in the catalogue any more';

-- ---------- catalogue ----------

create table public.modules (
  code        text not null,
  name        text not null,
  description text not null default '',
  price_paise bigint,
  currency    text not null default 'INR',
  hidden      boolean not null default false,
  kill_switch boolean not null default false,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  row_version integer not null default 1,
  constraint modules_pk primary key (code),
  constraint modules_code_format check (code ~ '^[a-z][a-z0-9_]{1,39}$'),
  constraint modules_name_present check (btrim(name) <> ''),
  constraint modules_price_range check (price_paise >= 0),
  constraint modules_hidden_unsold check (not hidden or price_paise is null),
  constraint modules_currency_format check (currency ~ '^[A-Z]{3}$')
);
comment on table public.modules is 'What is sold: one row per pack';
comment on column public.modules.price_paise is 'Price per month without GST; null = not sold alone';
comment on column public.modules.hidden is 'Comes along as a dependency of other packs, is never offered or shown';
comment on column public.modules.kill_switch is 'Off for every tenant at once, whatever they pay for';
comment on constraint modules_pk on public.modules is 'is already used by another module';
comment on constraint modules_code_format on public.modules is 'must be 2 to 40 lower-case letters, digits or _, starting with a letter';
comment on constraint modules_name_present on public.modules is 'must not be empty';
comment on constraint modules_price_range on public.modules is 'must not be negative';
comment on constraint modules_hidden_unsold on public.modules is 'a hidden module has no price';
comment on constraint modules_currency_format on public.modules is 'must be an ISO 4217 code';

create table public.plans (
  code        text not null,
  name        text not null,
  kind        text not null default 'plan',
  price_paise bigint,
  currency    text not null default 'INR',
  limits      jsonb not null default '{}',
  active      boolean not null default true,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  row_version integer not null default 1,
  constraint plans_pk primary key (code),
  constraint plans_code_format check (code ~ '^[a-z][a-z0-9_]{1,39}$'),
  constraint plans_name_present check (btrim(name) <> ''),
  constraint plans_kind_known check (kind in ('plan', 'edition')),
  constraint plans_price_range check (price_paise >= 0),
  constraint plans_currency_format check (currency ~ '^[A-Z]{3}$'),
  constraint plans_limits_shape check (jsonb_typeof(limits) = 'object'
    and limits - array['users', 'locations', 'storage_bytes', 'api_requests'] = '{}'
    and not jsonb_path_exists(limits, 'strict $.* ? (@.type() != "null" && (@.type() != "number" || @ < 0 || @.floor() != @))'))
);
comment on table public.plans is 'Bundles of modules and limits: the general plans, and editions for one kind of business';
comment on column public.plans.price_paise is 'Price per month without GST; null = agreed per customer';
comment on column public.plans.limits is 'users, locations, storage_bytes, api_requests (per billing period); a missing or null limit = none';
comment on column public.plans.active is 'Can be subscribed anew; a running subscription keeps a plan that is no longer sold';
comment on constraint plans_pk on public.plans is 'is already used by another plan';
comment on constraint plans_code_format on public.plans is 'must be 2 to 40 lower-case letters, digits or _, starting with a letter';
comment on constraint plans_name_present on public.plans is 'must not be empty';
comment on constraint plans_kind_known on public.plans is 'must be plan or edition';
comment on constraint plans_price_range on public.plans is 'must not be negative';
comment on constraint plans_currency_format on public.plans is 'must be an ISO 4217 code';
comment on constraint plans_limits_shape on public.plans is
  'may only hold users, locations, storage_bytes and api_requests, each a whole number or null';

create table public.plan_modules (
  plan_code   text not null,
  module_code text not null,
  constraint plan_modules_pk primary key (plan_code, module_code),
  constraint plan_modules_plan_fk foreign key (plan_code) references public.plans (code) on delete cascade,
  constraint plan_modules_module_fk foreign key (module_code) references public.modules (code)
);
create index plan_modules_module_idx on public.plan_modules (module_code);
comment on table public.plan_modules is 'Modules of a plan; hidden dependencies are not listed, they come along by the pack manifests';
comment on constraint plan_modules_module_fk on public.plan_modules is 'is not a known module';
comment on constraint plan_modules_plan_fk on public.plan_modules is 'is not a known plan';

create table public.module_dependencies (
  module_code   text not null,
  requires_code text not null,
  constraint module_dependencies_pk primary key (module_code, requires_code),
  constraint module_dependencies_module_fk foreign key (module_code) references public.modules (code) on delete cascade,
  constraint module_dependencies_requires_fk foreign key (requires_code) references public.modules (code),
  constraint module_dependencies_not_itself check (module_code <> requires_code)
);
create index module_dependencies_requires_idx on public.module_dependencies (requires_code);
comment on table public.module_dependencies is
  'What a module needs to be of use, for selling it; what its pack needs to be installed stands in the pack''s manifest';

-- ---------- the platform's own ----------

create table public.operators (
  id            uuid not null default insula.uuid_v7(),
  email         text not null,
  name          text not null,
  role          text not null,
  password_hash text not null,
  state         text not null default 'active',
  last_login_at timestamptz,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),
  row_version   integer not null default 1,
  constraint operators_pk primary key (id),
  constraint operators_email_format check (length(email) <= 254 and email ~ '^[^@\s]+@[^@\s]+\.[^@\s.]+$'),
  constraint operators_name_length check (length(btrim(name)) between 1 and 200),
  constraint operators_role_known check (role in ('owner', 'support', 'billing', 'read_only')),
  constraint operators_password_hashed check (password_hash like '$argon2id$%'),
  constraint operators_state_known check (state in ('active', 'disabled'))
);
create unique index operators_email_unique on public.operators (lower(email));
comment on table public.operators is 'Staff of the platform; never users of a tenant';
comment on column public.operators.password_hash is 'Argon2id in PHC format; the check refuses a password stored as it is';
comment on constraint operators_email_format on public.operators is 'must be a valid e-mail address';
comment on constraint operators_name_length on public.operators is 'must have 1 to 200 characters';
comment on constraint operators_role_known on public.operators is 'must be owner, support, billing or read_only';
comment on constraint operators_state_known on public.operators is 'must be active or disabled';
comment on index public.operators_email_unique is 'is already used by another operator';

create table public.operations (
  id          uuid not null default insula.uuid_v7(),
  kind        text not null,
  tenant_id   uuid,
  subject     text not null,
  state       text not null default 'pending',
  step        text,
  input       jsonb not null default '{}',
  error       text,
  actor       text not null,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  finished_at timestamptz,
  row_version integer not null default 1,
  constraint operations_pk primary key (id),
  constraint operations_kind_format check (kind ~ '^[a-z][a-z0-9_.]*$'),
  constraint operations_state_known check (state in ('pending', 'running', 'succeeded', 'failed', 'undone')),
  constraint operations_finished_state check ((finished_at is not null) = (state in ('succeeded', 'failed', 'undone')))
);
create index operations_tenant_idx on public.operations (tenant_id, created_at);
create index operations_unfinished_idx on public.operations (created_at) where finished_at is null;
comment on table public.operations is 'Journal of whole-tenant work: written before the first step, so a restart can finish or undo it';
comment on column public.operations.tenant_id is
  'No foreign key: the journal is written before the tenants row exists and outlives it; null = concerns no single tenant';
comment on column public.operations.subject is 'What it is about, for people: usually the subdomain';
comment on column public.operations.step is 'Last step that was begun; every step can be run twice';
comment on column public.operations.finished_at is 'Set exactly in the states succeeded, failed and undone; a resumed operation clears it';

create table public.signing_keys (
  kid           text not null,
  audience      text not null,
  secret_sealed bytea not null,
  created_at    timestamptz not null default now(),
  retired_at    timestamptz,
  constraint signing_keys_pk primary key (kid),
  constraint signing_keys_kid_format check (kid ~ '^[A-Za-z0-9_-]{1,64}$'),
  constraint signing_keys_audience_known check (audience in ('tenant', 'operator'))
);
create index signing_keys_current_idx on public.signing_keys (audience, created_at) where retired_at is null;
comment on table public.signing_keys is 'Keys of access tokens; the newest one of an audience signs, all that are not retired verify';
comment on column public.signing_keys.secret_sealed is 'Encrypted secret; associated data = kid and audience';

create table public.platform_settings (
  key         text not null,
  value       jsonb not null,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  row_version integer not null default 1,
  constraint platform_settings_pk primary key (key),
  constraint platform_settings_key_format check (key ~ '^[a-z][a-z0-9_.]*$')
);
comment on table public.platform_settings is 'Settings of the platform that operators change at run time; never secrets';
comment on constraint platform_settings_key_format on public.platform_settings is 'must be lower-case letters, digits, _ or .';

-- ---------- versions of rows ----------

create function public.registry_touch() returns trigger
language plpgsql as $$
begin
  new.updated_at := now();
  new.row_version := old.row_version + 1;
  return new;
end $$;
comment on function public.registry_touch() is
  'before update: like insula.sys_touch(), for tables that name their actor as text and have no created_by';

do $$
declare
  t text;
begin
  foreach t in array array['clusters', 'buckets', 'tenants', 'tenant_domains', 'tenant_packs', 'modules', 'plans', 'operators',
    'operations', 'platform_settings'] loop
    execute format('create trigger zz_touch before update on public.%I for each row execute function public.registry_touch()', t);
  end loop;
end $$;
