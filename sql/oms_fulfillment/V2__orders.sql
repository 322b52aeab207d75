-- Orders, and what of the stock is promised to them.

create table oms_order (
  id uuid primary key default uuid_v7(),
  number text,
  channel text not null default 'office',
  external_ref text,
  party_id uuid,
  location_id uuid,
  ordered_on date not null default app_today(),
  promised_on date,
  priority int not null default 3,
  currency char(3) not null default 'INR',
  ship_to jsonb not null default '{}',
  hold_until timestamptz,
  cancel_reason text,
  state text not null default 'draft',
  constraint oms_order_number_key unique (number),
  constraint oms_order_channel check (length(btrim(channel)) between 1 and 60),
  constraint oms_order_external_ref check (length(btrim(external_ref)) between 1 and 200),
  constraint oms_order_party_id_fk foreign key (party_id) references com_party,
  constraint oms_order_location_id_fk foreign key (location_id) references sys_location,
  constraint oms_order_priority check (priority between 1 and 5),
  constraint oms_order_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint oms_order_ship_to check (jsonb_typeof(ship_to) = 'object'),
  constraint oms_order_cancel_reason check (length(cancel_reason) <= 500),
  constraint oms_order_state check (state in ('draft', 'held', 'confirmed', 'partly_shipped', 'shipped', 'delivered', 'cancelled')),
  constraint oms_order_channel_key unique (channel, external_ref),
  constraint oms_order_held check (state <> 'held' or hold_until is not null),
  constraint oms_order_numbered check (state in ('draft', 'held', 'cancelled') or number is not null),
  constraint oms_order_reasoned check (state <> 'cancelled' or cancel_reason is not null),
  constraint oms_order_promised check (promised_on >= ordered_on)
);
comment on table oms_order is 'orders from any channel';
comment on constraint oms_order_number_key on oms_order is 'is already used by another order';
comment on constraint oms_order_channel on oms_order is 'must have 1 to 60 characters';
comment on constraint oms_order_external_ref on oms_order is 'must have 1 to 200 characters';
comment on constraint oms_order_party_id_fk on oms_order is 'does not name an existing customer | is still used by orders';
comment on constraint oms_order_location_id_fk on oms_order is 'does not name an existing location | is still used by orders';
comment on constraint oms_order_priority on oms_order is 'must be from 1 to 5';
comment on constraint oms_order_currency on oms_order is 'must be a currency code of three letters with at most two decimals';
comment on constraint oms_order_ship_to on oms_order is 'must be an object';
comment on constraint oms_order_cancel_reason on oms_order is 'must have at most 500 characters';
comment on constraint oms_order_state on oms_order is 'must be draft, held, confirmed, partly_shipped, shipped, delivered or cancelled';
comment on constraint oms_order_channel_key on oms_order is 'has already been taken over from this channel';
comment on constraint oms_order_held on oms_order is 'is needed for an order that is held';
comment on constraint oms_order_numbered on oms_order is 'is given when the order is confirmed';
comment on constraint oms_order_reasoned on oms_order is 'is needed when an order is cancelled';
comment on constraint oms_order_promised on oms_order is 'must not be before the order';
select sys_std('oms_order');
create index oms_order_open on oms_order (location_id, promised_on) where state in ('confirmed', 'partly_shipped');
create index oms_order_held_until on oms_order (hold_until) where state = 'held';
create index oms_order_party_id on oms_order (party_id) where party_id is not null;
create index oms_order_location_id on oms_order (location_id) where location_id is not null;
create trigger a_reference before insert or update of party_id on oms_order
  for each row execute function com_reference_guard('party_id', 'com_party', 'customer');
create trigger b_action_only before update of number, state, hold_until, cancel_reason on oms_order
  for each row execute function sys_action_only('number,state,hold_until,cancel_reason');
