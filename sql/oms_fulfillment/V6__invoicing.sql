-- What was shipped can be invoiced, where the module sales is there; and a location in use stays open.

alter table oms_shipment add column invoice_id uuid;
comment on column oms_shipment.invoice_id is 'the invoice that was made of it';
drop trigger b_action_only on oms_shipment;
create trigger b_action_only before update of number, state, weight_g, shipped_at, delivered_at, invoice_id on oms_shipment
  for each row execute function sys_action_only('number,state,weight_g,shipped_at,delivered_at,invoice_id');
drop trigger c_freeze on oms_shipment;
create trigger c_freeze after update or delete on oms_shipment
  for each row execute function sys_freeze('shipped,delivered,cancelled', 'state,delivered_at,invoice_id');

-- The discount of an order line goes with its units: each shipment takes what its units add to the rounded part. A shipment counts as
-- invoiced once, also when its draft was thrown away and made again.
create function oms_shipment_invoice(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s oms_shipment;
  o oms_order;
  customer uuid;
  lines jsonb;
  invoice uuid;
begin
  perform app_require('oms.shipments.invoice');
  select * into s from oms_shipment where id = $1 for update;
  if s.id is null or not com_at(s.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(s.state, 'shipped', 'delivered');
  if to_regprocedure('sls_draft_for(text, uuid, uuid, uuid, text, boolean, jsonb)') is null then
    perform app_fail('AP409', 'module_not_enabled', 'Invoices need a module that is not enabled for your account.');
  end if;
  select * into o from oms_order where id = s.order_id for update;
  customer := coalesce(o.party_id, (input ->> 'party_id')::uuid);
  if customer is null then
    perform app_fail('AP422', 'party_required', 'is needed, because the order names no customer', 'party_id');
  end if;
  if not exists (select from com_party where id = customer and is_customer) then
    perform app_fail('AP422', 'not_found', 'does not name an existing customer', 'party_id');
  end if;
  with shipped as (
    select l.id, l.line_no, l.item_id, l.unit_price, l.discount, l.qty as ordered, sum(x.qty) as qty,
      l.qty_invoiced - case when s.invoice_id is null then 0 else sum(x.qty) end as before
    from oms_reservation x
    join oms_order_line l on l.id = x.order_line_id
    where x.shipment_id = s.id and x.state = 'shipped'
    group by l.id)
  select jsonb_agg(jsonb_build_object(
    'line_id', id,
    'item_id', item_id,
    'qty', qty,
    'unit_price', unit_price,
    'discount', least(round(discount * (before + qty) / ordered, 2) - round(discount * before / ordered, 2), round(qty * unit_price, 2)))
    order by line_no)
  into lines
  from shipped;
  execute 'select sls_draft_for($1, $2, $3, $4, $5, $6, $7)' into invoice
    using 'oms_shipment', s.id, customer, s.location_id, o.currency, coalesce((input ->> 'tax_inclusive')::boolean, false), lines;
  if s.invoice_id is null then
    update oms_order_line l set qty_invoiced = qty_invoiced + (x ->> 'qty')::numeric
    from jsonb_array_elements(lines) x
    where l.id = (x ->> 'line_id')::uuid;
  end if;
  update oms_shipment set invoice_id = invoice where id = s.id returning * into s;
  return to_jsonb(s);
end $$;
comment on function oms_shipment_invoice(uuid, jsonb) is 'makes a draft invoice of what was shipped, once';
revoke all on function oms_shipment_invoice(uuid, jsonb) from public;

-- the shipment before what is picked for it, as in packing and shipping
create or replace function oms_reservation_release(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r oms_reservation;
begin
  perform app_require('oms.orders.edit');
  perform from oms_shipment s where s.id = (select x.shipment_id from oms_reservation x where x.id = $1) for share;
  select * into r from oms_reservation where id = $1 for update;
  if r.id is null or not com_at(r.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if exists (select from oms_shipment s where s.id = r.shipment_id and s.state <> 'picking') then
    perform app_fail('AP409', 'packed', 'The goods are packed; cancel the shipment first.');
  end if;
  return to_jsonb(oms_release(r.id));
end $$;

create function oms_location_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if exists (select from oms_stock where location_id = old.id and (on_hand <> 0 or reserved <> 0)) then
    perform app_fail('AP409', 'has_stock', 'Stock lies at this location; move it first.');
  end if;
  if exists (select from oms_order where location_id = old.id and state in ('held', 'confirmed', 'partly_shipped')) then
    perform app_fail('AP409', 'has_orders', 'Orders of this location are still to be shipped.');
  end if;
  return new;
end $$;
comment on function oms_location_guard() is 'a location with stock or with open orders stays in use';
revoke all on function oms_location_guard() from public;
create trigger oms_in_use before update of active on sys_location
  for each row when (old.active and not new.active) execute function oms_location_guard();

-- Holds that no pack above has given back itself, for example because its module is switched off. It has ten minutes for it.
create function oms_expire_holds() returns int
language plpgsql security definer set search_path from current as $$
declare
  o uuid;
  n int := 0;
begin
  for o in
    select id from oms_order where state = 'held' and hold_until < now() - interval '10 minutes'
    order by id
    limit 500
    for update skip locked
  loop
    perform oms_drop_hold(o, 'hold expired');
    n := n + 1;
  end loop;
  return n;
end $$;
comment on function oms_expire_holds() is 'gives back what was held long after its time; says how many orders';
revoke all on function oms_expire_holds() from public;
