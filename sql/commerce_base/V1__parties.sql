-- One master for customers and vendors, and what all commercial packs ask about: where the caller works, in which state a record is.

-- Called once per statement from row security: (select com_my_locations())
create function com_my_locations() returns uuid[]
language sql stable as $$
  select array(select location_id from sys_user_location where user_id = app_uid())
$$;
comment on function com_my_locations() is 'the locations whose records the caller sees, without locations.all';
revoke all on function com_my_locations() from public;

create function com_at(p_location uuid) returns boolean
language sql stable as $$
  select app_has('locations.all') or coalesce(p_location = any (com_my_locations()), false)
$$;
comment on function com_at(uuid) is 'internal: does the caller see the records of this location';
revoke all on function com_at(uuid) from public;

create function com_need_state(p_is text, variadic p_needed text[]) returns void
language plpgsql as $$
begin
  if p_is <> all (p_needed) then
    perform app_fail('AP409', 'wrong_state', format('The record is %s, not %s.', p_is, array_to_string(p_needed, ' or ')));
  end if;
end $$;
comment on function com_need_state(text, text[]) is 'internal: refuses an action in another state';
revoke all on function com_need_state(text, text[]) from public;

-- Foreign keys ignore row security. This trigger runs with the writer's rights, so that a row he does not see is refused like an absent
-- one. Arguments: column, table, noun, and so on.
create function com_reference_guard() returns trigger
language plpgsql as $$
declare
  was constant jsonb := coalesce(to_jsonb(old), '{}');
  now_is constant jsonb := to_jsonb(new);
  there boolean;
begin
  for i in 0 .. tg_nargs - 1 by 3 loop
    if now_is ->> tg_argv[i] is not null and now_is ->> tg_argv[i] is distinct from was ->> tg_argv[i] then
      execute format('select exists (select from %I where id = $1)', tg_argv[i + 1]) into there using (now_is ->> tg_argv[i])::uuid;
      if not there then
        perform app_fail('AP422', 'not_found', format('does not name an existing %s', tg_argv[i + 2]), tg_argv[i]);
      end if;
    end if;
  end loop;
  return new;
end $$;
comment on function com_reference_guard() is 'references name rows that the writer sees';
revoke all on function com_reference_guard() from public;

-- Rule 46 of the CGST Rules: 15 characters; the last is a check digit over base 36 with weights 1, 2, 1, 2, …
create function com_gstin_ok(g text) returns boolean
language sql immutable as $$
  select g ~ '^[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]$'
    and substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', 1 + (36 - (
      select sum(v * f / 36 + (v * f) % 36)::int % 36
      from (
        select strpos('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', substr(g, i, 1)) - 1 as v, case when i % 2 = 1 then 1 else 2 end as f
        from generate_series(1, 14) i) x)) % 36, 1) = right(g, 1)
$$;
comment on function com_gstin_ok(text) is 'is this a GSTIN with the right check digit';
revoke all on function com_gstin_ok(text) from public;