create trigger c_freeze after update or delete on oms_order
  for each row execute function sys_freeze('confirmed,partly_shipped,shipped,delivered,cancelled',
    'number,state,hold_until,cancel_reason,promised_on,priority');

create table oms_order_line (
  id uuid primary key default uuid_v7(),
  order_id uuid not null,
  line_no int not null,
  item_id uuid not null,
  qty numeric(18,3) not null,
  unit_price numeric(18,6) not null,
  discount numeric(18,2) not null default 0,
  tax_rate numeric(6,3) not null default 0,
  qty_reserved numeric(18,3) not null default 0,
  qty_shipped numeric(18,3) not null default 0,
  qty_cancelled numeric(18,3) not null default 0,
  qty_returned numeric(18,3) not null default 0,
  qty_invoiced numeric(18,3) not null default 0,
  qty_open numeric(18,3) generated always as (qty - qty_shipped - qty_cancelled) stored,
  net numeric(18,2) generated always as (round(qty * unit_price, 2) - discount) stored,
  constraint oms_order_line_order_id_fk foreign key (order_id) references oms_order on delete cascade,
  constraint oms_order_line_line_no check (line_no > 0),
  constraint oms_order_line_item_id_fk foreign key (item_id) references com_item,
  constraint oms_order_line_qty check (qty > 0),
  constraint oms_order_line_unit_price check (unit_price >= 0),
  constraint oms_order_line_discount check (discount >= 0),
  constraint oms_order_line_tax_rate check (tax_rate between 0 and 100),
  constraint oms_order_line_qty_reserved check (qty_reserved >= 0),
  constraint oms_order_line_qty_shipped check (qty_shipped >= 0),
  constraint oms_order_line_qty_cancelled check (qty_cancelled >= 0),
  constraint oms_order_line_key unique (order_id, line_no),
  constraint oms_order_line_not_over_shipped check (qty_shipped + qty_cancelled <= qty),
  constraint oms_order_line_not_over_reserved check (qty_reserved <= qty - qty_shipped - qty_cancelled),
  constraint oms_order_line_not_over_returned check (qty_returned between 0 and qty_shipped),
  constraint oms_order_line_not_over_invoiced check (qty_invoiced between 0 and qty_shipped),
  constraint oms_order_line_discounted check (discount <= round(qty * unit_price, 2))
);
comment on table oms_order_line is 'what was ordered, and how far it has got';
comment on constraint oms_order_line_order_id_fk on oms_order_line is 'does not name an existing order';
comment on constraint oms_order_line_line_no on oms_order_line is 'must be greater than 0';
comment on constraint oms_order_line_item_id_fk on oms_order_line is 'does not name an existing product | is still used by order lines';
comment on constraint oms_order_line_qty on oms_order_line is 'must be greater than 0';
comment on constraint oms_order_line_unit_price on oms_order_line is 'must be at least 0';
comment on constraint oms_order_line_discount on oms_order_line is 'must be at least 0';
comment on constraint oms_order_line_tax_rate on oms_order_line is 'must be from 0 to 100';
comment on constraint oms_order_line_qty_reserved on oms_order_line is 'must be at least 0';
comment on constraint oms_order_line_qty_shipped on oms_order_line is 'must be at least 0';
comment on constraint oms_order_line_qty_cancelled on oms_order_line is 'must be at least 0';
comment on constraint oms_order_line_key on oms_order_line is 'is already used by another line of this order';
comment on constraint oms_order_line_not_over_shipped on oms_order_line is 'must not ship more than was ordered';
comment on constraint oms_order_line_not_over_reserved on oms_order_line is 'must not reserve more than is open';
comment on constraint oms_order_line_not_over_returned on oms_order_line is 'must not return more than was shipped';
comment on constraint oms_order_line_not_over_invoiced on oms_order_line is 'must not invoice more than was shipped';
comment on constraint oms_order_line_discounted on oms_order_line is 'must not be more than the line is worth';
select sys_std('oms_order_line');
create index oms_order_line_item_id on oms_order_line (item_id);
create trigger b_freeze after insert or update or delete on oms_order_line
  for each row execute function sys_freeze_child('oms_order', 'order_id', 'draft,held',
    'qty_reserved,qty_shipped,qty_cancelled,qty_returned,qty_invoiced,qty_open');

