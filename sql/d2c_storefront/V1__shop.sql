-- A shop: what it lists, the carts of its shoppers, and their money. Money is never lost and stock is never sold twice, also when the
-- message of the gateway is late or repeated.

create table shop_store (
  id uuid primary key default uuid_v7(),
  code text not null,
  name text not null,
  location_id uuid not null,
  price_list_id uuid,
  currency char(3) not null default 'INR',
  hold_minutes int not null default 15,
  cod_limit numeric(18,2),
  active boolean not null default true,
  constraint shop_store_code check (code ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(code) <= 40),
  constraint shop_store_code_key unique (code),
  constraint shop_store_name check (length(btrim(name)) between 1 and 200),
  constraint shop_store_location_id_fk foreign key (location_id) references sys_location,
  constraint shop_store_price_list_id_fk foreign key (price_list_id) references com_price_list,
  constraint shop_store_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint shop_store_hold_minutes check (hold_minutes between 1 and 1440),
  constraint shop_store_cod_limit check (cod_limit >= 0)
);
comment on table shop_store is 'shops that sell to consumers';
comment on constraint shop_store_code on shop_store is 'must have at most 40 small letters, digits and hyphens';
comment on constraint shop_store_code_key on shop_store is 'is already used by another store';
comment on constraint shop_store_name on shop_store is 'must have 1 to 200 characters';
comment on constraint shop_store_location_id_fk on shop_store is 'does not name an existing location | is still used by stores';
comment on constraint shop_store_price_list_id_fk on shop_store is 'does not name an existing price list | is still used by stores';
comment on constraint shop_store_currency on shop_store is 'must be a currency code of three letters with at most two decimals';
comment on constraint shop_store_hold_minutes on shop_store is 'must be from 1 to 1440';
comment on constraint shop_store_cod_limit on shop_store is 'must be at least 0';
select sys_std('shop_store');
create index shop_store_location_id on shop_store (location_id);
create index shop_store_price_list_id on shop_store (price_list_id) where price_list_id is not null;

create table shop_listing (
  id uuid primary key default uuid_v7(),
  store_id uuid not null,
  item_id uuid not null,
  slug text not null,
  title text not null,
  body text,
  images jsonb not null default '[]',
  max_per_order numeric(18,3),
  state text not null default 'draft',
  constraint shop_listing_store_id_fk foreign key (store_id) references shop_store,
  constraint shop_listing_item_id_fk foreign key (item_id) references com_item,
  constraint shop_listing_slug check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 100),
  constraint shop_listing_title check (length(btrim(title)) between 1 and 200),
  constraint shop_listing_images check (jsonb_typeof(images) = 'array'),
  constraint shop_listing_max_per_order check (max_per_order > 0),
  constraint shop_listing_state check (state in ('draft', 'published', 'hidden')),
  constraint shop_listing_slug_key unique (store_id, slug),
  constraint shop_listing_item_key unique (store_id, item_id)
);
comment on table shop_listing is 'products as a shop shows them';
comment on constraint shop_listing_store_id_fk on shop_listing is 'does not name an existing store | is still used by listings';
comment on constraint shop_listing_item_id_fk on shop_listing is 'does not name an existing product | is still used by listings';
comment on constraint shop_listing_slug on shop_listing is 'must have at most 100 small letters, digits and hyphens';
comment on constraint shop_listing_title on shop_listing is 'must have 1 to 200 characters';
comment on constraint shop_listing_images on shop_listing is 'must be a list';
comment on constraint shop_listing_max_per_order on shop_listing is 'must be greater than 0';
comment on constraint shop_listing_state on shop_listing is 'must be draft, published or hidden';
comment on constraint shop_listing_slug_key on shop_listing is 'is already used by another listing of this store';
comment on constraint shop_listing_item_key on shop_listing is 'is already listed in this store';
select sys_std('shop_listing');
create index shop_listing_item_id on shop_listing (item_id);
create trigger a_reference before insert or update of store_id on shop_listing
  for each row execute function com_reference_guard('store_id', 'shop_store', 'store');
create trigger b_action_only before update of state on shop_listing
  for each row execute function sys_action_only('state');

