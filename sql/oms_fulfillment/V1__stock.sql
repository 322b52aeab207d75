-- Where goods lie: zones, bins, balances by lot, and the ledger of their moves. Only functions write balances and ledger.

create table oms_zone (
  id uuid primary key default uuid_v7(),
  location_id uuid not null,
  code text not null,
  kind text not null,
  pick_sequence int not null default 100,
  constraint oms_zone_location_id_fk foreign key (location_id) references sys_location,
  constraint oms_zone_code check (code ~ '^[A-Z0-9][A-Z0-9-]{0,19}$'),
  constraint oms_zone_kind check (kind in ('receiving', 'storage', 'picking', 'packing', 'dispatch', 'returns', 'quarantine')),
  constraint oms_zone_key unique (location_id, code)
);
comment on table oms_zone is 'parts of a location';
comment on constraint oms_zone_location_id_fk on oms_zone is 'does not name an existing location | is still used by zones';
comment on constraint oms_zone_code on oms_zone is 'must have 1 to 20 capital letters, digits or hyphens';
comment on constraint oms_zone_kind on oms_zone is 'must be receiving, storage, picking, packing, dispatch, returns or quarantine';
comment on constraint oms_zone_key on oms_zone is 'is already used by another zone of this location';
select sys_std('oms_zone');

create table oms_bin (
  id uuid primary key default uuid_v7(),
  zone_id uuid not null,
  code text not null,
  pick_sequence int not null default 100,
  blocked boolean not null default false,
  allow_negative boolean not null default false,
  constraint oms_bin_zone_id_fk foreign key (zone_id) references oms_zone,
  constraint oms_bin_code check (code ~ '^[A-Z0-9][A-Z0-9-]{0,19}$'),
  constraint oms_bin_key unique (zone_id, code)
);
comment on table oms_bin is 'places in a zone where goods lie';
comment on constraint oms_bin_zone_id_fk on oms_bin is 'does not name an existing zone | is still used by bins';
comment on constraint oms_bin_code on oms_bin is 'must have 1 to 20 capital letters, digits or hyphens';
comment on constraint oms_bin_key on oms_bin is 'is already used by another bin of this zone';
select sys_std('oms_bin');
create trigger a_reference before insert or update of zone_id on oms_bin
  for each row execute function com_reference_guard('zone_id', 'oms_zone', 'zone');

create table oms_stock (
  id uuid primary key default uuid_v7(),
  location_id uuid not null,
  bin_id uuid not null,
  item_id uuid not null,
  lot text not null default '',
  expires_on date,
  on_hand numeric(18,3) not null default 0,
  reserved numeric(18,3) not null default 0,
  available numeric(18,3) generated always as (on_hand - reserved) stored,
  avg_cost numeric(18,6) not null default 0,
  may_go_negative boolean not null default false,
  last_in_at timestamptz,
  constraint oms_stock_location_id_fk foreign key (location_id) references sys_location,
  constraint oms_stock_bin_id_fk foreign key (bin_id) references oms_bin,
  constraint oms_stock_item_id_fk foreign key (item_id) references com_item,
  constraint oms_stock_lot check (length(lot) <= 40),
  constraint oms_stock_reserved check (reserved >= 0),
  constraint oms_stock_key unique (bin_id, item_id, lot),
  constraint oms_stock_not_negative check (may_go_negative or on_hand >= 0),
  constraint oms_stock_reserved_covered check (may_go_negative or reserved <= on_hand)
);
comment on table oms_stock is 'what lies in a bin, by product and lot';
comment on constraint oms_stock_location_id_fk on oms_stock is 'does not name an existing location | is still used by stock';
comment on column oms_stock.location_id is 'the location of the bin';
comment on constraint oms_stock_bin_id_fk on oms_stock is 'does not name an existing bin | is still used by stock';
comment on constraint oms_stock_item_id_fk on oms_stock is 'does not name an existing product | is still used by stock';
comment on constraint oms_stock_lot on oms_stock is 'must have at most 40 characters';
comment on constraint oms_stock_reserved on oms_stock is 'must be at least 0';
comment on constraint oms_stock_not_negative on oms_stock is 'must not become less than nothing';
comment on constraint oms_stock_reserved_covered on oms_stock is 'must not reserve more than there is';
select sys_std('oms_stock');
create index oms_stock_free on oms_stock (item_id, location_id) where on_hand > reserved;
create index oms_stock_location_id on oms_stock (location_id);
create index oms_stock_item_id on oms_stock (item_id);