create table oms_shipment (
  id uuid primary key default uuid_v7(),
  number text,
  order_id uuid not null,
  location_id uuid not null,
  carrier text,
  tracking_no text,
  weight_g int,
  shipped_at timestamptz,
  delivered_at timestamptz,
  state text not null default 'picking',
  constraint oms_shipment_number_key unique (number),
  constraint oms_shipment_order_id_fk foreign key (order_id) references oms_order,
  constraint oms_shipment_location_id_fk foreign key (location_id) references sys_location,
  constraint oms_shipment_carrier check (length(btrim(carrier)) between 1 and 100),
  constraint oms_shipment_tracking_no check (length(btrim(tracking_no)) between 1 and 100),
  constraint oms_shipment_weight_g check (weight_g > 0),
  constraint oms_shipment_state check (state in ('picking', 'packed', 'shipped', 'delivered', 'cancelled')),
  constraint oms_shipment_shipped check ((state in ('shipped', 'delivered')) = (shipped_at is not null)),
  constraint oms_shipment_delivered check ((state = 'delivered') = (delivered_at is not null)),
  constraint oms_shipment_order_of_times check (delivered_at >= shipped_at)
);
comment on table oms_shipment is 'what leaves a location for an order';
comment on constraint oms_shipment_number_key on oms_shipment is 'is already used by another shipment';
comment on constraint oms_shipment_order_id_fk on oms_shipment is 'does not name an existing order | is still used by shipments';
comment on constraint oms_shipment_location_id_fk on oms_shipment is 'does not name an existing location | is still used by shipments';
comment on constraint oms_shipment_carrier on oms_shipment is 'must have 1 to 100 characters';
comment on constraint oms_shipment_tracking_no on oms_shipment is 'must have 1 to 100 characters';
comment on constraint oms_shipment_weight_g on oms_shipment is 'must be greater than 0';
comment on constraint oms_shipment_state on oms_shipment is 'must be picking, packed, shipped, delivered or cancelled';
comment on constraint oms_shipment_shipped on oms_shipment is 'is set exactly when the shipment has left';
comment on constraint oms_shipment_delivered on oms_shipment is 'is set exactly when the shipment has arrived';
comment on constraint oms_shipment_order_of_times on oms_shipment is 'must not be before the shipment left';
select sys_std('oms_shipment');
create unique index oms_shipment_tracking_key on oms_shipment (carrier, tracking_no) where tracking_no is not null;
comment on index oms_shipment_tracking_key is 'is already used by another shipment';
create index oms_shipment_order_id on oms_shipment (order_id);
create index oms_shipment_location_id on oms_shipment (location_id);
create trigger b_action_only before update of number, state, shipped_at, delivered_at on oms_shipment
  for each row execute function sys_action_only('number,state,weight_g,shipped_at,delivered_at');
create trigger c_freeze after update or delete on oms_shipment
  for each row execute function sys_freeze('shipped,delivered,cancelled', 'state,delivered_at');

