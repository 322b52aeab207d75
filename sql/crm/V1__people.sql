-- Contacts and organizations, and the scope that all records of this pack share: own, team, all.

-- Called once per statement from row security: (select crm_owners_in_scope())
create function crm_owners_in_scope() returns uuid[]
language sql stable as $$
  select case
    when app_has('crm.scope.team') then array(select user_id from sys_team(app_uid()))
    else array[app_uid()]
  end
$$;
comment on function crm_owners_in_scope() is 'the users whose records the caller sees, without crm.scope.all';

create function crm_sees(owner uuid) returns boolean
language sql stable as $$
  select app_has('crm.scope.all') or coalesce(owner = any (crm_owners_in_scope()), false)
$$;
comment on function crm_sees(uuid) is 'does the caller see the records of this owner';

create table crm_organization (
  id uuid primary key default uuid_v7(),
  name text not null,
  domain text,
  industry text,
  size text,
  phone text,
  country char(2),
  city text,
  owner_id uuid not null default app_uid(),
  state text not null default 'active',
  constraint crm_organization_name check (length(btrim(name)) between 1 and 200),
  constraint crm_organization_domain check (length(domain) <= 253 and domain = lower(domain) and domain ~ '^[^\s/:@]+\.[^\s/:@]+$'),
  constraint crm_organization_industry check (length(industry) <= 100),
  constraint crm_organization_phone check (length(phone) <= 40),
  constraint crm_organization_city check (length(city) <= 100),
  constraint crm_organization_size check (size in ('1-10', '11-50', '51-200', '201-500', '501-1000', '1000+')),
  constraint crm_organization_country check (country ~ '^[A-Z]{2}$'),
  constraint crm_organization_state check (state in ('active', 'archived')),
  constraint crm_organization_owner_fk foreign key (owner_id) references sys_user
);
comment on table crm_organization is 'companies we deal with';
comment on constraint crm_organization_name on crm_organization is 'must have 1 to 200 characters';
comment on constraint crm_organization_domain on crm_organization is 'must be a domain in small letters, such as example.com';
comment on constraint crm_organization_industry on crm_organization is 'must have at most 100 characters';
comment on constraint crm_organization_phone on crm_organization is 'must have at most 40 characters';
comment on constraint crm_organization_city on crm_organization is 'must have at most 100 characters';
comment on constraint crm_organization_size on crm_organization is 'must be 1-10, 11-50, 51-200, 201-500, 501-1000 or 1000+';
comment on constraint crm_organization_country on crm_organization is 'must be a country code of two capital letters';
comment on constraint crm_organization_state on crm_organization is 'must be active or archived';
comment on constraint crm_organization_owner_fk on crm_organization is 'does not name an existing user | still owns organizations';
select sys_std('crm_organization');
create unique index crm_organization_domain_key on crm_organization (domain) where domain is not null and state = 'active';
comment on index crm_organization_domain_key is 'is already used by another organization';
create index crm_organization_owner on crm_organization (owner_id);