create table oms_stock_move (
  id uuid primary key default uuid_v7(),
  item_id uuid not null,
  lot text not null default '',
  from_bin uuid,
  to_bin uuid,
  qty numeric(18,3) not null,
  unit_cost numeric(18,6) not null,
  moved_on date not null default app_today(),
  reason text not null,
  note text,
  source_type text not null,
  source_id uuid not null,
  constraint oms_stock_move_item_id_fk foreign key (item_id) references com_item,
  constraint oms_stock_move_from_bin_fk foreign key (from_bin) references oms_bin,
  constraint oms_stock_move_to_bin_fk foreign key (to_bin) references oms_bin,
  constraint oms_stock_move_qty check (qty > 0),
  constraint oms_stock_move_unit_cost check (unit_cost >= 0),
  constraint oms_stock_move_reason check (reason in ('opening', 'receipt', 'shipment', 'transfer', 'adjust', 'count', 'return', 'vendor_return', 'scrap')),
  constraint oms_stock_move_note check (length(note) <= 500),
  constraint oms_stock_move_ends check (num_nonnulls(from_bin, to_bin) >= 1),
  constraint oms_stock_move_two_bins check (from_bin is distinct from to_bin),
  constraint oms_stock_move_noted check (reason not in ('adjust', 'count', 'scrap') or coalesce(length(btrim(note)) > 0, false))
);
comment on table oms_stock_move is 'the ledger of stock, append-only';
comment on constraint oms_stock_move_item_id_fk on oms_stock_move is 'does not name an existing product | is still used by stock moves';
comment on constraint oms_stock_move_from_bin_fk on oms_stock_move is 'does not name an existing bin | is still used by stock moves';
comment on constraint oms_stock_move_to_bin_fk on oms_stock_move is 'does not name an existing bin | is still used by stock moves';
comment on constraint oms_stock_move_qty on oms_stock_move is 'must be greater than 0';
comment on constraint oms_stock_move_unit_cost on oms_stock_move is 'must be at least 0';
comment on constraint oms_stock_move_reason on oms_stock_move is 'must be opening, receipt, shipment, transfer, adjust, count, return, vendor_return or scrap';
comment on constraint oms_stock_move_note on oms_stock_move is 'must have at most 500 characters';
comment on constraint oms_stock_move_ends on oms_stock_move is 'one of the two bins is needed';
comment on constraint oms_stock_move_two_bins on oms_stock_move is 'must be another bin';
comment on constraint oms_stock_move_noted on oms_stock_move is 'is needed';
select sys_append_only('oms_stock_move');
create index oms_stock_move_day on oms_stock_move (item_id, moved_on);
create index oms_stock_move_source on oms_stock_move (source_type, source_id);
create index oms_stock_move_item_id on oms_stock_move (item_id);
create index oms_stock_move_from_bin on oms_stock_move (from_bin) where from_bin is not null;
create index oms_stock_move_to_bin on oms_stock_move (to_bin) where to_bin is not null;

-- stock knows its location by its bin: a bin or zone that holds stock stays where it is
create function oms_place_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if tg_table_name = 'oms_zone' then
    if exists (select from oms_stock s join oms_bin b on b.id = s.bin_id where b.zone_id = old.id) then
      perform app_fail('AP409', 'in_use', 'A zone that has held stock keeps its location.', 'location_id');
    end if;
  elsif exists (select from oms_stock where bin_id = old.id) then
    perform app_fail('AP409', 'in_use', 'A bin that has held stock keeps its zone.', 'zone_id');
  end if;
  return new;