create table oms_reservation (
  id uuid primary key default uuid_v7(),
  location_id uuid not null,
  order_line_id uuid not null,
  stock_id uuid not null,
  qty numeric(18,3) not null,
  shipment_id uuid,
  picked_by uuid,
  picked_at timestamptz,
  state text not null default 'reserved',
  constraint oms_reservation_location_id_fk foreign key (location_id) references sys_location,
  constraint oms_reservation_order_line_id_fk foreign key (order_line_id) references oms_order_line,
  constraint oms_reservation_stock_id_fk foreign key (stock_id) references oms_stock,
  constraint oms_reservation_qty check (qty > 0),
  constraint oms_reservation_shipment_id_fk foreign key (shipment_id) references oms_shipment,
  constraint oms_reservation_picked_by_fk foreign key (picked_by) references sys_user,
  constraint oms_reservation_state check (state in ('reserved', 'picked', 'shipped', 'released')),
  constraint oms_reservation_picked check (state not in ('picked', 'shipped') or (shipment_id is not null and picked_at is not null))
);
comment on table oms_reservation is 'this much of an order line is promised from this stock; it becomes the pick line';
comment on constraint oms_reservation_location_id_fk on oms_reservation is 'does not name an existing location | is still used by reservations';
comment on column oms_reservation.location_id is 'the location of the stock';
comment on constraint oms_reservation_order_line_id_fk on oms_reservation is 'does not name an existing order line | is still used by reservations';
comment on constraint oms_reservation_stock_id_fk on oms_reservation is 'does not name an existing stock | is still used by reservations';
comment on constraint oms_reservation_qty on oms_reservation is 'must be greater than 0';
comment on constraint oms_reservation_shipment_id_fk on oms_reservation is 'does not name an existing shipment | is still used by reservations';
comment on constraint oms_reservation_picked_by_fk on oms_reservation is 'does not name an existing user | is still used by reservations';
comment on constraint oms_reservation_state on oms_reservation is 'must be reserved, picked, shipped or released';
comment on constraint oms_reservation_picked on oms_reservation is 'is needed for what was picked';
select sys_std('oms_reservation');
create index oms_reservation_open on oms_reservation (stock_id) where state in ('reserved', 'picked');
create index oms_reservation_location_id on oms_reservation (location_id);
create index oms_reservation_order_line_id on oms_reservation (order_line_id);
create index oms_reservation_stock_id on oms_reservation (stock_id);
create index oms_reservation_shipment_id on oms_reservation (shipment_id) where shipment_id is not null;
create index oms_reservation_picked_by on oms_reservation (picked_by) where picked_by is not null;

-- an order of the location, still to be shipped
create function oms_shipment_guard() returns trigger
language plpgsql as $$
declare
  o oms_order;
begin
  select * into o from oms_order where id = new.order_id;
  if o.id is null then
    perform app_fail('AP422', 'not_found', 'does not name an existing order', 'order_id');
  end if;
  if tg_op = 'UPDATE' and (old.order_id, old.location_id) is distinct from (new.order_id, new.location_id) then
    perform app_fail('AP409', 'fixed', 'A shipment keeps its order and location.', 'order_id');
  end if;
  if tg_op = 'INSERT' and o.state not in ('confirmed', 'partly_shipped') then
    perform app_fail('AP409', 'order_state', format('The order is %s; only a confirmed order is shipped.', o.state), 'order_id');
  end if;
  return new;
end $$;
comment on function oms_shipment_guard() is 'a shipment belongs to an order that is being fulfilled';
revoke all on function oms_shipment_guard() from public;
create trigger a_guard before insert or update of order_id, location_id on oms_shipment
  for each row execute function oms_shipment_guard();

-- First expiry first, then the way through the zones. Each row is read again under its lock: a concurrent winner shrinks what is left,
-- nobody sells it twice. Lines come in one order, so two orders cannot wait for each other.
create function oms_reserve(p_order uuid, p_allow_partial boolean default true) returns numeric
language plpgsql as $$
declare
  l record;
  s record;
  need numeric;
  got numeric;
  missing numeric := 0;
