-- Reports. All run with the caller's rights, but for the value of the stock, which asks for the right to see costs.

create view oms_v_stock with (security_invoker = true) as
select
  s.location_id,
  z.kind as zone_kind,
  z.code as zone,
  b.code as bin,
  s.item_id,
  i.sku,
  i.name,
  s.lot,
  s.expires_on,
  s.on_hand,
  s.reserved,
  s.available,
  app_today() - app_date(s.last_in_at) as age_days
from oms_stock s
join oms_bin b on b.id = s.bin_id
join oms_zone z on z.id = b.zone_id
join com_item i on i.id = s.item_id
where s.on_hand <> 0 or s.reserved <> 0;
comment on view oms_v_stock is 'what lies where';

create function oms_stock_value(p_item_id uuid default null)
returns table (location_id uuid, location text, item uuid, sku text, name text, on_hand numeric, unit_cost numeric, value numeric)
language plpgsql stable security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('products.cost.view');
  return query
    select s.location_id, l.code, s.item_id, i.sku, i.name, sum(s.on_hand),
      round(sum(s.on_hand * s.avg_cost) / nullif(sum(s.on_hand), 0), 6), sum(round(s.on_hand * s.avg_cost, 2))
    from oms_stock s
    join com_item i on i.id = s.item_id
    join sys_location l on l.id = s.location_id
    where s.on_hand <> 0 and com_at(s.location_id) and (p_item_id is null or s.item_id = p_item_id)
    group by s.location_id, l.code, s.item_id, i.sku, i.name;
end $$;
comment on function oms_stock_value(uuid) is 'what the stock is worth at average cost, by product and location';
revoke all on function oms_stock_value(uuid) from public;

create view oms_v_stock_audit with (security_invoker = true) as
with m as (
  select bin, item_id, lot, sum(q) as q
  from (
    select to_bin as bin, item_id, lot, qty as q from oms_stock_move where to_bin is not null
    union all
    select from_bin, item_id, lot, -qty from oms_stock_move where from_bin is not null) x
  group by bin, item_id, lot),
r as (
  select stock_id, sum(qty) as q from oms_reservation where state in ('reserved', 'picked') group by stock_id)
select
  s.id,
  s.bin_id,
  s.item_id,
  s.lot,
  s.on_hand,
  coalesce(m.q, 0) as by_moves,
  s.reserved,
  coalesce(r.q, 0) as by_reservations
from oms_stock s
left join m on (m.bin, m.item_id, m.lot) = (s.bin_id, s.item_id, s.lot)
left join r on r.stock_id = s.id
where s.on_hand <> coalesce(m.q, 0) or s.reserved <> coalesce(r.q, 0);
comment on view oms_v_stock_audit is 'always empty: a balance is the sum of its moves, and what is reserved is the sum of the open reservations';

create view oms_v_backlog with (security_invoker = true) as
select
  o.id,
  o.number,
  o.channel,
  o.location_id,
  o.party_id,
  o.ordered_on,
  o.promised_on,
  o.priority,
  o.state,
  sum(l.qty_open) as open_qty,
  sum(l.qty_open - l.qty_reserved) as backorder_qty,
  round(sum(l.qty_open * (l.net / l.qty)), 2) as open_value,
  o.promised_on < app_today() as late
from oms_order o
join oms_order_line l on l.order_id = o.id
where o.state in ('confirmed', 'partly_shipped')
group by o.id
having sum(l.qty_open) > 0;
comment on view oms_v_backlog is 'orders that wait to be shipped';

create view oms_v_service_level with (security_invoker = true) as
select
  s.location_id,
  date_trunc('month', app_date(s.shipped_at))::date as month,
  count(*) as shipments,
  sum(x.units) as units,
  round(avg((app_date(s.shipped_at) <= coalesce(o.promised_on, app_date(s.shipped_at)))::int) * 100, 1) as on_time_ship_pct,
  round(avg((o.state <> 'partly_shipped' and not exists (
    select from oms_shipment s2 where s2.order_id = o.id and s2.id <> s.id and s2.state <> 'cancelled'))::int) * 100, 1)
    as complete_first_shipment_pct,
  round(avg(extract(epoch from s.shipped_at - o.created_at) / 3600), 1) as avg_hours_to_ship
from oms_shipment s
join oms_order o on o.id = s.order_id
cross join lateral (
  select sum(r.qty) as units from oms_reservation r where r.shipment_id = s.id and r.state = 'shipped') x
where s.state in ('shipped', 'delivered')
group by s.location_id, 2;
comment on view oms_v_service_level is 'shipments by location and month: on time, complete at once, how fast';
