-- For packs above that sell with a hold, such as a storefront. Lines: item_id, qty, unit_price, discount.
create function oms_hold(
  p_channel text,
  p_ref text,
  p_party uuid,
  p_location uuid,
  p_currency text,
  p_ship_to jsonb,
  p_until timestamptz,
  p_lines jsonb
) returns uuid
language plpgsql as $$
declare
  o uuid;
begin
  insert into oms_order (channel, external_ref, party_id, location_id, currency, ship_to, state, hold_until)
  values (p_channel, p_ref, p_party, p_location, p_currency, p_ship_to, 'held', p_until)
  returning id into o;
  insert into oms_order_line (order_id, line_no, item_id, qty, unit_price, discount)
  select o, n, (l ->> 'item_id')::uuid, (l ->> 'qty')::numeric, (l ->> 'unit_price')::numeric, (l ->> 'discount')::numeric
  from jsonb_array_elements(p_lines) with ordinality x (l, n);
  perform oms_reserve(o, false);
  return o;
end $$;
comment on function oms_hold(text, text, uuid, uuid, text, jsonb, timestamptz, jsonb) is 'internal: an order for which all units are reserved until a moment, or nothing';
revoke all on function oms_hold(text, text, uuid, uuid, text, jsonb, timestamptz, jsonb) from public;

create function oms_drop_hold(p_order uuid, p_reason text) returns oms_order
language plpgsql as $$
declare
  o oms_order;
begin
  select * into o from oms_order where id = p_order for update;
  perform com_need_state(o.state, 'held');
  perform oms_release(r.id)
  from (
    select r.id from oms_reservation r join oms_order_line l on l.id = r.order_line_id
    where l.order_id = o.id and r.state = 'reserved'
    order by r.stock_id, r.id) r;
  update oms_order_line set qty_cancelled = qty where order_id = o.id;
  update oms_order set state = 'cancelled', cancel_reason = p_reason where id = o.id returning * into o;
  return o;
end $$;
comment on function oms_drop_hold(uuid, text) is 'internal: gives up an order that is only held';
revoke all on function oms_drop_hold(uuid, text) from public;