create table crm_contact (
  id uuid primary key default uuid_v7(),
  first_name text not null,
  last_name text,
  email text,
  phone text,
  title text,
  organization_id uuid,
  source text,
  owner_id uuid not null default app_uid(),
  do_not_contact boolean not null default false,
  merged_into uuid,
  state text not null default 'active',
  constraint crm_contact_first_name check (length(btrim(first_name)) between 1 and 100),
  constraint crm_contact_last_name check (length(last_name) <= 100),
  constraint crm_contact_email check (length(email) <= 254 and email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
  constraint crm_contact_phone check (phone ~ '^\+[1-9][0-9]{6,14}$'),
  constraint crm_contact_title check (length(title) <= 100),
  constraint crm_contact_source check (length(source) <= 100),
  constraint crm_contact_state check (state in ('active', 'archived', 'merged')),
  constraint crm_contact_merged check ((state = 'merged') = (merged_into is not null)),
  constraint crm_contact_merged_self check (merged_into is distinct from id),
  constraint crm_contact_reachable check (email is not null or phone is not null or organization_id is not null),
  constraint crm_contact_organization_fk foreign key (organization_id) references crm_organization,
  constraint crm_contact_merged_into_fk foreign key (merged_into) references crm_contact on delete cascade,
  constraint crm_contact_owner_fk foreign key (owner_id) references sys_user
);
comment on table crm_contact is 'people we deal with; a merged contact stays as a pointer to the one that was kept';
comment on constraint crm_contact_first_name on crm_contact is 'must have 1 to 100 characters';
comment on constraint crm_contact_last_name on crm_contact is 'must have at most 100 characters';
comment on constraint crm_contact_email on crm_contact is 'must be a valid e-mail address';
comment on constraint crm_contact_phone on crm_contact is 'must be an international number such as +919876543210';
comment on constraint crm_contact_title on crm_contact is 'must have at most 100 characters';
comment on constraint crm_contact_source on crm_contact is 'must have at most 100 characters';
comment on constraint crm_contact_state on crm_contact is 'must be active, archived or merged';
comment on constraint crm_contact_merged on crm_contact is 'is set exactly when the contact has been merged';
comment on constraint crm_contact_merged_self on crm_contact is 'cannot be the contact itself';
comment on constraint crm_contact_reachable on crm_contact is 'one of e-mail, phone and organization is needed';
comment on constraint crm_contact_organization_fk on crm_contact is 'does not name an existing organization | is still used by contacts';
comment on constraint crm_contact_merged_into_fk on crm_contact is 'does not name an existing contact';
comment on constraint crm_contact_owner_fk on crm_contact is 'does not name an existing user | still owns contacts';
select sys_std('crm_contact');
create unique index crm_contact_email_key on crm_contact (lower(email)) where email is not null and state = 'active';
comment on index crm_contact_email_key is 'is already used by another contact';
create index crm_contact_owner on crm_contact (owner_id);
create index crm_contact_phone_active on crm_contact (phone) where state = 'active';
create index crm_contact_organization on crm_contact (organization_id);
create index crm_contact_merged_into on crm_contact (merged_into) where merged_into is not null;

-- argument, optional: the permission that giving a record to somebody else needs
create function crm_owner_guard() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.owner_id = old.owner_id then
    return new;
  end if;
  if tg_op = 'UPDATE' and tg_nargs > 0 then
    perform app_require(tg_argv[0]);
  end if;
  if not crm_sees(new.owner_id) then
    perform app_fail('AP403', 'outside_scope', 'The owner must be you or somebody whose records you see.', 'owner_id');
  end if;
  if not sys_user_active(new.owner_id) then
    perform app_fail('AP422', 'owner_inactive', 'does not name an active user', 'owner_id');
  end if;
  return new;
end $$;
comment on function crm_owner_guard() is 'the owner of a record is an active user inside the scope of the writer';

-- Foreign keys ignore row security. This trigger runs with the writer's rights, so that a row he does not see is refused like an absent
-- one. The lock on the contact keeps a merge from passing by.
create function crm_reference_guard() returns trigger
language plpgsql as $$
declare
  was constant jsonb := coalesce(to_jsonb(old), '{}');
  now_is constant jsonb := to_jsonb(new);
  ref uuid;
begin
  ref := now_is ->> 'organization_id';
  if ref is distinct from (was ->> 'organization_id')::uuid and ref is not null
    and not exists (select from crm_organization where id = ref) then
    perform app_fail('AP422', 'not_found', 'does not name an existing organization', 'organization_id');
  end if;
  ref := now_is ->> 'contact_id';
  if ref is distinct from (was ->> 'contact_id')::uuid and ref is not null then
    perform from crm_contact where id = ref and state <> 'merged' for key share;
    if not found then
      perform app_fail('AP422', 'not_found', 'does not name an existing contact', 'contact_id');
    end if;
  end if;
  ref := now_is ->> 'deal_id';
  if ref is distinct from (was ->> 'deal_id')::uuid and ref is not null
    and not exists (select from crm_deal where id = ref) then
    perform app_fail('AP422', 'not_found', 'does not name an existing deal', 'deal_id');
  end if;
  return new;
end $$;
comment on function crm_reference_guard() is 'references name rows that the writer sees';

create trigger a_owner before insert or update of owner_id on crm_organization
  for each row execute function crm_owner_guard();
create trigger b_action_only before update of state on crm_organization
  for each row execute function sys_action_only('state');

create trigger a_owner before insert or update of owner_id on crm_contact
  for each row execute function crm_owner_guard();
create trigger b_action_only before update of state, merged_into on crm_contact
  for each row execute function sys_action_only('state,merged_into');
create trigger c_reference before insert or update of organization_id on crm_contact
  for each row execute function crm_reference_guard();
create trigger d_frozen after update on crm_contact
  for each row when (old.state = 'merged') execute function sys_freeze('merged', 'merged_into');
