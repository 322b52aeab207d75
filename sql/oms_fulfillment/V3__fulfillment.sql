-- Picking, packing, shipping, and what comes back.

create function oms_reservation_pick(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r oms_reservation;
  s oms_shipment;
  l oms_order_line;
  taken numeric;
begin
  perform app_require('oms.shipments.pick');
  select * into r from oms_reservation where id = $1 for update;
  if r.id is null or not com_at(r.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(r.state, 'reserved');
  select * into l from oms_order_line x where x.id = r.order_line_id;
  select * into s from oms_shipment x where x.id = (input ->> 'shipment_id')::uuid and com_at(x.location_id) for share;
  if s.id is null then
    perform app_fail('AP422', 'not_found', 'does not name an existing shipment', 'shipment_id');
  end if;
  if s.order_id <> l.order_id or s.location_id <> r.location_id then
    perform app_fail('AP422', 'other_order', 'is a shipment of another order or location', 'shipment_id');
  end if;
  perform com_need_state(s.state, 'picking');
  taken := coalesce((input ->> 'qty')::numeric, r.qty);
  if taken < 0 or taken > r.qty then
    perform app_fail('AP422', 'qty', format('must be from 0 to %s', r.qty), 'qty');
  end if;
  perform oms_need_qty(l.item_id, taken);
  if taken = 0 then
    perform oms_release(r.id);
  else
    if taken < r.qty then
      update oms_stock x set reserved = reserved - (r.qty - taken) where x.id = r.stock_id;
      update oms_order_line x set qty_reserved = qty_reserved - (r.qty - taken) where x.id = l.id;
    end if;
    update oms_reservation x
    set qty = taken, state = 'picked', shipment_id = s.id, picked_by = app_uid(), picked_at = now()
    where x.id = r.id;
  end if;
  if taken < r.qty then
    perform sys_emit('oms.pick.short', 'oms_reservation', r.id, app_today(), s.location_id, null, r.qty - taken, null);
  end if;
  return (select to_jsonb(x) from oms_reservation x where x.id = r.id);
end $$;
comment on function oms_reservation_pick(uuid, jsonb) is 'takes goods from their bin into a shipment; what was not found is given back';
revoke all on function oms_reservation_pick(uuid, jsonb) from public;

create function oms_shipment_pack(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s oms_shipment;
begin
  perform app_require('oms.shipments.pack');
  select * into s from oms_shipment where id = $1 for update;
  if s.id is null or not com_at(s.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(s.state, 'picking');
  if not exists (select from oms_reservation where shipment_id = s.id and state = 'picked') then
    perform app_fail('AP422', 'empty', 'Nothing has been picked.');
  end if;
  update oms_shipment set state = 'packed', weight_g = (input ->> 'weight_g')::int where id = s.id returning * into s;
  return to_jsonb(s);
end $$;
comment on function oms_shipment_pack(uuid, jsonb) is 'closes a shipment; nothing is added any more';
revoke all on function oms_shipment_pack(uuid, jsonb) from public;

create function oms_shipment_ship(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s oms_shipment;
  o oms_order;
  r record;
  cost numeric := 0;
begin
  perform app_require('oms.shipments.ship');
  select * into s from oms_shipment where id = $1 for update;
  if s.id is null or not com_at(s.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(s.state, 'packed');
  select * into o from oms_order where id = s.order_id for update;
  for r in
    select x.id, x.qty, x.order_line_id, st.bin_id, st.item_id, st.lot, st.id as stock
    from oms_reservation x
    join oms_stock st on st.id = x.stock_id
    where x.shipment_id = s.id and x.state = 'picked'
    order by st.id
  loop
    perform from oms_stock where id = r.stock for update;
    cost := cost + (select round(r.qty * avg_cost, 2) from oms_stock where id = r.stock);
    perform oms_move(r.item_id, r.lot, r.bin_id, null, r.qty, null, 'shipment', 'oms_reservation', r.id, null, null, true);
    update oms_reservation set state = 'shipped' where id = r.id;
    update oms_order_line set qty_reserved = qty_reserved - r.qty, qty_shipped = qty_shipped + r.qty where id = r.order_line_id;
  end loop;
  update oms_shipment
  set
    state = 'shipped',
    carrier = coalesce(input ->> 'carrier', carrier),
    tracking_no = coalesce(input ->> 'tracking_no', tracking_no),
    shipped_at = now(),
    number = sys_next_number('shipment', app_today(), location_id)
  where id = s.id
  returning * into s;
  perform oms_order_settle(o.id);
  perform sys_emit('oms.shipment.shipped', 'oms_shipment', s.id, app_today(), s.location_id, o.party_id, cost, com_base(),
    oms_lines('cogs', 'inventory', cost));
  return to_jsonb(s);
end $$;
comment on function oms_shipment_ship(uuid, jsonb) is 'a shipment leaves: stock goes out at its average cost';
revoke all on function oms_shipment_ship(uuid, jsonb) from public;

create function oms_shipment_deliver(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s oms_shipment;
begin
  perform app_require('oms.shipments.deliver');
  select * into s from oms_shipment where id = $1 for update;
  if s.id is null or not com_at(s.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(s.state, 'shipped');
  perform from oms_order where id = s.order_id for update;
  update oms_shipment set state = 'delivered', delivered_at = coalesce((input ->> 'delivered_at')::timestamptz, now())
  where id = s.id returning * into s;
  perform oms_order_settle(s.order_id);
  return to_jsonb(s);
end $$;
comment on function oms_shipment_deliver(uuid, jsonb) is 'a shipment has arrived';
revoke all on function oms_shipment_deliver(uuid, jsonb) from public;

-- what was picked goes back to its bins and stays promised to the order
create function oms_shipment_cancel(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s oms_shipment;
begin
  perform app_require('oms.shipments.create');
  select * into s from oms_shipment where id = $1 for update;
  if s.id is null or not com_at(s.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(s.state, 'picking', 'packed');
  update oms_reservation set state = 'reserved', shipment_id = null, picked_by = null, picked_at = null
  where shipment_id = s.id and state = 'picked';
  update oms_shipment set state = 'cancelled' where id = s.id returning * into s;
  return to_jsonb(s);
end $$;
comment on function oms_shipment_cancel(uuid, jsonb) is 'gives up a shipment that has not left';
revoke all on function oms_shipment_cancel(uuid, jsonb) from public;

create table oms_return (
  id uuid primary key default uuid_v7(),
  number text,
  order_line_id uuid not null,
  qty numeric(18,3) not null,
  reason text not null,
  disposition text,
  to_bin uuid,
  received_at timestamptz,
  state text not null default 'requested',
  constraint oms_return_number_key unique (number),
  constraint oms_return_order_line_id_fk foreign key (order_line_id) references oms_order_line,
  constraint oms_return_qty check (qty > 0),
  constraint oms_return_reason check (length(btrim(reason)) between 1 and 500),
  constraint oms_return_disposition check (disposition in ('restock', 'quarantine', 'scrap')),
  constraint oms_return_to_bin_fk foreign key (to_bin) references oms_bin,
  constraint oms_return_state check (state in ('requested', 'approved', 'received', 'rejected')),
  constraint oms_return_received check ((state = 'received') = (received_at is not null and disposition is not null))
);
comment on table oms_return is 'what a customer sends back';
comment on constraint oms_return_number_key on oms_return is 'is already used by another return';
comment on constraint oms_return_order_line_id_fk on oms_return is 'does not name an existing order line | is still used by returns';
comment on constraint oms_return_qty on oms_return is 'must be greater than 0';
comment on constraint oms_return_reason on oms_return is 'must have 1 to 500 characters';
comment on constraint oms_return_disposition on oms_return is 'must be restock, quarantine or scrap';
comment on constraint oms_return_to_bin_fk on oms_return is 'does not name an existing bin | is still used by returns';
comment on constraint oms_return_state on oms_return is 'must be requested, approved, received or rejected';
comment on constraint oms_return_received on oms_return is 'is set exactly when the goods are back';
select sys_std('oms_return');
create index oms_return_order_line_id on oms_return (order_line_id);
create index oms_return_to_bin on oms_return (to_bin) where to_bin is not null;
create trigger a_reference before insert or update of order_line_id on oms_return
  for each row execute function com_reference_guard('order_line_id', 'oms_order_line', 'order line');
create trigger b_action_only before update on oms_return
  for each row execute function sys_action_only('number,state,disposition,to_bin,received_at');
create trigger c_freeze after update or delete on oms_return
  for each row execute function sys_freeze('approved,received,rejected', 'number,state,disposition,to_bin,received_at');

create function oms_return_locked(p_id uuid) returns oms_return
language plpgsql as $$
declare
  r oms_return;
begin
  select * into r from oms_return where id = p_id for update;
  if r.id is null or not exists (
    select from oms_order_line l join oms_order o on o.id = l.order_id where l.id = r.order_line_id and com_at(o.location_id)) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return r;
end $$;
comment on function oms_return_locked(uuid) is 'internal: a return in scope, locked';
revoke all on function oms_return_locked(uuid) from public;

create function oms_return_approve(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r oms_return;
  l oms_order_line;
begin
  perform app_require('oms.returns.approve');
  r := oms_return_locked($1);
  perform com_need_state(r.state, 'requested');
  select * into l from oms_order_line where id = r.order_line_id;
  if r.qty > l.qty_shipped - l.qty_returned then
    perform app_fail('AP422', 'over_returned', format('Only %s can come back.', l.qty_shipped - l.qty_returned), 'qty');
  end if;
  update oms_return set state = 'approved' where id = r.id returning * into r;
  return to_jsonb(r);
end $$;
comment on function oms_return_approve(uuid, jsonb) is 'the goods may come back';
revoke all on function oms_return_approve(uuid, jsonb) from public;

create function oms_return_reject(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r oms_return;
begin
  perform app_require('oms.returns.approve');
  r := oms_return_locked($1);
  perform com_need_state(r.state, 'requested', 'approved');
  update oms_return set state = 'rejected' where id = r.id returning * into r;
  return to_jsonb(r);
end $$;
comment on function oms_return_reject(uuid, jsonb) is 'the goods stay with the customer';
revoke all on function oms_return_reject(uuid, jsonb) from public;

-- goods come back at the cost they left with
create function oms_return_receive(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r oms_return;
  l oms_order_line;
  bin constant uuid := (input ->> 'bin_id')::uuid;
  loc constant uuid := oms_need_bin((input ->> 'bin_id')::uuid, 'bin_id');
  way constant text := input ->> 'disposition';
  lot constant text := coalesce(input ->> 'lot', '');
  kind text;
  cost numeric;
  value numeric;
begin
  perform app_require('oms.returns.receive');
  r := oms_return_locked($1);
  perform com_need_state(r.state, 'approved');
  if way not in ('restock', 'quarantine', 'scrap') then
    perform app_fail('AP422', 'disposition', 'must be restock, quarantine or scrap', 'disposition');
  end if;
  select z.kind into kind from oms_bin b join oms_zone z on z.id = b.zone_id where b.id = bin;
  if (way = 'restock') <> (kind in ('storage', 'picking', 'returns')) then
    perform app_fail('AP422', 'bin', format('is in a zone for %s, which does not fit %s', kind, way), 'bin_id');
  end if;
  update oms_order_line set qty_returned = qty_returned + r.qty where id = r.order_line_id returning * into l;
  select coalesce(sum(m.qty * m.unit_cost) / nullif(sum(m.qty), 0), 0) into cost
  from oms_stock_move m
  join oms_reservation x on m.source_type = 'oms_reservation' and x.id = m.source_id
  where x.order_line_id = l.id and m.reason = 'shipment';
  perform oms_move(l.item_id, lot, null, bin, r.qty, cost, 'return', 'oms_return', r.id);
  if way = 'scrap' then
    perform oms_move(l.item_id, lot, bin, null, r.qty, null, 'scrap', 'oms_return', r.id, 'returned and scrapped');
  end if;
  value := round(r.qty * cost, 2);
  update oms_return
  set
    state = 'received',
    disposition = way,
    to_bin = bin,
    received_at = now(),
    number = sys_next_number('return', app_today(), loc)
  where id = r.id
  returning * into r;
  perform sys_emit('oms.return.received', 'oms_return', r.id, app_today(), loc, null, value, com_base(),
    oms_lines(case way when 'scrap' then 'stock_loss' else 'inventory' end, 'cogs', value));
  return to_jsonb(r);
end $$;
comment on function oms_return_receive(uuid, jsonb) is 'the goods are back: into stock, into quarantine, or away';
revoke all on function oms_return_receive(uuid, jsonb) from public;