create table com_party (
  id uuid primary key default uuid_v7(),
  code text not null,
  name text not null,
  is_customer boolean not null default false,
  is_vendor boolean not null default false,
  kind text not null default 'organization',
  gst_category text not null default 'unregistered',
  gstin text,
  pan text,
  state_code text,
  email text,
  phone text,
  currency char(3) not null default 'INR',
  credit_limit numeric(18,2),
  terms_days int not null default 0,
  owner_id uuid default app_uid(),
  state text not null default 'active',
  constraint com_party_code check (code ~ '^[A-Z0-9][A-Z0-9/-]{0,19}$'),
  constraint com_party_code_key unique (code),
  constraint com_party_name check (length(btrim(name)) between 1 and 200),
  constraint com_party_kind check (kind in ('person', 'organization')),
  constraint com_party_gst_category check (gst_category in ('regular', 'composition', 'unregistered', 'sez', 'overseas', 'deemed_export')),
  constraint com_party_gstin check (com_gstin_ok(gstin)),
  constraint com_party_pan check (pan ~ '^[A-Z]{5}[0-9]{4}[A-Z]$'),
  constraint com_party_state_code check (state_code ~ '^[0-9]{2}$'),
  constraint com_party_email check (length(email) <= 254 and email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
  constraint com_party_phone check (length(phone) <= 40),
  constraint com_party_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint com_party_credit_limit check (credit_limit >= 0),
  constraint com_party_terms_days check (terms_days between 0 and 365),
  constraint com_party_owner_id_fk foreign key (owner_id) references sys_user,
  constraint com_party_state check (state in ('active', 'on_hold', 'archived')),
  constraint com_party_role check (is_customer or is_vendor),
  constraint com_party_registered check ((gst_category in ('regular', 'composition', 'sez', 'deemed_export')) = (gstin is not null)),
  constraint com_party_gstin_state check (gstin is null or coalesce(left(gstin, 2) = state_code, false))
);
comment on table com_party is 'customers and vendors';
comment on constraint com_party_code on com_party is 'must have 1 to 20 capital letters, digits, / or -';
comment on constraint com_party_code_key on com_party is 'is already used by another customer or vendor';
comment on constraint com_party_name on com_party is 'must have 1 to 200 characters';
comment on constraint com_party_kind on com_party is 'must be person or organization';
comment on constraint com_party_gst_category on com_party is 'must be regular, composition, unregistered, sez, overseas or deemed_export';
comment on constraint com_party_gstin on com_party is 'must be a GSTIN with a right check digit';
comment on constraint com_party_pan on com_party is 'must be a PAN such as AAPFU0939F';
comment on constraint com_party_state_code on com_party is 'must be a state code of two digits';
comment on constraint com_party_email on com_party is 'must be a valid e-mail address';
comment on constraint com_party_phone on com_party is 'must have at most 40 characters';
comment on constraint com_party_currency on com_party is 'must be a currency code of three letters with at most two decimals';
comment on constraint com_party_credit_limit on com_party is 'must be at least 0';
comment on constraint com_party_terms_days on com_party is 'must be from 0 to 365';
comment on constraint com_party_owner_id_fk on com_party is 'does not name an existing user | is still used by customers and vendors';
comment on constraint com_party_state on com_party is 'must be active, on_hold or archived';
comment on constraint com_party_role on com_party is 'must be a customer or a vendor';
comment on constraint com_party_registered on com_party is 'a registered party has a GSTIN, any other has none';
comment on constraint com_party_gstin_state on com_party is 'must begin with the state code of the party';
select sys_std('com_party');
create unique index com_party_email_key on com_party (lower(email), kind) where email is not null and state <> 'archived';
comment on index com_party_email_key is 'is already used by another customer or vendor';
create index com_party_owner_id on com_party (owner_id) where owner_id is not null;
create trigger b_action_only before update of state on com_party
  for each row execute function sys_action_only('state');

create view com_customer with (security_invoker = true) as
select id, code, name, is_customer, is_vendor, kind, gst_category, gstin, pan, state_code, email, phone, currency, credit_limit, terms_days,
  owner_id, state, created_at, created_by, updated_at, row_version
from com_party
where is_customer
with check option;
alter view com_customer alter column is_customer set default true;
comment on view com_customer is 'the parties that buy';

create view com_vendor with (security_invoker = true) as
select id, code, name, is_customer, is_vendor, kind, gst_category, gstin, pan, state_code, email, phone, currency, terms_days,
  owner_id, state, created_at, created_by, updated_at, row_version
from com_party
where is_vendor
with check option;
alter view com_vendor alter column is_vendor set default true;
comment on view com_vendor is 'the parties that sell to us';

create table com_party_address (
  id uuid primary key default uuid_v7(),
  party_id uuid not null,
  kind text not null,
  line1 text not null,
  line2 text,
  city text not null,
  state_code text,
  country char(2) not null default 'IN',
  pincode text,
  is_default boolean not null default false,
  constraint com_party_address_party_id_fk foreign key (party_id) references com_party on delete cascade,
  constraint com_party_address_kind check (kind in ('billing', 'shipping')),
  constraint com_party_address_line1 check (length(btrim(line1)) between 1 and 200),
  constraint com_party_address_line2 check (length(line2) <= 200),
  constraint com_party_address_city check (length(btrim(city)) between 1 and 100),
  constraint com_party_address_state_code check (length(state_code) <= 10),
  constraint com_party_address_country check (country ~ '^[A-Z]{2}$'),
  constraint com_party_address_pincode check (length(pincode) <= 12),
  constraint com_party_address_pincode_in check (country <> 'IN' or coalesce(pincode ~ '^[1-9][0-9]{5}$', false))
);
comment on table com_party_address is 'where customers and vendors are, and where their goods go';
comment on constraint com_party_address_party_id_fk on com_party_address is 'does not name an existing customer or vendor';
comment on constraint com_party_address_kind on com_party_address is 'must be billing or shipping';
comment on constraint com_party_address_line1 on com_party_address is 'must have 1 to 200 characters';
comment on constraint com_party_address_line2 on com_party_address is 'must have at most 200 characters';
comment on constraint com_party_address_city on com_party_address is 'must have 1 to 100 characters';
comment on constraint com_party_address_state_code on com_party_address is 'must have at most 10 characters';
comment on constraint com_party_address_country on com_party_address is 'must be a country code of two capital letters';
comment on constraint com_party_address_pincode on com_party_address is 'must have at most 12 characters';
comment on constraint com_party_address_pincode_in on com_party_address is 'must be a PIN code of six digits';
select sys_std('com_party_address');
create unique index com_party_address_default_key on com_party_address (party_id, kind) where is_default;
comment on index com_party_address_default_key is 'already has a default address of this kind';
create index com_party_address_party_id on com_party_address (party_id);
create trigger a_reference before insert or update of party_id on com_party_address
  for each row execute function com_reference_guard('party_id', 'com_party', 'customer or vendor');

create function com_customer_locked(p_id uuid) returns com_party
language plpgsql as $$
declare
  p com_party;
begin
  select * into p from com_party where id = p_id and is_customer for update;
  if p.id is null or (app_has('customers.scope.own') and not app_has('customers.scope.all') and p.owner_id is distinct from app_uid()) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return p;
end $$;
comment on function com_customer_locked(uuid) is 'internal: a customer in scope, locked';
revoke all on function com_customer_locked(uuid) from public;

create function com_customer_hold(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p com_party;
begin
  perform app_require('customers.edit');
  p := com_customer_locked($1);
  perform com_need_state(p.state, 'active');
  update com_party set state = 'on_hold' where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function com_customer_hold(uuid, jsonb) is 'nothing is sold to this customer for now';
revoke all on function com_customer_hold(uuid, jsonb) from public;

create function com_customer_release(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p com_party;
begin
  perform app_require('customers.edit');
  p := com_customer_locked($1);
  perform com_need_state(p.state, 'on_hold', 'archived');
  update com_party set state = 'active' where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function com_customer_release(uuid, jsonb) is 'a customer on hold, or in the archive, may buy again';
revoke all on function com_customer_release(uuid, jsonb) from public;

-- the newest commercial fact decides: who owes, or is owed, stays
create function com_customer_archive(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p com_party;
begin
  perform app_require('customers.edit');
  p := com_customer_locked($1);
  perform com_need_state(p.state, 'active', 'on_hold');
  if exists (select from com_open_item where party_id = p.id and settled < amount) then
    perform app_fail('AP409', 'open_items', 'The customer has open items; settle them first.');
  end if;
  update com_party set state = 'archived' where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function com_customer_archive(uuid, jsonb) is 'puts a customer aside who owes nothing';
revoke all on function com_customer_archive(uuid, jsonb) from public;

-- Called by crm when a contact with a won deal becomes a customer. A customer of the same address is that customer.
create function com_customer_from_contact(p_contact jsonb) returns uuid
language plpgsql as $$
declare
  named constant text := coalesce(
    p_contact -> 'organization' ->> 'name', concat_ws(' ', p_contact ->> 'first_name', p_contact ->> 'last_name'));
  sort constant text := case when p_contact -> 'organization' ->> 'name' is null then 'person' else 'organization' end;
  p com_party;
begin
  select * into p from com_party
  where lower(email) = lower(p_contact ->> 'email') and kind = sort and state <> 'archived' for update;
  if p.id is null then
    insert into com_party (code, name, is_customer, kind, email, phone, owner_id)
    values (sys_next_number('customer', app_today()), named, true, sort, p_contact ->> 'email', p_contact ->> 'phone',
      (p_contact ->> 'owner_id')::uuid)
    returning * into p;
  elsif not p.is_customer then
    update com_party set is_customer = true where id = p.id;
  end if;
  return p.id;
end $$;
comment on function com_customer_from_contact(jsonb) is 'internal: the customer of a contact, made when there is none';
revoke all on function com_customer_from_contact(jsonb) from public;

insert into sys_number_series (code, pattern, reset) values ('customer', 'C{SEQ}', 'never');
