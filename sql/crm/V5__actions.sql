-- Actions. They run as the owner of the tables, whom row security does not bind, so each begins with permission and scope; a record out of
-- scope is answered like an absent one.

create function crm_contact_locked(p_id uuid) returns crm_contact
language plpgsql as $$
declare
  c crm_contact;
begin
  select * into c from crm_contact where id = p_id for update;
  if c.id is null or not crm_sees(c.owner_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return c;
end $$;
comment on function crm_contact_locked(uuid) is 'internal: a contact in scope, locked';
revoke all on function crm_contact_locked(uuid) from public;

create function crm_organization_locked(p_id uuid) returns crm_organization
language plpgsql as $$
declare
  o crm_organization;
begin
  select * into o from crm_organization where id = p_id for update;
  if o.id is null or not (
    crm_sees(o.owner_id)
    or exists (select from crm_contact where organization_id = p_id and crm_sees(owner_id))
    or exists (select from crm_deal where organization_id = p_id and crm_sees(owner_id))) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return o;
end $$;
comment on function crm_organization_locked(uuid) is 'internal: an organization in scope, locked';
revoke all on function crm_organization_locked(uuid) from public;

create function crm_deal_locked(p_id uuid) returns crm_deal
language plpgsql as $$
declare
  d crm_deal;
begin
  select * into d from crm_deal where id = p_id for update;
  if d.id is null or not crm_sees(d.owner_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return d;
end $$;
comment on function crm_deal_locked(uuid) is 'internal: a deal in scope, locked';
revoke all on function crm_deal_locked(uuid) from public;

create function crm_need_state(p_is text, p_needed text) returns void
language plpgsql as $$
begin
  if p_is <> p_needed then
    perform app_fail('AP409', 'wrong_state', format('The record is %s, not %s.', p_is, p_needed));
  end if;
end $$;
comment on function crm_need_state(text, text) is 'internal: refuses an action in another state';
revoke all on function crm_need_state(text, text) from public;

-- contacts.archive, contacts.restore
create function crm_contact_archive(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c crm_contact;
begin
  perform app_require('contacts.edit');
  c := crm_contact_locked($1);
  perform crm_need_state(c.state, 'active');
  update crm_contact set state = 'archived' where id = c.id returning * into c;
  return to_jsonb(c);
end $$;
comment on function crm_contact_archive(uuid, jsonb) is 'takes a contact out of use';
revoke all on function crm_contact_archive(uuid, jsonb) from public;

create function crm_contact_restore(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c crm_contact;
begin
  perform app_require('contacts.edit');
  c := crm_contact_locked($1);
  perform crm_need_state(c.state, 'archived');
  update crm_contact set state = 'active' where id = c.id returning * into c;
  return to_jsonb(c);
end $$;
comment on function crm_contact_restore(uuid, jsonb) is 'takes an archived contact into use again';
revoke all on function crm_contact_restore(uuid, jsonb) from public;

-- organizations.archive, organizations.restore
create function crm_organization_archive(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  o crm_organization;
begin
  perform app_require('organizations.edit');
  o := crm_organization_locked($1);
  perform crm_need_state(o.state, 'active');
  update crm_organization set state = 'archived' where id = o.id returning * into o;
  return to_jsonb(o);
end $$;
comment on function crm_organization_archive(uuid, jsonb) is 'takes an organization out of use';
revoke all on function crm_organization_archive(uuid, jsonb) from public;

create function crm_organization_restore(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  o crm_organization;
begin
  perform app_require('organizations.edit');
  o := crm_organization_locked($1);
  perform crm_need_state(o.state, 'archived');
  update crm_organization set state = 'active' where id = o.id returning * into o;
  return to_jsonb(o);
end $$;
comment on function crm_organization_restore(uuid, jsonb) is 'takes an archived organization into use again';
revoke all on function crm_organization_restore(uuid, jsonb) from public;

-- contacts.merge: the deals and activities of the dropped contact move, its values fill what is empty
create function crm_contact_merge(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  keep_id constant uuid := $1;
  drop_id constant uuid := input ->> 'drop_id';
  k crm_contact;
  d crm_contact;
begin
  perform app_require('contacts.merge');
  if keep_id = drop_id then
    perform app_fail('AP422', 'same_contact', 'must be another contact', 'drop_id');
  end if;
  -- in one order, so that two merges of the same pair do not wait for each other
  perform from crm_contact where id in (keep_id, drop_id) order by id for update;
  k := crm_contact_locked(keep_id);
  select * into d from crm_contact where id = drop_id;
  if d.id is null or not crm_sees(d.owner_id) then
    perform app_fail('AP422', 'not_found', 'does not name an existing contact', 'drop_id');
  end if;
  perform crm_need_state(k.state, 'active');
  perform crm_need_state(d.state, 'active');
  update crm_deal set contact_id = keep_id where contact_id = drop_id;
  update crm_activity set contact_id = keep_id where contact_id = drop_id;
  update crm_contact set merged_into = keep_id where merged_into = drop_id;
  -- first the dropped one: an e-mail address belongs to one active contact
  update crm_contact set state = 'merged', merged_into = keep_id where id = drop_id;
  update crm_contact
  set
    last_name = coalesce(k.last_name, d.last_name),
    email = coalesce(k.email, d.email),
    phone = coalesce(k.phone, d.phone),
    title = coalesce(k.title, d.title),
    organization_id = coalesce(k.organization_id, d.organization_id),
    source = coalesce(k.source, d.source),
    do_not_contact = k.do_not_contact or d.do_not_contact
  where id = keep_id
  returning * into k;
  return to_jsonb(k);
end $$;
comment on function crm_contact_merge(uuid, jsonb) is 'makes one contact of two';
revoke all on function crm_contact_merge(uuid, jsonb) from public;

-- contacts.convert_to_customer: commerce_base is a neighbour that may be absent, so its function is looked up at run time
create function crm_contact_convert(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c crm_contact;
  deals uuid[];
  party uuid;
begin
  perform app_require('customers.create');
  c := crm_contact_locked($1);
  perform crm_need_state(c.state, 'active');
  deals := array(
    select d.id
    from crm_deal d
    join crm_stage s on s.id = d.stage_id
    where d.contact_id = c.id and s.kind = 'won'
    order by d.id
    for update of d);
  if deals = '{}' then
    perform app_fail('AP409', 'no_won_deal', 'Only a contact with a won deal becomes a customer.');
  end if;
  if not exists (select from crm_deal where id = any (deals) and party_id is null) then
    perform app_fail('AP409', 'already_customer', 'The contact is already a customer.');
  end if;
  select party_id into party from crm_deal where id = any (deals) and party_id is not null order by id limit 1;
  if party is null then
    if to_regprocedure('com_customer_from_contact(jsonb)') is null then
      perform app_fail('AP409', 'module_not_enabled', 'Customers need a module that is not enabled for your account.');
    end if;
    execute 'select com_customer_from_contact($1)' into party
      using to_jsonb(c)
        || jsonb_build_object('organization', (select to_jsonb(o) from crm_organization o where o.id = c.organization_id));
  end if;
  update crm_deal set party_id = party where id = any (deals) and party_id is null;
  return to_jsonb(c) || jsonb_build_object('party_id', party);
end $$;
comment on function crm_contact_convert(uuid, jsonb) is 'makes a customer of a contact whose deal was won';
revoke all on function crm_contact_convert(uuid, jsonb) from public;

-- deals.move: the rules stand in the guard of the table
create function crm_deal_move(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  d crm_deal;
begin
  perform app_require('deals.move');
  d := crm_deal_locked($1);
  update crm_deal
  set
    stage_id = (input ->> 'stage_id')::uuid,
    lost_reason_id = coalesce((input ->> 'lost_reason_id')::uuid, d.lost_reason_id),
    lost_note = coalesce(input ->> 'lost_note', d.lost_note)
  where id = d.id
  returning * into d;
  return to_jsonb(d);
end $$;
comment on function crm_deal_move(uuid, jsonb) is 'moves a deal to another stage of its pipeline';
revoke all on function crm_deal_move(uuid, jsonb) from public;

-- deals.reassign: the guard looks at the new owner, the handover takes the open activities along
create function crm_deal_reassign(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  d crm_deal;
begin
  perform app_require('deals.reassign');
  d := crm_deal_locked($1);
  update crm_deal set owner_id = (input ->> 'owner_id')::uuid where id = d.id returning * into d;
  return to_jsonb(d);
end $$;
comment on function crm_deal_reassign(uuid, jsonb) is 'gives a deal to another user';
revoke all on function crm_deal_reassign(uuid, jsonb) from public;

-- activities.complete
create function crm_activity_complete(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  a crm_activity;
begin
  perform app_require('activities.edit');
  select * into a from crm_activity where id = $1 for update;
  if a.id is null
    or not (crm_sees(a.owner_id) or exists (select from crm_deal where id = a.deal_id and crm_sees(owner_id))) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if a.done_at is not null then
    perform app_fail('AP409', 'done', 'The activity is already done.');
  end if;
  if a.kind in ('call', 'meeting') and coalesce(input ->> 'outcome', a.outcome) is null then
    perform app_fail('AP422', 'outcome', 'is needed when a call or meeting is done', 'outcome');
  end if;
  update crm_activity set done_at = now(), outcome = coalesce(input ->> 'outcome', outcome) where id = a.id returning * into a;
  return to_jsonb(a);
end $$;
comment on function crm_activity_complete(uuid, jsonb) is 'marks an activity as done';
revoke all on function crm_activity_complete(uuid, jsonb) from public;
