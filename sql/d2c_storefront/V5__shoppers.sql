-- What a shopper does with the token of a cart besides buying: following the order, paying at the door, and telling how it was. And what
-- happens to carts by themselves.

alter table shop_cart
  add column order_shown jsonb,
  add column review jsonb;
comment on column shop_cart.order_shown is 'number, state and shipments of the order, as its shopper sees them';
comment on column shop_cart.review is 'what the shopper said of the goods last';

create or replace function shop_cart_shown(p_id uuid) returns jsonb
language plpgsql as $$
declare
  c shop_cart;
begin
  update shop_cart k
  set
    lines = coalesce((
      select jsonb_agg(jsonb_build_object(
        'listing_id', l.listing_id,
        'title', x.title,
        'qty', l.qty,
        'unit_price', coalesce(l.unit_price, com_price_for(s.price_list_id, x.item_id, l.qty, app_today()))) order by l.id)
      from shop_cart_line l
      join shop_listing x on x.id = l.listing_id
      join shop_store s on s.id = x.store_id
      where l.cart_id = k.id), '[]'),
    order_shown = case when k.state = 'ordered' then (
      select jsonb_build_object('number', o.number, 'state', o.state, 'shipments', coalesce((
        select jsonb_agg(jsonb_build_object('state', p.state, 'carrier', p.carrier, 'tracking_no', p.tracking_no) order by p.id)
        from oms_shipment p
        where p.order_id = o.id and p.state <> 'cancelled'), '[]'))
      from oms_order o
      where o.id = k.order_id) end
  where k.id = p_id
  returning * into c;
  return to_jsonb(c) - 'token_hash';
end $$;

-- A hold that staff gave up, by cancelling the order, ends the checkout too.
create or replace function shop_expire_holds(p_store uuid) returns int
language plpgsql as $$
declare
  c shop_cart;
  o oms_order;
  n int := 0;
begin
  for c in
    select x.* from shop_cart x
    where x.state = 'checkout' and x.store_id = p_store
      and exists (
        select from oms_order h
        where h.id = x.order_id and (h.state = 'cancelled' or h.state = 'held' and h.hold_until < now()))
    order by x.id
    for update skip locked
  loop
    select * into o from oms_order where id = c.order_id;
    if o.state = 'held' then
      o := oms_drop_hold(c.order_id, 'hold expired');
    end if;
    update shop_cart set state = 'open', goods = null, discount = null, shipping = null, total = null where id = c.id;
    perform sys_emit('d2c.hold.expired', 'oms_order', o.id, app_today(), o.location_id, o.party_id, null, o.currency);
    n := n + 1;
  end loop;
  return n;
end $$;

create function shop_expire_all_holds() returns int
language sql security definer set search_path from current as $$
  select coalesce(sum(shop_expire_holds(s.id)), 0)::int from (select id from shop_store order by id) s
$$;
comment on function shop_expire_all_holds() is 'gives back what was held too long in all stores; says how many orders';
revoke all on function shop_expire_all_holds() from public;

create function shop_expire_carts() returns int
language sql security definer set search_path from current as $$
  with old as (
    select id from shop_cart
    where state = 'open' and updated_at < now() - interval '30 days'
    order by updated_at
    limit 1000
    for update skip locked),
  gone as (
    update shop_cart c set state = 'expired' from old where c.id = old.id returning 1)
  select count(*)::int from gone
$$;
comment on function shop_expire_carts() is 'ends carts that nobody has touched for thirty days; says how many';
revoke all on function shop_expire_carts() from public;

-- pays the carrier, up to the limit of the store, where the way of delivery allows it
create function shop_cart_pay_on_delivery(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
  o oms_order;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of($1, input ->> 'token');
  perform com_need_state(c.state, 'checkout');
  if not exists (
    select from shop_store s join shop_shipping_rate r on r.id = c.shipping_rate_id and r.cod
    where s.id = c.store_id and c.total <= s.cod_limit) then
    perform app_fail('AP422', 'no_cash', 'This order cannot be paid on delivery.');
  end if;
  select * into o from oms_order where id = c.order_id for update;
  if o.state is distinct from 'held' or o.hold_until < now() then
    perform app_fail('AP409', 'hold_expired', 'The goods are no longer held; check out again.');
  end if;
  update shop_cart set state = 'ordered' where id = c.id;
  perform oms_confirm(o.id, false);
  return shop_cart_shown(c.id);
end $$;
comment on function shop_cart_pay_on_delivery(uuid, jsonb) is 'orders what is held, to be paid to the carrier';
revoke all on function shop_cart_pay_on_delivery(uuid, jsonb) from public;

create function shop_cart_review(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  c shop_cart;
  line uuid;
begin
  perform app_require('store.carts.shop');
  c := shop_cart_of($1, input ->> 'token');
  select l.id into line
  from oms_order_line l join shop_listing x on x.item_id = l.item_id and x.id = (input ->> 'listing_id')::uuid
  where c.state = 'ordered' and l.order_id = c.order_id
  limit 1;
  if line is null then
    perform app_fail('AP422', 'not_found', 'does not name goods that this cart has ordered', 'listing_id');
  end if;
  if exists (select from shop_review where order_line_id = line) then
    perform app_fail('AP409', 'already_reviewed', 'These goods have been reviewed.');
  end if;
  insert into shop_review (order_line_id, listing_id, rating, body)
  values (line, (input ->> 'listing_id')::uuid, (input ->> 'rating')::int, input ->> 'body');
  update shop_cart set review = input - 'token' where id = c.id;
  return shop_cart_shown(c.id);
end $$;
comment on function shop_cart_review(uuid, jsonb) is 'tells how the goods were that came; a moderator decides whether others read it';
revoke all on function shop_cart_review(uuid, jsonb) from public;

create function shop_payment_fail(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p shop_payment;
begin
  perform app_require('store.payments.capture');
  select * into p from shop_payment where id = $1 for update;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform shop_store_seen(p.store_id);
  if p.state = 'failed' then
    return to_jsonb(p);
  end if;
  perform com_need_state(p.state, 'created');
  update shop_payment set state = 'failed' where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function shop_payment_fail(uuid, jsonb) is 'the gateway says that no money will come';
revoke all on function shop_payment_fail(uuid, jsonb) from public;
