-- What a shop shows to anybody, who need not sign in: stores, their published listings with price and stock, delivery, reviews.

-- Called once per statement from row security: (select shop_anybody())
create function shop_anybody() returns boolean
language sql stable as $$
  select app_uid() is null and app_has('store.carts.shop')
$$;
comment on function shop_anybody() is 'is the caller a shopper who is not signed in';
revoke all on function shop_anybody() from public;

-- runs as the owner of the tables: shoppers see no stock, only whether there is some
create function shop_in_stock(p_item uuid, p_location uuid) returns boolean
language sql stable security definer set search_path from current as $$
  select not is_stocked or exists (
    select from oms_stock s
    join oms_bin b on b.id = s.bin_id and not b.blocked
    join oms_zone z on z.id = b.zone_id and z.kind in ('storage', 'picking')
    where s.item_id = p_item and s.location_id = p_location and s.on_hand > s.reserved
      and (s.expires_on is null or s.expires_on > app_today()))
  from com_item
  where id = p_item
$$;
comment on function shop_in_stock(uuid, uuid) is 'can any of a product be shipped from a location';
revoke all on function shop_in_stock(uuid, uuid) from public;

create view shop_v_shop with (security_invoker = true) as
select id, code, name, currency
from shop_store
where active;
comment on view shop_v_shop is 'stores that sell, as shoppers see them';

create view shop_v_catalogue with (security_invoker = true) as
select
  x.id,
  x.store_id,
  s.code as store,
  x.slug,
  x.title,
  x.body,
  x.images,
  i.category,
  x.max_per_order,
  com_price_for(s.price_list_id, x.item_id, 1, app_today()) as price,
  s.currency,
  shop_in_stock(x.item_id, s.location_id) as in_stock
from shop_listing x
join shop_store s on s.id = x.store_id and s.active
join com_item i on i.id = x.item_id and i.state = 'active'
where x.state = 'published';
comment on view shop_v_catalogue is 'what can be bought, with price and stock, as shoppers see it';

create view shop_v_delivery with (security_invoker = true) as
select r.id, r.store_id, r.name, r.state_code, r.weight_g, r.min_amount, r.price, r.cod
from shop_shipping_rate r
join shop_store s on s.id = r.store_id and s.active;
comment on view shop_v_delivery is 'ways of delivery, as shoppers see them';

create view shop_v_review with (security_invoker = true) as
select id, listing_id, rating, body, app_date(created_at) as written_on
from shop_review
where state = 'published';
comment on view shop_v_review is 'reviews, as shoppers see them';

create or replace function shop_store_seen(p_store uuid) returns shop_store
language plpgsql stable as $$
declare
  s shop_store;
begin
  select * into s from shop_store where id = p_store;
  if s.id is null or not (com_at(s.location_id) or shop_anybody() and s.active) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return s;
end $$;
