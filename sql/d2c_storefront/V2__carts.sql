-- Carts from the first product to the paid order.

create function shop_digest(p_token text) returns bytea
language sql immutable as $$
  select sha256(convert_to(p_token, 'UTF8'))
$$;
comment on function shop_digest(text) is 'internal: a digest of a shopper''s token';
revoke all on function shop_digest(text) from public;

-- the maker of carts
create function shop_cart_open(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
  s shop_store;
begin
  perform app_require('store.carts.shop');
  s := shop_store_seen((input ->> 'store_id')::uuid);
  if not s.active then
    perform app_fail('AP409', 'store_closed', 'The store is closed.', 'store_id');
  end if;
  if length(input ->> 'token') < 20 then
    perform app_fail('AP422', 'token', 'must have at least 20 characters', 'token');
  end if;
  insert into shop_cart (id, store_id, token_hash, utm)
  values ($1, s.id, shop_digest(input ->> 'token'), coalesce(input -> 'utm', '{}'))
  returning * into c;
  perform set_config('app.cart', c.id::text, true);
  return to_jsonb(c) - 'token_hash';
end $$;
comment on function shop_cart_open(uuid, jsonb) is 'an empty cart for the bearer of a token';
revoke all on function shop_cart_open(uuid, jsonb) from public;

create function shop_cart_of(p_id uuid, p_token text) returns shop_cart
language plpgsql as $$
declare
  c shop_cart;
begin
  select * into c from shop_cart where id = p_id and token_hash = shop_digest(p_token) for update;
  if c.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform shop_store_seen(c.store_id);
  perform set_config('app.cart', c.id::text, true);
  return c;
end $$;
comment on function shop_cart_of(uuid, text) is 'internal: the cart of the bearer of a token, locked';
revoke all on function shop_cart_of(uuid, text) from public;

create function shop_cart_shown(p_id uuid) returns jsonb
language plpgsql as $$
declare
  c shop_cart;
begin
  update shop_cart k
  set lines = coalesce((
    select jsonb_agg(jsonb_build_object(
      'listing_id', l.listing_id,
      'title', x.title,
      'qty', l.qty,
      'unit_price', coalesce(l.unit_price, com_price_for(s.price_list_id, x.item_id, l.qty, app_today()))) order by l.id)
    from shop_cart_line l
    join shop_listing x on x.id = l.listing_id
    join shop_store s on s.id = x.store_id
    where l.cart_id = k.id), '[]')
  where k.id = p_id
  returning * into c;
  return to_jsonb(c) - 'token_hash';
end $$;
comment on function shop_cart_shown(uuid) is 'internal: a cart as its shopper sees it, with its lines';
revoke all on function shop_cart_shown(uuid) from public;

create function shop_cart_show(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of($1, input ->> 'token');
  return shop_cart_shown(c.id);
end $$;
comment on function shop_cart_show(uuid, jsonb) is 'a cart with its lines';
revoke all on function shop_cart_show(uuid, jsonb) from public;

create function shop_cart_put(p_cart shop_cart, p_listing uuid, p_qty numeric) returns void
language plpgsql as $$
declare
  x shop_listing;
  whole boolean;
begin
  perform com_need_state(p_cart.state, 'open');
  if p_qty = 0 then
    delete from shop_cart_line where cart_id = p_cart.id and listing_id = p_listing;
    return;
  end if;
  select * into x from shop_listing where id = p_listing and store_id = p_cart.store_id and state = 'published';
  if x.id is null then
    perform app_fail('AP422', 'not_found', 'does not name a published listing of this store', 'listing_id');
  end if;
  select whole_units into whole from com_item where id = x.item_id;
  if p_qty < 0 or (whole and p_qty <> trunc(p_qty)) or p_qty > coalesce(x.max_per_order, p_qty) then
    perform app_fail('AP422', 'qty', 'is not a quantity that can be bought', 'qty');
  end if;
  insert into shop_cart_line (cart_id, listing_id, qty) values (p_cart.id, p_listing, p_qty)
  on conflict on constraint shop_cart_line_key do update set qty = excluded.qty;
end $$;
comment on function shop_cart_put(shop_cart, uuid, numeric) is 'internal: so much of a listing lies in an open cart';
revoke all on function shop_cart_put(shop_cart, uuid, numeric) from public;

create function shop_cart_add(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
  there numeric;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of($1, input ->> 'token');
  select l.qty into there from shop_cart_line l where l.cart_id = c.id and l.listing_id = (input ->> 'listing_id')::uuid;
  perform shop_cart_put(c, (input ->> 'listing_id')::uuid, coalesce(there, 0) + coalesce((input ->> 'qty')::numeric, 1));
  return shop_cart_shown(c.id);
end $$;
comment on function shop_cart_add(uuid, jsonb) is 'puts something into a cart';
revoke all on function shop_cart_add(uuid, jsonb) from public;

create function shop_cart_set_qty(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of($1, input ->> 'token');
  perform shop_cart_put(c, (input ->> 'listing_id')::uuid, (input ->> 'qty')::numeric);
  return shop_cart_shown(c.id);
end $$;
comment on function shop_cart_set_qty(uuid, jsonb) is 'changes how much of something lies in a cart';
revoke all on function shop_cart_set_qty(uuid, jsonb) from public;

create function shop_cart_remove(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of($1, input ->> 'token');
  perform shop_cart_put(c, (input ->> 'listing_id')::uuid, 0);
  return shop_cart_shown(c.id);
end $$;
comment on function shop_cart_remove(uuid, jsonb) is 'takes something out of a cart';
revoke all on function shop_cart_remove(uuid, jsonb) from public;

create function shop_cart_address(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of($1, input ->> 'token');
  perform com_need_state(c.state, 'open');
  if not exists (select from shop_shipping_rate r where r.id = (input ->> 'shipping_rate_id')::uuid and r.store_id = c.store_id) then
    perform app_fail('AP422', 'not_found', 'does not name a shipping rate of this store', 'shipping_rate_id');
  end if;
  update shop_cart
  set
    email = coalesce(input ->> 'email', email),
    phone = coalesce(input ->> 'phone', phone),
    ship_to = input -> 'ship_to',
    shipping_rate_id = (input ->> 'shipping_rate_id')::uuid
  where id = c.id;
  return shop_cart_shown(c.id);
end $$;
comment on function shop_cart_address(uuid, jsonb) is 'where the goods go, and how';
revoke all on function shop_cart_address(uuid, jsonb) from public;

-- Carts are locked before their orders, here and in shop_payment_capture; a hold that is being paid is skipped.
create function shop_expire_holds(p_store uuid) returns int
language plpgsql as $$
declare
  c shop_cart;
  o oms_order;
  n int := 0;
begin
  for c in
    select x.* from shop_cart x
    where x.state = 'checkout' and x.store_id = p_store
      and exists (select from oms_order h where h.id = x.order_id and h.state = 'held' and h.hold_until < now())
    order by x.id
    for update skip locked
  loop
    o := oms_drop_hold(c.order_id, 'hold expired');
    update shop_cart set state = 'open', goods = null, discount = null, shipping = null, total = null where id = c.id;
    perform sys_emit('d2c.hold.expired', 'oms_order', o.id, app_today(), o.location_id, o.party_id, null, o.currency);
    n := n + 1;
  end loop;
  return n;
end $$;
comment on function shop_expire_holds(uuid) is 'internal: gives back what was held too long; says how many orders';
revoke all on function shop_expire_holds(uuid) from public;

create function shop_store_expire_holds(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s shop_store;
begin
  perform app_require('store.payments.capture');
  s := shop_store_seen($1);
  return to_jsonb(s) || jsonb_build_object('expired', shop_expire_holds(s.id));
end $$;
comment on function shop_store_expire_holds(uuid, jsonb) is 'gives back what was held too long';
revoke all on function shop_store_expire_holds(uuid, jsonb) from public;

-- The cart's discount is spread over the lines by value; the last line takes what rounding leaves.
create function shop_order_lines(p_cart uuid, p_goods numeric, p_discount numeric) returns jsonb
language sql stable as $$
  select jsonb_agg(jsonb_build_object(
    'item_id', item_id,
    'qty', qty,
    'unit_price', unit_price,
    'discount', case when n = of_all then p_discount - before else part end) order by n)
  from (
    select p.*, coalesce(sum(part) over (order by n rows between unbounded preceding and 1 preceding), 0) as before
    from (
      select
        row_number() over (order by round(l.qty * l.unit_price, 2), l.id) as n,
        count(*) over () as of_all,
        x.item_id,
        l.qty,
        l.unit_price,
        case when p_goods > 0 then trunc(p_discount * round(l.qty * l.unit_price, 2) / p_goods, 2) else 0 end as part
      from shop_cart_line l
      join shop_listing x on x.id = l.listing_id
      where l.cart_id = p_cart) p) q
$$;
comment on function shop_order_lines(uuid, numeric, numeric) is 'internal: the lines of a cart as those of an order';
revoke all on function shop_order_lines(uuid, numeric, numeric) from public;

create function shop_cart_checkout(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
  s shop_store;
  bad text;
  worth numeric;
  off numeric;
  fee numeric;
  weight int;
  made uuid;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of($1, input ->> 'token');
  select * into s from shop_store where id = c.store_id;
  perform com_need_state(c.state, 'open');
  if c.ship_to is null or (c.email is null and c.phone is null) then
    perform app_fail('AP422', 'address', 'An address and a contact are needed.');
  end if;
  perform shop_expire_holds(s.id);
  update shop_cart_line l set unit_price = com_price_for(s.price_list_id, x.item_id, l.qty, app_today())
  from shop_listing x where l.cart_id = c.id and x.id = l.listing_id;
  select min(x.title) into bad
  from shop_cart_line l join shop_listing x on x.id = l.listing_id join com_item i on i.id = x.item_id
  where l.cart_id = c.id
    and (x.state <> 'published' or i.state <> 'active' or l.qty > coalesce(x.max_per_order, l.qty) or x.store_id <> c.store_id);
  if bad is not null then
    perform app_fail('AP422', 'listing', format('%s cannot be bought.', bad));
  end if;
  select sum(round(l.qty * l.unit_price, 2)), coalesce(sum(l.qty * coalesce(i.weight_g, 0)), 0)::int into worth, weight
  from shop_cart_line l join shop_listing x on x.id = l.listing_id join com_item i on i.id = x.item_id
  where l.cart_id = c.id;
  if worth is null then
    perform app_fail('AP422', 'empty', 'The cart is empty.');
  end if;
  select least(coalesce(sum(a.amount), 0), worth) into off from shop_adjustment a where a.cart_id = c.id;
  select r.price into fee from shop_shipping_rate r
  where r.id = c.shipping_rate_id and r.store_id = c.store_id
    and (r.state_code is null or r.state_code = c.ship_to ->> 'state_code') and worth - off >= r.min_amount and r.weight_g @> weight;
  if fee is null then
    perform app_fail('AP422', 'shipping', 'The shipping rate does not apply to this cart.');
  end if;
  made := oms_hold('web:' || s.code, c.id || '/' || (c.attempt + 1), c.party_id, s.location_id, s.currency, c.ship_to,
    now() + make_interval(mins => s.hold_minutes), shop_order_lines(c.id, worth, off));
  update shop_cart
  set
    state = 'checkout',
    order_id = made,
    attempt = c.attempt + 1,
    checkout_at = now(),
    goods = worth,
    discount = off,
    shipping = fee,
    total = worth - off + fee
  where id = c.id;
  return shop_cart_shown(c.id);
end $$;
comment on function shop_cart_checkout(uuid, jsonb) is 'fixes the price of a cart and holds the goods, all of them or none';
revoke all on function shop_cart_checkout(uuid, jsonb) from public;

-- the maker of payments
create function shop_payment_begin(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
  p shop_payment;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of((input ->> 'cart_id')::uuid, input ->> 'token');
  perform com_need_state(c.state, 'checkout');
  if c.total = 0 then
    perform app_fail('AP422', 'nothing_due', 'There is nothing to pay.');
  end if;
  insert into shop_payment (id, cart_id, store_id, gateway, gateway_ref, amount)
  values ($1, c.id, c.store_id, input ->> 'gateway', input ->> 'gateway_ref', c.total)
  returning * into p;
  return to_jsonb(p);
end $$;
comment on function shop_payment_begin(uuid, jsonb) is 'writes down a payment that the gateway has begun';
revoke all on function shop_payment_begin(uuid, jsonb) from public;

-- Safe to repeat. Money that arrives when the promise cannot be kept is written down and due back: never lost, never sold twice.
create function shop_payment_capture(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p shop_payment;
  c shop_cart;
  o oms_order;
  came constant numeric := (input ->> 'amount')::numeric;
begin
  perform app_require('store.payments.capture');
  select * into p from shop_payment where id = $1;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform shop_store_seen(p.store_id);
  select * into c from shop_cart where id = p.cart_id for update;
  select * into p from shop_payment where id = p.id for update;
  if p.state in ('captured', 'refund_due', 'refunded') then
    return to_jsonb(p);
  end if;
  if came <= 0 then
    perform app_fail('AP422', 'amount', 'must be greater than 0', 'amount');
  end if;
  select * into o from oms_order where id = c.order_id for update;
  if came is distinct from c.total or o.state is distinct from 'held' or o.hold_until < now() then
    update shop_payment set amount = greatest(amount, came), captured = came, state = 'refund_due' where id = p.id returning * into p;
    return to_jsonb(p);
  end if;
  update shop_payment set captured = came, state = 'captured' where id = p.id returning * into p;
  update shop_cart set state = 'ordered' where id = c.id;
  perform oms_confirm(o.id, false);
  perform sys_emit('d2c.order.paid', 'oms_order', o.id, app_today(), o.location_id, o.party_id, c.total, o.currency);
  return to_jsonb(p);
end $$;
comment on function shop_payment_capture(uuid, jsonb) is 'the gateway says that money has arrived';
revoke all on function shop_payment_capture(uuid, jsonb) from public;

-- the gateway itself is called by who asks for this
create function shop_payment_refund(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p shop_payment;
  back constant numeric := (input ->> 'amount')::numeric;
begin
  perform app_require('store.payments.refund');
  select * into p from shop_payment where id = $1 for update;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform shop_store_seen(p.store_id);
  perform com_need_state(p.state, 'captured', 'refund_due');
  if back <= 0 or back > p.captured - p.refunded then
    perform app_fail('AP422', 'amount', format('must be more than 0 and at most %s', p.captured - p.refunded), 'amount');
  end if;
  update shop_payment
  set refunded = refunded + back, state = case when refunded + back = captured then 'refunded' else state end
  where id = p.id
  returning * into p;
  return to_jsonb(p);
end $$;
comment on function shop_payment_refund(uuid, jsonb) is 'money goes back to the shopper';
revoke all on function shop_payment_refund(uuid, jsonb) from public;