end $$;
comment on function oms_place_guard() is 'a place that was ever used keeps its location';
revoke all on function oms_place_guard() from public;
create trigger b_in_use before update of location_id on oms_zone
  for each row when (old.location_id <> new.location_id) execute function oms_place_guard();
create trigger b_in_use before update of zone_id on oms_bin
  for each row when (old.zone_id <> new.zone_id) execute function oms_place_guard();

create function oms_bin_location(p_bin uuid) returns uuid
language sql stable as $$
  select z.location_id from oms_bin b join oms_zone z on z.id = b.zone_id where b.id = p_bin
$$;
comment on function oms_bin_location(uuid) is 'internal: the location of a bin';
revoke all on function oms_bin_location(uuid) from public;

create function oms_need_bin(p_bin uuid, p_field text default null) returns uuid
language plpgsql stable as $$
declare
  loc constant uuid := oms_bin_location(p_bin);
begin
  if loc is null or not com_at(loc) then
    if p_field is null then
      perform app_fail('AP404', 'not_found', 'not found');
    end if;
    perform app_fail('AP422', 'not_found', 'does not name an existing bin', p_field);
  end if;
  return loc;
end $$;
comment on function oms_need_bin(uuid, text) is 'internal: refuses a bin that the caller does not see';
revoke all on function oms_need_bin(uuid, text) from public;

create function oms_need_qty(p_item uuid, p_qty numeric, p_field text default 'qty') returns void
language plpgsql stable as $$
declare
  i com_item;
begin
  select * into i from com_item where id = p_item;
  if i.id is null then
    perform app_fail('AP422', 'not_found', 'does not name an existing product', 'item_id');
  end if;
  if not i.is_stocked then
    perform app_fail('AP422', 'not_stocked', 'names a product that is not stocked', 'item_id');
  end if;
  if i.whole_units and p_qty <> trunc(p_qty) then
    perform app_fail('AP422', 'whole_units', 'must be a whole number for this product', p_field);
  end if;
end $$;
comment on function oms_need_qty(uuid, numeric, text) is 'internal: refuses quantities that a product cannot have';
revoke all on function oms_need_qty(uuid, numeric, text) from public;

create function oms_stock_locked(p_bin uuid, p_item uuid, p_lot text, p_expires date default null) returns oms_stock
language plpgsql as $$
declare
  s oms_stock;
begin
  insert into oms_stock (location_id, bin_id, item_id, lot, expires_on, may_go_negative)
  select oms_bin_location(b.id), b.id, p_item, p_lot, p_expires, b.allow_negative from oms_bin b where b.id = p_bin
  on conflict on constraint oms_stock_key do nothing;
  select * into s from oms_stock where bin_id = p_bin and item_id = p_item and lot = p_lot for update;
  return s;
end $$;
comment on function oms_stock_locked(uuid, uuid, text, date) is 'internal: the balance of a bin, product and lot, locked; made when there is none';
revoke all on function oms_stock_locked(uuid, uuid, text, date) from public;

-- The only writer of balances. Both rows are locked in one order; what leaves, leaves at average cost.
create function oms_move(
  p_item uuid,
  p_lot text,
  p_from uuid,
  p_to uuid,
  p_qty numeric,
  p_cost numeric,
  p_reason text,
  p_type text,
  p_source uuid,
  p_note text default null,
  p_expires date default null,
  p_from_reserved boolean default false
) returns uuid
language plpgsql as $$
declare
  cost numeric := p_cost;
  s oms_stock;
  bin uuid;
  move uuid;
