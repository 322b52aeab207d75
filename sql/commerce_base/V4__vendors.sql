-- Vendors are put on hold and into the archive like customers.

create function com_vendor_to(p_id uuid, p_to text, p_from text[]) returns jsonb
language plpgsql as $$
declare
  p com_party;
begin
  select * into p from com_party where id = p_id and is_vendor for update;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(p.state, variadic p_from);
  if p_to = 'archived' and exists (select from com_open_item where party_id = p.id and settled < amount) then
    perform app_fail('AP409', 'open_items', 'The vendor has open items; settle them first.');
  end if;
  update com_party set state = p_to where id = p.id returning * into p;
  return to_jsonb(p) - 'credit_limit';
end $$;
comment on function com_vendor_to(uuid, text, text[]) is 'internal: moves a vendor from some states to another';
revoke all on function com_vendor_to(uuid, text, text[]) from public;

create function com_vendor_hold(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('vendors.edit');
  return com_vendor_to($1, 'on_hold', array['active']);
end $$;
comment on function com_vendor_hold(uuid, jsonb) is 'nothing is bought from this vendor for now';
revoke all on function com_vendor_hold(uuid, jsonb) from public;

create function com_vendor_release(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('vendors.edit');
  return com_vendor_to($1, 'active', array['on_hold', 'archived']);
end $$;
comment on function com_vendor_release(uuid, jsonb) is 'a vendor on hold, or in the archive, may sell again';
revoke all on function com_vendor_release(uuid, jsonb) from public;

create function com_vendor_archive(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('vendors.edit');
  return com_vendor_to($1, 'archived', array['active', 'on_hold']);
end $$;
comment on function com_vendor_archive(uuid, jsonb) is 'puts a vendor aside to whom nothing is owed';
revoke all on function com_vendor_archive(uuid, jsonb) from public;