create table shop_shipping_rate (
  id uuid primary key default uuid_v7(),
  store_id uuid not null,
  name text not null,
  state_code text,
  weight_g int4range not null default '[0,)',
  min_amount numeric(18,2) not null default 0,
  price numeric(18,2) not null,
  cod boolean not null default false,
  constraint shop_shipping_rate_store_id_fk foreign key (store_id) references shop_store,
  constraint shop_shipping_rate_name check (length(btrim(name)) between 1 and 100),
  constraint shop_shipping_rate_state_code check (length(state_code) <= 10),
  constraint shop_shipping_rate_weight_g check (not isempty(weight_g)),
  constraint shop_shipping_rate_min_amount check (min_amount >= 0),
  constraint shop_shipping_rate_price check (price >= 0)
);
comment on table shop_shipping_rate is 'what shipping costs, by state, weight and value';
comment on constraint shop_shipping_rate_store_id_fk on shop_shipping_rate is 'does not name an existing store | is still used by shipping rates';
comment on constraint shop_shipping_rate_name on shop_shipping_rate is 'must have 1 to 100 characters';
comment on constraint shop_shipping_rate_state_code on shop_shipping_rate is 'must have at most 10 characters';
comment on constraint shop_shipping_rate_weight_g on shop_shipping_rate is 'must hold a weight';
comment on constraint shop_shipping_rate_min_amount on shop_shipping_rate is 'must be at least 0';
comment on constraint shop_shipping_rate_price on shop_shipping_rate is 'must be at least 0';
select sys_std('shop_shipping_rate');
create index shop_shipping_rate_store_id on shop_shipping_rate (store_id);