begin
  perform oms_need_qty(p_item, p_qty);
  for bin in select x from unnest(array[p_from, p_to]) x where x is not null order by x loop
    perform oms_stock_locked(bin, p_item, p_lot, p_expires);
  end loop;
  if p_from is not null then
    select * into s from oms_stock where bin_id = p_from and item_id = p_item and lot = p_lot;
    if not p_from_reserved and not s.may_go_negative and s.available < p_qty then
      perform app_fail('AP409', 'insufficient_stock', format('Only %s are available, %s are asked for.', s.available, p_qty), 'qty');
    end if;
    cost := s.avg_cost;
    p_expires := coalesce(p_expires, s.expires_on);
    update oms_stock
    set on_hand = on_hand - p_qty, reserved = reserved - case when p_from_reserved then p_qty else 0 end
    where id = s.id;
  end if;
  if p_to is not null then
    update oms_stock
    set
      avg_cost = case
        when on_hand > 0 then round((on_hand * avg_cost + p_qty * coalesce(cost, 0)) / (on_hand + p_qty), 6)
        else coalesce(cost, 0)
      end,
      on_hand = on_hand + p_qty,
      last_in_at = now(),
      expires_on = coalesce(expires_on, p_expires)
    where bin_id = p_to and item_id = p_item and lot = p_lot;
  end if;
  insert into oms_stock_move (item_id, lot, from_bin, to_bin, qty, unit_cost, reason, note, source_type, source_id)
  values (p_item, p_lot, p_from, p_to, p_qty, coalesce(cost, 0), p_reason, p_note, p_type, p_source)
  returning id into move;
  return move;
end $$;
comment on function oms_move(uuid, text, uuid, uuid, numeric, numeric, text, text, uuid, text, date, boolean) is 'internal: moves goods into a bin, out of one, or between two';
revoke all on function oms_move(uuid, text, uuid, uuid, numeric, numeric, text, text, uuid, text, date, boolean) from public;

create function oms_lines(p_debit text, p_credit text, p_value numeric) returns jsonb
language sql immutable as $$
  select case
    when p_value > 0 then jsonb_build_array(
      jsonb_build_object('role', p_debit, 'debit', p_value),
      jsonb_build_object('role', p_credit, 'credit', p_value))
    else '[]'
  end
$$;
comment on function oms_lines(text, text, numeric) is 'internal: a double entry of two roles, none for nothing';
revoke all on function oms_lines(text, text, numeric) from public;

create function oms_stock_shown(p_bin uuid, p_item uuid, p_lot text) returns jsonb
language sql stable as $$
  select to_jsonb(s) - 'avg_cost' from oms_stock s where bin_id = p_bin and item_id = p_item and lot = p_lot
$$;
comment on function oms_stock_shown(uuid, uuid, text) is 'internal: the balance that an action leaves, as its caller may see it';
revoke all on function oms_stock_shown(uuid, uuid, text) from public;

create function oms_need_positive(p_qty numeric, p_field text default 'qty') returns void
language plpgsql as $$
begin
  if p_qty is null or p_qty <= 0 then
    perform app_fail('AP422', 'qty', 'must be greater than 0', p_field);
  end if;
end $$;
comment on function oms_need_positive(numeric, text) is 'internal: refuses quantities that are not above nothing';
revoke all on function oms_need_positive(numeric, text) from public;

