-- Where the tenant works: locations, who belongs to them, their holidays, and the settings of the whole tenant.

create table sys_setting (
  key text primary key,
  value jsonb not null,
  constraint sys_setting_key check (key ~ '^[a-z][a-z0-9_.]{0,62}$'),
  constraint sys_setting_fy_start_month
    check (key <> 'fy_start_month' or (jsonb_typeof(value) = 'number' and value <@ '[1,2,3,4,5,6,7,8,9,10,11,12]')),
  constraint sys_setting_currency
    check (key <> 'currency' or (jsonb_typeof(value) = 'string'
      and value #>> '{}' ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'))
);
comment on table sys_setting is 'settings of the tenant, one JSON value per key';
comment on constraint sys_setting_pkey on sys_setting is 'is already set';
comment on constraint sys_setting_key on sys_setting is 'must begin with a small letter and hold only small letters, digits, dots and _';
comment on constraint sys_setting_fy_start_month on sys_setting is 'must be a month from 1 to 12';
comment on constraint sys_setting_currency on sys_setting is 'must be a currency code of three letters with at most two decimals';
select sys_std('sys_setting');
insert into sys_setting (key, value) values ('fy_start_month', '4'), ('currency', '"INR"');

-- the code is short because it enters document numbers, which Indian law caps at 16 characters
create table sys_location (
  id uuid primary key default uuid_v7(),
  code text not null,
  name text not null,
  kind text not null,
  parent_id uuid,
  country char(2) not null default 'IN',
  state_code text,
  gstin text,
  timezone text not null default 'Asia/Kolkata',
  currency char(3) not null default 'INR',
  address jsonb not null default '{}',
  active boolean not null default true,
  constraint sys_location_code check (code ~ '^[A-Z0-9-]{1,6}$'),
  constraint sys_location_code_key unique (code),
  constraint sys_location_name check (length(btrim(name)) between 1 and 200),
  constraint sys_location_kind check (kind in ('store', 'warehouse', 'office', 'campus', 'virtual')),
  constraint sys_location_parent check (parent_id is distinct from id),
  constraint sys_location_parent_fk foreign key (parent_id) references sys_location,
  constraint sys_location_country check (country ~ '^[A-Z]{2}$'),
  constraint sys_location_state_code check (length(state_code) <= 10),
  constraint sys_location_gstin check (gstin ~ '^[0-9]{2}[0-9A-Z]{13}$'),
  constraint sys_location_gstin_state check (gstin is null or coalesce(left(gstin, 2) = state_code, false)),
  constraint sys_location_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint sys_location_address check (jsonb_typeof(address) = 'object')
);
comment on table sys_location is 'places of work: stores, warehouses, offices, campuses';
comment on constraint sys_location_code on sys_location is 'must have 1 to 6 capital letters, digits or hyphens';
comment on constraint sys_location_code_key on sys_location is 'is already used by another location';
comment on constraint sys_location_name on sys_location is 'must have 1 to 200 characters';
comment on constraint sys_location_kind on sys_location is 'must be store, warehouse, office, campus or virtual';
comment on constraint sys_location_parent on sys_location is 'cannot be the location itself';
comment on constraint sys_location_parent_fk on sys_location is 'does not name an existing location | still has locations under it';
comment on constraint sys_location_country on sys_location is 'must be a country code of two capital letters';
comment on constraint sys_location_state_code on sys_location is 'must have at most 10 characters';
comment on constraint sys_location_gstin on sys_location is 'must be a GSTIN of 15 characters';
comment on constraint sys_location_gstin_state on sys_location is 'must begin with the state code of the location';
comment on constraint sys_location_currency on sys_location is 'must be a currency code of three letters with at most two decimals';
comment on constraint sys_location_address on sys_location is 'must be an object';
select sys_std('sys_location');
create index sys_location_parent_id on sys_location (parent_id);

-- one lock for the whole tree: two changes at a time could close a loop that neither sees
create function sys_location_guard() returns trigger
language plpgsql as $$
begin
  if new.timezone is distinct from old.timezone then
    perform now() at time zone new.timezone;
  end if;
  if new.parent_id is null or (new.parent_id, new.active) is not distinct from (old.parent_id, old.active) then
    return new;
  end if;
  perform pg_advisory_xact_lock(hashtextextended(tg_table_schema || '.sys_location', 0));
  if exists (
    with recursive up (id) as (
      select new.parent_id
      union
      select l.parent_id from sys_location l join up using (id)
    )
    select from up where id = new.id) then
    perform app_fail('AP422', 'location_cycle', 'would make the location part of itself', 'parent_id');
  end if;
  if new.active and exists (select from sys_location where id = new.parent_id and not active) then
    perform app_fail('AP409', 'parent_inactive', 'An active location cannot be under an inactive one.', 'parent_id');
  end if;
  return new;
exception
  when invalid_parameter_value then
    perform app_fail('AP422', 'timezone', 'must be a time zone such as Asia/Kolkata', 'timezone');
end $$;
comment on function sys_location_guard() is 'no loops, no active location under an inactive one, a known time zone';
create trigger a_guard before insert or update of parent_id, active, timezone on sys_location
  for each row execute function sys_location_guard();
create trigger b_action_only before update of active on sys_location
  for each row execute function sys_action_only('active');

create table sys_user_location (
  id uuid primary key default uuid_v7(),
  user_id uuid not null,
  location_id uuid not null,
  is_default boolean not null default false,
  constraint sys_user_location_key unique (user_id, location_id),
  constraint sys_user_location_user_fk foreign key (user_id) references sys_user on delete cascade,
  constraint sys_user_location_location_fk foreign key (location_id) references sys_location on delete cascade
);
comment on table sys_user_location is 'locations whose records a user sees';
comment on constraint sys_user_location_key on sys_user_location is 'is already assigned to this user';
comment on constraint sys_user_location_user_fk on sys_user_location is 'does not name an existing user';
comment on constraint sys_user_location_location_fk on sys_user_location is 'does not name an existing location';
select sys_std('sys_user_location');
create unique index sys_user_location_default on sys_user_location (user_id) where is_default;
comment on index sys_user_location_default is 'already has a default location';
create index sys_user_location_location on sys_user_location (location_id);

create table sys_holiday (
  id uuid primary key default uuid_v7(),
  on_date date not null,
  location_id uuid,
  name text not null,
  constraint sys_holiday_key unique nulls not distinct (on_date, location_id),
  constraint sys_holiday_name check (length(btrim(name)) between 1 and 200),
  constraint sys_holiday_location_fk foreign key (location_id) references sys_location
);
comment on table sys_holiday is 'days off; without a location the day is off everywhere';
comment on constraint sys_holiday_key on sys_holiday is 'is already a holiday there';
comment on constraint sys_holiday_name on sys_holiday is 'must have 1 to 200 characters';
comment on constraint sys_holiday_location_fk on sys_holiday is 'does not name an existing location | is still used by holidays';
select sys_std('sys_holiday');
create index sys_holiday_location on sys_holiday (location_id);

-- action locations.deactivate
create function sys_location_deactivate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  l sys_location;
begin
  perform app_require('locations.edit');
  perform pg_advisory_xact_lock(hashtextextended(current_schema() || '.sys_location', 0));
  select * into l from sys_location where id = $1 for update;
  if l.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if not l.active then
    perform app_fail('AP409', 'inactive', 'The location is already inactive.');
  end if;
  if exists (select from sys_location where parent_id = l.id and active) then
    perform app_fail('AP409', 'has_active_children', 'Locations under this one are still active.');
  end if;
  update sys_location set active = false where id = l.id returning * into l;
  return to_jsonb(l);
end $$;
comment on function sys_location_deactivate(uuid, jsonb) is 'takes a location out of use';
revoke all on function sys_location_deactivate(uuid, jsonb) from public;

-- action locations.activate; the guard refuses it under an inactive parent
create function sys_location_activate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  l sys_location;
begin
  perform app_require('locations.edit');
  select * into l from sys_location where id = $1 for update;
  if l.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if l.active then
    perform app_fail('AP409', 'active', 'The location is already active.');
  end if;
  update sys_location set active = true where id = l.id returning * into l;
  return to_jsonb(l);
end $$;
comment on function sys_location_activate(uuid, jsonb) is 'takes a location into use again';
revoke all on function sys_location_activate(uuid, jsonb) from public;
