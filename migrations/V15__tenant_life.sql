-- The life of a tenant: saved and restored, copied, renamed, deleted with time to think again, and erased.

alter table public.tenants
  add column sandbox       boolean not null default false,
  add column audit_origin  text,
  add column restored_from timestamptz,
  add column state_before  text,
  add column deleted_at    timestamptz,
  add column purge_at      timestamptz,
  add constraint tenants_audit_origin_format check (audit_origin ~ '^tenant_[a-z][a-z0-9_]{1,55}$'),
  add constraint tenants_state_before_known check (state_before in ('active', 'suspended'));
comment on column public.tenants.sandbox is 'A copy to try things in: no letter leaves it';
comment on column public.tenants.audit_origin is 'Schema in which the audit began that a copy has taken over; null = its own';
comment on column public.tenants.restored_from is 'Moment of the backup that its data was last restored from';
comment on column public.tenants.state_before is 'While it is being deleted: the state that an undo gives back';
comment on column public.tenants.deleted_at is 'When its deletion was asked for';
comment on column public.tenants.purge_at is 'While it is being deleted: from here on nothing of it is kept';

alter table public.reserved_subdomains
  add column redirect_until timestamptz,
  add constraint reserved_subdomains_redirect check (redirect_until is null or (tenant_id is not null and redirect_until <= until));
comment on column public.reserved_subdomains.redirect_until is 'Until then the name leads to the tenant that gave it up for another';

-- What a restore put aside, for as long as it may be wanted back.
create table public.shelved_schemas (
  schema_name text        not null,
  tenant_id   uuid        not null,
  packs       jsonb       not null,
  audit_origin text,
  audit_seq    bigint      not null default 0,
  shelved_at  timestamptz not null default now(),
  drop_at     timestamptz not null,
  constraint shelved_schemas_pk primary key (schema_name),
  constraint shelved_schemas_tenant_fk foreign key (tenant_id) references public.tenants (id),
  constraint shelved_schemas_name_format check (schema_name ~ '^shelved_[0-9a-f]{32}$'),
  constraint shelved_schemas_packs_object check (jsonb_typeof(packs) = 'object')
);
create index shelved_schemas_tenant_idx on public.shelved_schemas (tenant_id, shelved_at);
create index shelved_schemas_drop_idx on public.shelved_schemas (drop_at);
comment on table public.shelved_schemas is 'Schemas that a restore put another in the place of; out of reach of the tenant''s role';
comment on column public.shelved_schemas.audit_seq is 'Up to here its audit is that of the schema in its place';
comment on column public.shelved_schemas.packs is 'Versions of its packs';
revoke all on public.shelved_schemas from public;

-- After the unique index has been waited for: who gave the name up meanwhile has put it into quarantine.
create function public.tenants_refuse_quarantined() returns trigger
language plpgsql as $$
begin
  if exists (
    select from public.reserved_subdomains r
    where r.subdomain = new.subdomain and r.reason = 'quarantine' and r.tenant_id is distinct from new.id
      and (r.until is null or r.until > now())) then
    perform insula.app_fail('AP409', 'subdomain_reserved', 'This subdomain is reserved.');
  end if;
  return null;
end $$;
comment on function public.tenants_refuse_quarantined() is 'A name that another tenant gave up less than 90 days ago';
revoke all on function public.tenants_refuse_quarantined() from public;
create trigger refuse_quarantined after insert or update of subdomain on public.tenants
  for each row execute function public.tenants_refuse_quarantined();

-- The audit of the platform is never changed, so what must be erased with a tenant does not stand in it.
do $$
declare
  t text;
  event text;
  news constant text[] := array['insert', 'referencing new table as new_rows', 'update',
    'referencing old table as old_rows new table as new_rows', 'delete', 'referencing old table as old_rows'];
  masked text[];
begin
  foreach t in array array['tenants', 'tenant_domains', 'tenant_module_overrides'] loop
    masked := case t when 'tenants' then '{name,suspended_reason}' when 'tenant_domains' then '{domain}' else '{reason}' end;
    for i in 1..3 loop
      event := news[2 * i - 1];
      execute format(
        'create or replace trigger zz_audit_%s after %1$s on public.%I %s for each statement execute function public.audit_changes(%L, %L, %L, %L)',
        event, t, news[2 * i], t,
        array(select k from unnest(insula.audit_key_columns(format('public.%I', t)::regclass)) k where k <> all (masked)),
        '{created_at,created_by,updated_at,row_version}', masked || insula.audit_secrets(format('public.%I', t)::regclass));
    end loop;
  end loop;
end $$;

-- What belongs to a tenant says so by a foreign key that cascades. Of the rest, what names it for people is made empty.
create function public.tenant_forget(p_tenant uuid) returns void
language plpgsql as $$
declare
  k record;
begin
  for k in
    select c.conrelid::regclass as t, a.attname as n
    from pg_constraint c
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.confrelid = 'public.tenants'::regclass and c.contype = 'f' and c.confdeltype = 'c'
  loop
    execute format('delete from %s where %I = $1', k.t, k.n) using p_tenant;
  end loop;
  delete from public.shelved_schemas where tenant_id = p_tenant;
  update public.reserved_subdomains set redirect_until = null where tenant_id = p_tenant;
  update public.operations set input = '{}', error = null where tenant_id = p_tenant;
  update public.tenants
    set state = 'deleted', name = 'deleted', suspended_reason = null, state_before = null, purge_at = null, timezone = 'UTC',
      restored_from = null, audit_origin = null
    where id = p_tenant;
end $$;
comment on function public.tenant_forget(uuid) is 'Takes everything of a tenant out of the registry but its tombstone and what was billed';
revoke all on function public.tenant_forget(uuid) from public;