begin
  for l in
    select ol.id, ol.item_id, ol.qty_open - ol.qty_reserved as need, o.location_id
    from oms_order_line ol
    join oms_order o on o.id = ol.order_id
    join com_item i on i.id = ol.item_id and i.is_stocked
    where ol.order_id = p_order
    order by ol.item_id, ol.id
  loop
    need := l.need;
    for s in
      select st.id, st.location_id
      from oms_stock st
      join oms_bin b on b.id = st.bin_id
      join oms_zone z on z.id = b.zone_id
      where st.item_id = l.item_id
        and not b.blocked
        and z.kind in ('picking', 'storage')
        and (l.location_id is null or st.location_id = l.location_id)
        and st.on_hand > st.reserved
        and (st.expires_on is null or st.expires_on > app_today())
      order by st.expires_on nulls last, z.pick_sequence, b.pick_sequence, st.id
    loop
      exit when need <= 0;
      select least(need, st.available) into got from oms_stock st where st.id = s.id for update;
      continue when got <= 0;
      update oms_stock set reserved = reserved + got where id = s.id;
      insert into oms_reservation (location_id, order_line_id, stock_id, qty) values (s.location_id, l.id, s.id, got);
      update oms_order_line set qty_reserved = qty_reserved + got where id = l.id;
      need := need - got;
    end loop;
    missing := missing + greatest(need, 0);
  end loop;
  if missing > 0 and not p_allow_partial then
    perform app_fail('AP409', 'insufficient_stock', format('%s units are missing.', missing));
  end if;
  return missing;
end $$;
comment on function oms_reserve(uuid, boolean) is 'internal: promises stock to an order; says what is missing';
revoke all on function oms_reserve(uuid, boolean) from public;

create function oms_release(p_reservation uuid) returns oms_reservation
language plpgsql as $$
declare
  r oms_reservation;
begin
  update oms_reservation set state = 'released', shipment_id = null
  where id = p_reservation and state in ('reserved', 'picked')
  returning * into r;
  if r.id is null then
    perform app_fail('AP409', 'wrong_state', 'The reservation is not open.');
  end if;
  update oms_stock set reserved = reserved - r.qty where id = r.stock_id;
  update oms_order_line set qty_reserved = qty_reserved - r.qty where id = r.order_line_id;
  return r;
end $$;
comment on function oms_release(uuid) is 'internal: gives a promise back';
revoke all on function oms_release(uuid) from public;

-- The number comes last: who is refused for want of stock has not waited for the counter.
create function oms_confirm(p_order uuid, p_allow_backorder boolean) returns numeric
language plpgsql as $$
declare
  o oms_order;
  missing numeric;
begin
  select * into o from oms_order where id = p_order for update;
  perform com_need_state(o.state, 'draft', 'held');
  if not exists (select from oms_order_line where order_id = p_order) then
    perform app_fail('AP422', 'no_lines', 'The order has no lines.');
  end if;
  if exists (
    select from oms_order_line l join com_item i on i.id = l.item_id
    where l.order_id = p_order and i.whole_units and l.qty <> trunc(l.qty)) then
    perform app_fail('AP422', 'whole_units', 'A line has a part of a product that is sold in whole units.');
  end if;
  missing := oms_reserve(p_order, p_allow_backorder);
  update oms_order
  set state = 'confirmed', hold_until = null, number = coalesce(number, sys_next_number('order', ordered_on, location_id))
  where id = p_order;
  perform sys_emit('oms.order.confirmed', 'oms_order', p_order, o.ordered_on, o.location_id, o.party_id,
    (select sum(net) from oms_order_line where order_id = p_order), o.currency);
  return missing;
end $$;
comment on function oms_confirm(uuid, boolean) is 'internal: confirms an order; says what is on back-order';
revoke all on function oms_confirm(uuid, boolean) from public;

