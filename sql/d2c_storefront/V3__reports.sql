-- Reports. All run with the caller's rights.

create view shop_v_funnel with (security_invoker = true) as
select
  c.store_id,
  app_date(c.created_at) as day,
  count(*) as carts,
  count(*) filter (where l.any) as with_items,
  count(*) filter (where c.checkout_at is not null) as checkouts,
  count(*) filter (where c.state = 'ordered') as orders,
  round(count(*) filter (where c.state = 'ordered') * 100.0 / nullif(count(*) filter (where l.any), 0), 1) as conversion_pct,
  coalesce(sum(c.total) filter (where c.state = 'ordered'), 0) as revenue,
  round(avg(c.total) filter (where c.state = 'ordered'), 2) as aov
from shop_cart c
cross join lateral (select exists (select from shop_cart_line x where x.cart_id = c.id) as any) l
group by c.store_id, 2;
comment on view shop_v_funnel is 'carts of a day: how many became orders, and what they were worth';

create view shop_v_abandoned with (security_invoker = true) as
select
  c.id,
  c.store_id,
  c.email,
  c.phone,
  c.updated_at,
  count(l.id) as lines,
  sum(round(l.qty * coalesce(l.unit_price, i.list_price), 2)) as value
from shop_cart c
join shop_cart_line l on l.cart_id = c.id
join shop_listing x on x.id = l.listing_id
join com_item i on i.id = x.item_id
where c.state in ('open', 'checkout') and c.updated_at < now() - interval '1 hour'
group by c.id;
comment on view shop_v_abandoned is 'carts that nobody has touched for an hour';

create view shop_v_best_sellers with (security_invoker = true) as
select
  s.id as store_id,
  date_trunc('month', o.ordered_on)::date as month,
  l.item_id,
  i.name,
  sum(l.qty - l.qty_cancelled) as units,
  sum(round(l.net * (l.qty - l.qty_cancelled) / l.qty, 2)) as revenue,
  sum(l.qty_returned) as returned,
  round(avg(r.rating), 2) as rating
from shop_store s
join oms_order o on o.channel = 'web:' || s.code and o.state not in ('draft', 'held', 'cancelled')
join oms_order_line l on l.order_id = o.id
join com_item i on i.id = l.item_id
left join shop_review r on r.order_line_id = l.id and r.state = 'published'
group by 1, 2, 3, 4;
comment on view shop_v_best_sellers is 'units and revenue of a month by product';

create view shop_v_out_of_stock with (security_invoker = true) as
select
  x.store_id,
  x.id as listing_id,
  x.title,
  x.item_id,
  coalesce(sum(st.available), 0) as available
from shop_listing x
join shop_store s on s.id = x.store_id
left join (
  oms_stock st
  join oms_bin b on b.id = st.bin_id and not b.blocked
  join oms_zone z on z.id = b.zone_id and z.kind in ('storage', 'picking'))
  on st.item_id = x.item_id and st.location_id = s.location_id
where x.state = 'published'
group by x.id
having coalesce(sum(st.available), 0) <= 0;
comment on view shop_v_out_of_stock is 'published listings that cannot be shipped';

create view shop_v_repeat with (security_invoker = true) as
with f as (
  select party_id, min(ordered_on) as first_on
  from oms_order
  where channel like 'web:%' and party_id is not null and state not in ('draft', 'held', 'cancelled')
  group by party_id)
select
  date_trunc('month', f.first_on)::date as cohort,
  (extract(year from a.age) * 12 + extract(month from a.age))::int as month_no,
  count(distinct o.party_id) as customers
from f
join oms_order o on o.party_id = f.party_id and o.channel like 'web:%' and o.state not in ('draft', 'held', 'cancelled')
cross join lateral (select age(date_trunc('month', o.ordered_on), date_trunc('month', f.first_on)) as age) a
group by 1, 2;
comment on view shop_v_repeat is 'customers of a month who came back, by months since';
