-- Example data: a shop with listings, and carts: one that became a paid order, one in checkout, one that lies around.

do $$
declare
  boss constant uuid := (
    select ur.user_id from sys_user_role ur join sys_role r on r.id = ur.role_id where r.code = 'owner' limit 1);
  place constant uuid := (select id from sys_location where code = 'BLR');
  shop uuid;
  rate uuid;
  cart uuid;
  paid uuid;
  bearer text;
  x record;
  row jsonb;
begin
  perform set_config('app.user_id', boss::text, true);
  perform set_config('app.perms', '*', true);
  perform set_config('app.action', 'demo', true);

  insert into shop_store (code, name, location_id, price_list_id)
  values ('main', 'Test Company Shop', place, (select id from com_price_list where code = 'RETAIL')) returning id into shop;
  insert into shop_shipping_rate (store_id, name, price) values (shop, 'Standard', 60) returning id into rate;
  insert into shop_shipping_rate (store_id, name, min_amount, price) values (shop, 'Free from 2,000', 2000, 0);
  for x in select * from com_item where is_stocked order by sku loop
    insert into shop_listing (store_id, item_id, slug, title, images, max_per_order)
    values (shop, x.id, lower(x.sku), x.name, jsonb_build_array('/media/' || lower(x.sku) || '.jpg'), 5)
    returning id into cart;
    if x.sku <> 'BAG-JUT' then
      perform shop_listing_publish(cart, '{}');
    end if;
  end loop;

  for n in 1 .. 4 loop
    bearer := 'demo-shopper-' || lpad(n::text, 12, '0');
    cart := uuid_v7();
    perform shop_cart_open(cart, jsonb_build_object('store_id', shop, 'token', bearer));
    for x in select id from shop_listing where state = 'published' order by slug offset n limit 2 loop
      perform shop_cart_add(cart, jsonb_build_object('token', bearer, 'listing_id', x.id, 'qty', n % 3 + 1));
    end loop;
    continue when n = 4;
    perform shop_cart_address(cart, jsonb_build_object('token', bearer, 'email', 'shopper' || n || '@mail.example',
      'ship_to', '{"name": "A Shopper", "city": "Bengaluru", "state_code": "29", "pincode": "560001"}'::jsonb, 'shipping_rate_id', rate));
    row := shop_cart_checkout(cart, jsonb_build_object('token', bearer));
    continue when n = 3;
    paid := uuid_v7();
    perform shop_payment_begin(paid, jsonb_build_object('cart_id', cart, 'token', bearer, 'gateway', 'payline', 'gateway_ref', 'PL-' || (5000 + n)));
    perform shop_payment_capture(paid, jsonb_build_object('amount', row -> 'total'));
  end loop;

  perform set_config('app.user_id', '', true);
  perform set_config('app.perms', '', true);
  perform set_config('app.action', '', true);
  perform set_config('app.cart', '', true);
end $$;