create function oms_order_confirm(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  o oms_order;
begin
  perform app_require('oms.orders.confirm');
  select * into o from oms_order where id = $1 for update;
  if o.id is null or not com_at(o.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform oms_confirm(o.id, coalesce((input ->> 'allow_backorder')::boolean, false));
  select * into o from oms_order where id = o.id;
  return to_jsonb(o);
end $$;
comment on function oms_order_confirm(uuid, jsonb) is 'promises stock to an order and gives it its number';
revoke all on function oms_order_confirm(uuid, jsonb) from public;

create function oms_order_reserve(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  o oms_order;
begin
  perform app_require('oms.orders.edit');
  select * into o from oms_order where id = $1 for update;
  if o.id is null or not com_at(o.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(o.state, 'confirmed', 'partly_shipped');
  perform oms_reserve(o.id, true);
  return to_jsonb(o);
end $$;
comment on function oms_order_reserve(uuid, jsonb) is 'promises new stock to what is on back-order';
revoke all on function oms_order_reserve(uuid, jsonb) from public;

-- an order that is shipped and arrived with all its shipments is delivered
create function oms_order_settle(p_order uuid) returns void
language sql as $$
  update oms_order o
  set state = case
    when exists (select from oms_order_line where order_id = o.id and qty_open > 0) then 'partly_shipped'
    when exists (select from oms_shipment where order_id = o.id and state not in ('delivered', 'cancelled')) then 'shipped'
    else 'delivered'
  end
  where id = p_order and state in ('confirmed', 'partly_shipped', 'shipped')
$$;
comment on function oms_order_settle(uuid) is 'internal: where an order stands after one of its shipments';
revoke all on function oms_order_settle(uuid) from public;

create function oms_order_cancel(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  o oms_order;
begin
  perform app_require('oms.orders.cancel');
  select * into o from oms_order where id = $1 for update;
  if o.id is null or not com_at(o.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(o.state, 'draft', 'held', 'confirmed', 'partly_shipped');
  if length(btrim(input ->> 'reason')) not between 1 and 500 then
    perform app_fail('AP422', 'reason', 'must have 1 to 500 characters', 'reason');
  end if;
  if exists (
    select from oms_reservation r join oms_order_line l on l.id = r.order_line_id
    where l.order_id = o.id and r.state = 'picked') then
    perform app_fail('AP409', 'picked', 'Goods have been picked for this order; put them back first.');
  end if;
  perform oms_release(r.id)
  from (
    select r.id from oms_reservation r join oms_order_line l on l.id = r.order_line_id
    where l.order_id = o.id and r.state = 'reserved'
    order by r.stock_id, r.id) r;
  update oms_order_line set qty_cancelled = qty - qty_shipped where order_id = o.id;
  update oms_shipment set state = 'cancelled' where order_id = o.id and state in ('picking', 'packed');
  update oms_order
  set cancel_reason = input ->> 'reason', state = case o.state when 'partly_shipped' then o.state else 'cancelled' end
  where id = o.id;
  perform oms_order_settle(o.id);
  select * into o from oms_order where id = o.id;
  perform sys_emit('oms.order.cancelled', 'oms_order', o.id, app_today(), o.location_id, o.party_id, null, o.currency);
  return to_jsonb(o);
end $$;
comment on function oms_order_cancel(uuid, jsonb) is 'gives back what was promised to an order; what has left stays sold';
revoke all on function oms_order_cancel(uuid, jsonb) from public;

create function oms_reservation_release(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r oms_reservation;
begin
  perform app_require('oms.orders.edit');
  select * into r from oms_reservation where id = $1 for update;
  if r.id is null or not com_at(r.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if exists (select from oms_shipment s where s.id = r.shipment_id and s.state <> 'picking') then
    perform app_fail('AP409', 'packed', 'The goods are packed; cancel the shipment first.');
  end if;
  return to_jsonb(oms_release(r.id));
end $$;
comment on function oms_reservation_release(uuid, jsonb) is 'gives a promise back';
revoke all on function oms_reservation_release(uuid, jsonb) from public;

insert into sys_number_series (code, pattern) values
  ('order', 'SO-{FY}-{SEQ}'),
  ('shipment', 'SH-{FY}-{SEQ}'),
  ('return', 'RT-{FY}-{SEQ}');
