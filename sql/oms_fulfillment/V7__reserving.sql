-- Stock is still locked row by row, but promised to all lines of an order by one statement: triggers and audit run once for each table.
-- First expiry first, then the way through the zones. Each row is read again under its lock: a concurrent winner shrinks what is left,
-- nobody sells it twice. Products come in one order, so two orders cannot wait for each other.
create or replace function oms_reserve(p_order uuid, p_allow_partial boolean default true) returns numeric
language plpgsql as $$
declare
  i record;
  s record;
  need numeric;
  got numeric;
  missing numeric := 0;
  stocks uuid[] := '{}';
  parts numeric[] := '{}';
begin
  for i in
    select ol.item_id, o.location_id, sum(ol.qty_open - ol.qty_reserved) as need
    from oms_order_line ol
    join oms_order o on o.id = ol.order_id
    join com_item c on c.id = ol.item_id and c.is_stocked
    where ol.order_id = p_order
    group by ol.item_id, o.location_id
    order by ol.item_id
  loop
    need := i.need;
    for s in
      select st.id
      from oms_stock st
      join oms_bin b on b.id = st.bin_id
      join oms_zone z on z.id = b.zone_id
      where st.item_id = i.item_id
        and not b.blocked
        and z.kind in ('picking', 'storage')
        and (i.location_id is null or st.location_id = i.location_id)
        and st.on_hand > st.reserved
        and (st.expires_on is null or st.expires_on > app_today())
      order by st.expires_on nulls last, z.pick_sequence, b.pick_sequence, st.id
    loop
      exit when need <= 0;
      select least(need, st.available) into got from oms_stock st where st.id = s.id for update;
      continue when got <= 0;
      stocks := stocks || s.id;
      parts := parts || got;
      need := need - got;
    end loop;
    missing := missing + need;
  end loop;
  if missing > 0 and not p_allow_partial then
    perform app_fail('AP409', 'insufficient_stock', format('%s units are missing.', missing));
  end if;
  -- lines and parts of a product are laid side by side from 0: where they overlap, a part is promised to a line
  with found as (
    select st.id, st.location_id, st.item_id, p.qty, sum(p.qty) over (partition by st.item_id order by p.n) - p.qty as at
    from unnest(stocks, parts) with ordinality p (id, qty, n)
    join oms_stock st on st.id = p.id),
  wanted as (
    select l.id, l.item_id, l.need, sum(l.need) over (partition by l.item_id order by l.id) - l.need as at
    from (select id, item_id, qty_open - qty_reserved as need from oms_order_line where order_id = p_order) l
    where l.need > 0),
  taken as (
    update oms_stock st set reserved = st.reserved + f.qty from found f where st.id = f.id),
  promised as (
    insert into oms_reservation (location_id, order_line_id, stock_id, qty)
    select f.location_id, w.id, f.id, least(f.at + f.qty, w.at + w.need) - greatest(f.at, w.at)
    from wanted w
    join found f on f.item_id = w.item_id and f.at < w.at + w.need and w.at < f.at + f.qty
    order by w.id, f.at
    returning order_line_id, qty)
  update oms_order_line l set qty_reserved = l.qty_reserved + p.qty
  from (select order_line_id, sum(qty) as qty from promised group by order_line_id) p
  where l.id = p.order_line_id;
  return missing;
end $$;