create table shop_cart (
  id uuid primary key default uuid_v7(),
  store_id uuid not null,
  token_hash bytea not null,
  party_id uuid,
  email text,
  phone text,
  ship_to jsonb,
  shipping_rate_id uuid,
  utm jsonb not null default '{}',
  lines jsonb not null default '[]',
  order_id uuid,
  attempt int not null default 0,
  state text not null default 'open',
  checkout_at timestamptz,
  goods numeric(18,2),
  discount numeric(18,2),
  shipping numeric(18,2),
  total numeric(18,2),
  constraint shop_cart_store_id_fk foreign key (store_id) references shop_store,
  constraint shop_cart_party_id_fk foreign key (party_id) references com_party,
  constraint shop_cart_email check (length(email) <= 254 and email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
  constraint shop_cart_phone check (length(phone) <= 40),
  constraint shop_cart_ship_to check (jsonb_typeof(ship_to) = 'object'),
  constraint shop_cart_shipping_rate_id_fk foreign key (shipping_rate_id) references shop_shipping_rate,
  constraint shop_cart_utm check (jsonb_typeof(utm) = 'object'),
  constraint shop_cart_order_id_fk foreign key (order_id) references oms_order,
  constraint shop_cart_order_id_key unique (order_id),
  constraint shop_cart_state check (state in ('open', 'checkout', 'ordered', 'expired')),
  constraint shop_cart_total check (total >= 0),
  constraint shop_cart_token_key unique (token_hash),
  constraint shop_cart_priced check (state in ('open', 'expired') or total is not null),
  constraint shop_cart_total_adds_up check (total is null or total = goods - discount + shipping)
);
comment on table shop_cart is 'carts; the token of the shopper is kept as a digest only';
comment on constraint shop_cart_store_id_fk on shop_cart is 'does not name an existing store | is still used by carts';
comment on constraint shop_cart_party_id_fk on shop_cart is 'does not name an existing customer | is still used by carts';
comment on constraint shop_cart_email on shop_cart is 'must be a valid e-mail address';
comment on constraint shop_cart_phone on shop_cart is 'must have at most 40 characters';
comment on constraint shop_cart_ship_to on shop_cart is 'must be an object';
comment on constraint shop_cart_shipping_rate_id_fk on shop_cart is 'does not name an existing shipping rate | is still used by carts';
comment on constraint shop_cart_utm on shop_cart is 'must be an object';
comment on column shop_cart.lines is 'what lies in the cart, as its shopper sees it';
comment on constraint shop_cart_order_id_fk on shop_cart is 'does not name an existing order | is still used by carts';
comment on constraint shop_cart_order_id_key on shop_cart is 'is already used by another cart';
comment on constraint shop_cart_state on shop_cart is 'must be open, checkout, ordered or expired';
comment on constraint shop_cart_total on shop_cart is 'must be at least 0';
comment on constraint shop_cart_token_key on shop_cart is 'is already used by another cart';
comment on constraint shop_cart_priced on shop_cart is 'is fixed at checkout';
comment on constraint shop_cart_total_adds_up on shop_cart is 'must be goods less discount with shipping';
select sys_std('shop_cart');
create index shop_cart_touched on shop_cart (updated_at) where state in ('open', 'checkout');
create index shop_cart_store_id on shop_cart (store_id);
create index shop_cart_party_id on shop_cart (party_id) where party_id is not null;
create index shop_cart_shipping_rate_id on shop_cart (shipping_rate_id) where shipping_rate_id is not null;

create table shop_cart_line (
  id uuid primary key default uuid_v7(),
  cart_id uuid not null,
  listing_id uuid not null,
  qty numeric(18,3) not null,
  unit_price numeric(18,6),
  constraint shop_cart_line_cart_id_fk foreign key (cart_id) references shop_cart on delete cascade,
  constraint shop_cart_line_listing_id_fk foreign key (listing_id) references shop_listing,
  constraint shop_cart_line_qty check (qty > 0),
  constraint shop_cart_line_key unique (cart_id, listing_id)
);
comment on table shop_cart_line is 'what lies in a cart';
comment on constraint shop_cart_line_cart_id_fk on shop_cart_line is 'does not name an existing cart';
comment on constraint shop_cart_line_listing_id_fk on shop_cart_line is 'does not name an existing listing | is still used by cart lines';
comment on constraint shop_cart_line_qty on shop_cart_line is 'must be greater than 0';
comment on constraint shop_cart_line_key on shop_cart_line is 'already lies in the cart';
select sys_std('shop_cart_line');
create index shop_cart_line_listing_id on shop_cart_line (listing_id);
create trigger b_freeze after insert or update or delete on shop_cart_line
  for each row execute function sys_freeze_child('shop_cart', 'cart_id', 'open', 'unit_price');

create table shop_adjustment (
  id uuid primary key default uuid_v7(),
  cart_id uuid not null,
  source_type text not null,
  source_id uuid not null,
  code text,
  amount numeric(18,2) not null,
  constraint shop_adjustment_cart_id_fk foreign key (cart_id) references shop_cart on delete cascade,
  constraint shop_adjustment_amount check (amount > 0),
  constraint shop_adjustment_key unique (cart_id, source_type, source_id)
);
comment on table shop_adjustment is 'what is taken off a cart, such as by a coupon';
comment on constraint shop_adjustment_cart_id_fk on shop_adjustment is 'does not name an existing cart';
comment on constraint shop_adjustment_amount on shop_adjustment is 'must be greater than 0';
comment on constraint shop_adjustment_key on shop_adjustment is 'has already been taken off';
select sys_std('shop_adjustment');

create table shop_payment (
  id uuid primary key default uuid_v7(),
  cart_id uuid not null,
  store_id uuid not null,
  gateway text not null,
  gateway_ref text not null,
  amount numeric(18,2) not null,
  captured numeric(18,2) not null default 0,
  refunded numeric(18,2) not null default 0,
  state text not null default 'created',
  constraint shop_payment_cart_id_fk foreign key (cart_id) references shop_cart,
  constraint shop_payment_store_id_fk foreign key (store_id) references shop_store,
  constraint shop_payment_gateway check (length(btrim(gateway)) between 1 and 40),
  constraint shop_payment_gateway_ref check (length(btrim(gateway_ref)) between 1 and 200),
  constraint shop_payment_amount check (amount > 0),
  constraint shop_payment_state check (state in ('created', 'captured', 'failed', 'refund_due', 'refunded')),
  constraint shop_payment_ref_key unique (gateway, gateway_ref),
  constraint shop_payment_capture_within check (captured between 0 and amount),
  constraint shop_payment_refund_within check (refunded between 0 and captured)
);
comment on table shop_payment is 'payments of carts by a gateway';
comment on constraint shop_payment_cart_id_fk on shop_payment is 'does not name an existing cart | is still used by payments';
comment on constraint shop_payment_store_id_fk on shop_payment is 'does not name an existing store | is still used by payments';
comment on constraint shop_payment_gateway on shop_payment is 'must have 1 to 40 characters';
comment on constraint shop_payment_gateway_ref on shop_payment is 'must have 1 to 200 characters';
comment on constraint shop_payment_amount on shop_payment is 'must be greater than 0';
comment on constraint shop_payment_state on shop_payment is 'must be created, captured, failed, refund_due or refunded';
comment on constraint shop_payment_ref_key on shop_payment is 'is already used by another payment';
comment on constraint shop_payment_capture_within on shop_payment is 'must not capture more than the payment';
comment on constraint shop_payment_refund_within on shop_payment is 'must not refund more than was captured';
select sys_std('shop_payment');
create index shop_payment_cart_id on shop_payment (cart_id);
create index shop_payment_store_id on shop_payment (store_id);

create table shop_review (
  id uuid primary key default uuid_v7(),
  order_line_id uuid not null,
  listing_id uuid not null,
  rating int not null,
  body text,
  state text not null default 'pending',
  constraint shop_review_order_line_id_fk foreign key (order_line_id) references oms_order_line,
  constraint shop_review_order_line_id_key unique (order_line_id),
  constraint shop_review_listing_id_fk foreign key (listing_id) references shop_listing,
  constraint shop_review_rating check (rating between 1 and 5),
  constraint shop_review_body check (length(body) <= 5000),
  constraint shop_review_state check (state in ('pending', 'published', 'rejected'))
);
comment on table shop_review is 'what buyers say, one for each order line';
comment on constraint shop_review_order_line_id_fk on shop_review is 'does not name an existing order line | is still used by reviews';
comment on constraint shop_review_order_line_id_key on shop_review is 'has already been reviewed';
comment on constraint shop_review_listing_id_fk on shop_review is 'does not name an existing listing | is still used by reviews';
comment on constraint shop_review_rating on shop_review is 'must be from 1 to 5';
comment on constraint shop_review_body on shop_review is 'must have at most 5000 characters';
comment on constraint shop_review_state on shop_review is 'must be pending, published or rejected';
select sys_std('shop_review');
create index shop_review_listing_id on shop_review (listing_id);
create trigger b_action_only before update of state on shop_review
  for each row execute function sys_action_only('state');

-- runs as the owner of the tables: a shopper's front end sees no orders
create function shop_review_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if not exists (
    select from oms_order_line l
    join oms_order o on o.id = l.order_id
    join shop_listing x on x.item_id = l.item_id
    join shop_store s on s.id = x.store_id and o.channel = 'web:' || s.code
    where l.id = new.order_line_id and x.id = new.listing_id and l.qty_shipped > l.qty_returned
      and o.state in ('shipped', 'delivered', 'partly_shipped')) then
    perform app_fail('AP422', 'not_bought', 'does not name goods of this listing that were received and kept', 'order_line_id');
  end if;
  return new;
end $$;
comment on function shop_review_guard() is 'only goods that were received and kept can be reviewed';
revoke all on function shop_review_guard() from public;
create trigger a_guard before insert on shop_review
  for each row execute function shop_review_guard();

create function shop_store_seen(p_store uuid) returns shop_store
language plpgsql stable as $$
declare
  s shop_store;
begin
  select * into s from shop_store where id = p_store;
  if s.id is null or not com_at(s.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return s;
end $$;
comment on function shop_store_seen(uuid) is 'internal: a store in scope';
revoke all on function shop_store_seen(uuid) from public;

create function shop_listing_publish(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  x shop_listing;
  i com_item;
begin
  perform app_require('store.listings.publish');
  select * into x from shop_listing where id = $1 for update;
  if x.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform shop_store_seen(x.store_id);
  perform com_need_state(x.state, 'draft', 'hidden');
  select * into i from com_item where id = x.item_id;
  if i.state <> 'active' then
    perform app_fail('AP409', 'item_state', format('The product is %s.', i.state));
  end if;
  if com_price_for((select price_list_id from shop_store where id = x.store_id), i.id, 1, app_today()) <= 0 then
    perform app_fail('AP422', 'no_price', 'The product has no price.');
  end if;
  if jsonb_array_length(x.images) = 0 then
    perform app_fail('AP422', 'no_image', 'needs a picture', 'images');
  end if;
  update shop_listing set state = 'published' where id = x.id returning * into x;
  return to_jsonb(x);
end $$;
comment on function shop_listing_publish(uuid, jsonb) is 'shows a listing to shoppers';
revoke all on function shop_listing_publish(uuid, jsonb) from public;

create function shop_listing_hide(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  x shop_listing;
begin
  perform app_require('store.listings.publish');
  select * into x from shop_listing where id = $1 for update;
  if x.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform shop_store_seen(x.store_id);
  perform com_need_state(x.state, 'published');
  update shop_listing set state = 'hidden' where id = x.id returning * into x;
  return to_jsonb(x);
end $$;
comment on function shop_listing_hide(uuid, jsonb) is 'hides a listing from shoppers';
revoke all on function shop_listing_hide(uuid, jsonb) from public;

create function shop_review_to(p_id uuid, p_to text) returns jsonb
language plpgsql as $$
declare
  r shop_review;
begin
  select * into r from shop_review where id = p_id for update;
  if r.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform shop_store_seen((select store_id from shop_listing where id = r.listing_id));
  perform com_need_state(r.state, 'pending');
  update shop_review set state = p_to where id = r.id returning * into r;
  return to_jsonb(r);
end $$;
comment on function shop_review_to(uuid, text) is 'internal: moves a review that waits';
revoke all on function shop_review_to(uuid, text) from public;

create function shop_review_publish(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('store.reviews.moderate');
  return shop_review_to($1, 'published');
end $$;
comment on function shop_review_publish(uuid, jsonb) is 'shows a review to everybody';
revoke all on function shop_review_publish(uuid, jsonb) from public;

create function shop_review_reject(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('store.reviews.moderate');
  return shop_review_to($1, 'rejected');
end $$;
comment on function shop_review_reject(uuid, jsonb) is 'does not show a review';
revoke all on function shop_review_reject(uuid, jsonb) from public;