create function oms_bin_open(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  loc constant uuid := oms_need_bin($1);
  item constant uuid := (input ->> 'item_id')::uuid;
  lot constant text := coalesce(input ->> 'lot', '');
  qty constant numeric := (input ->> 'qty')::numeric;
  cost constant numeric := (input ->> 'unit_cost')::numeric;
  move uuid;
  value numeric;
begin
  perform app_require('oms.stock.open');
  perform oms_need_positive(qty);
  if cost < 0 then
    perform app_fail('AP422', 'unit_cost', 'must be at least 0', 'unit_cost');
  end if;
  move := oms_move(item, lot, null, $1, qty, cost, 'opening', 'oms_bin', $1, null, (input ->> 'expires_on')::date);
  value := round(qty * cost, 2);
  perform sys_emit('oms.stock.opened', 'oms_stock_move', move, app_today(), loc, null, value, com_base(),
    oms_lines('inventory', 'opening_equity', value));
  return oms_stock_shown($1, item, lot);
end $$;
comment on function oms_bin_open(uuid, jsonb) is 'takes over stock that was there before the system';
revoke all on function oms_bin_open(uuid, jsonb) from public;

create function oms_bin_adjust(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  loc constant uuid := oms_need_bin($1);
  item constant uuid := (input ->> 'item_id')::uuid;
  lot constant text := coalesce(input ->> 'lot', '');
  qty constant numeric := (input ->> 'qty')::numeric;
  s oms_stock;
  move uuid;
  value numeric;
begin
  perform app_require('oms.stock.adjust');
  if qty = 0 then
    perform app_fail('AP422', 'qty', 'must not be 0', 'qty');
  end if;
  perform oms_need_qty(item, qty);
  s := oms_stock_locked($1, item, lot);
  value := round(abs(qty) * s.avg_cost, 2);
  if qty > 0 then
    move := oms_move(item, lot, null, $1, qty, s.avg_cost, 'adjust', 'oms_stock', s.id, input ->> 'note');
  else
    move := oms_move(item, lot, $1, null, -qty, null, 'adjust', 'oms_stock', s.id, input ->> 'note');
  end if;
  perform sys_emit('oms.stock.adjusted', 'oms_stock_move', move, app_today(), loc, null, value, com_base(),
    case when qty > 0 then oms_lines('inventory', 'stock_loss', value) else oms_lines('stock_loss', 'inventory', value) end);
  return oms_stock_shown($1, item, lot);
end $$;
comment on function oms_bin_adjust(uuid, jsonb) is 'adds to what lies in a bin, or takes from it';
revoke all on function oms_bin_adjust(uuid, jsonb) from public;

-- the counted quantity replaces that of the books; reserved goods cannot be counted away
create function oms_bin_count(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  loc constant uuid := oms_need_bin($1);
  item constant uuid := (input ->> 'item_id')::uuid;
  lot constant text := coalesce(input ->> 'lot', '');
  counted constant numeric := (input ->> 'counted')::numeric;
  s oms_stock;
  d numeric;
  move uuid;
  value numeric;
begin
  perform app_require('oms.stock.count');
  if counted < 0 then
    perform app_fail('AP422', 'counted', 'must be at least 0', 'counted');
  end if;
  perform oms_need_qty(item, counted, 'counted');
  s := oms_stock_locked($1, item, lot);
  d := counted - s.on_hand;
  if counted < s.reserved then
    perform app_fail('AP409', 'reserved', format('%s units are reserved; release them first.', s.reserved), 'counted');
  end if;
  if d <> 0 then
    value := round(abs(d) * s.avg_cost, 2);
    if d > 0 then
      move := oms_move(item, lot, null, $1, d, s.avg_cost, 'count', 'oms_stock', s.id, input ->> 'note');
    else
      move := oms_move(item, lot, $1, null, -d, null, 'count', 'oms_stock', s.id, input ->> 'note');
    end if;
    perform sys_emit('oms.stock.counted', 'oms_stock_move', move, app_today(), loc, null, value, com_base(),
      case when d > 0 then oms_lines('inventory', 'stock_loss', value) else oms_lines('stock_loss', 'inventory', value) end);
  end if;
  return oms_stock_shown($1, item, lot);
end $$;
comment on function oms_bin_count(uuid, jsonb) is 'writes down what was counted in a bin';
revoke all on function oms_bin_count(uuid, jsonb) from public;

create function oms_bin_transfer(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  item constant uuid := (input ->> 'item_id')::uuid;
  lot constant text := coalesce(input ->> 'lot', '');
  target constant uuid := (input ->> 'to_bin')::uuid;
begin
  perform app_require('oms.stock.transfer');
  perform oms_need_bin($1);
  perform oms_need_bin(target, 'to_bin');
  perform oms_need_positive((input ->> 'qty')::numeric);
  if target = $1 then
    perform app_fail('AP422', 'to_bin', 'must be another bin', 'to_bin');
  end if;
  perform oms_move(item, lot, $1, target, (input ->> 'qty')::numeric, null, 'transfer', 'oms_bin', $1);
  return oms_stock_shown($1, item, lot);
end $$;
comment on function oms_bin_transfer(uuid, jsonb) is 'moves goods to another bin';
revoke all on function oms_bin_transfer(uuid, jsonb) from public;
