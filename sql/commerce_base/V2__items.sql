-- Products and services, taxes by date, prices by date, exchange rates.

create table com_tax_code (
  id uuid primary key default uuid_v7(),
  code text not null,
  name text not null,
  kind text not null,
  active boolean not null default true,
  constraint com_tax_code_code check (code ~ '^[A-Z0-9][A-Z0-9_.-]{0,19}$'),
  constraint com_tax_code_code_key unique (code),
  constraint com_tax_code_name check (length(btrim(name)) between 1 and 100),
  constraint com_tax_code_kind check (kind in ('gst', 'vat', 'none'))
);
comment on table com_tax_code is 'kinds of tax; the rates stand beside them, by date';
comment on constraint com_tax_code_code on com_tax_code is 'must have 1 to 20 capital letters, digits, _, . or -';
comment on constraint com_tax_code_code_key on com_tax_code is 'is already used by another tax code';
comment on constraint com_tax_code_name on com_tax_code is 'must have 1 to 100 characters';
comment on constraint com_tax_code_kind on com_tax_code is 'must be gst, vat or none';
select sys_std('com_tax_code');

create table com_tax_rate (
  id uuid primary key default uuid_v7(),
  tax_code_id uuid not null,
  rate numeric(6,3) not null,
  valid daterange not null,
  constraint com_tax_rate_tax_code_id_fk foreign key (tax_code_id) references com_tax_code,
  constraint com_tax_rate_rate check (rate between 0 and 100),
  constraint com_tax_rate_valid check (not isempty(valid)),
  constraint com_tax_rate_overlap exclude using gist (tax_code_id with =, valid with &&)
);
comment on table com_tax_rate is 'the rate of a tax in percent while it is valid; rates of one tax never overlap';
comment on constraint com_tax_rate_tax_code_id_fk on com_tax_rate is 'does not name an existing tax code | is still used by tax rates';
comment on constraint com_tax_rate_rate on com_tax_rate is 'must be from 0 to 100';
comment on constraint com_tax_rate_valid on com_tax_rate is 'must hold at least one day';
comment on constraint com_tax_rate_overlap on com_tax_rate is 'overlaps another rate of this tax';
select sys_std('com_tax_rate');
create index com_tax_rate_tax_code_id on com_tax_rate (tax_code_id);

create table com_item (
  id uuid primary key default uuid_v7(),
  sku text not null,
  name text not null,
  kind text not null default 'goods',
  is_stocked boolean not null default true,
  uom text not null default 'NOS',
  whole_units boolean not null default true,
  barcode text,
  category text,
  hsn_sac text,
  tax_code_id uuid,
  list_price numeric(18,6) not null default 0,
  currency char(3) not null default 'INR',
  weight_g int,
  state text not null default 'active',
  constraint com_item_sku check (length(btrim(sku)) between 1 and 40),
  constraint com_item_sku_key unique (sku),
  constraint com_item_name check (length(btrim(name)) between 1 and 200),
  constraint com_item_kind check (kind in ('goods', 'service')),
  constraint com_item_uom check (uom ~ '^[A-Z]{2,8}$'),
  constraint com_item_barcode check (length(barcode) <= 40),
  constraint com_item_barcode_key unique (barcode),
  constraint com_item_category check (length(category) <= 100),
  constraint com_item_hsn_sac check (hsn_sac ~ '^[0-9]{4}([0-9]{2}([0-9]{2})?)?$'),
  constraint com_item_tax_code_id_fk foreign key (tax_code_id) references com_tax_code,
  constraint com_item_list_price check (list_price >= 0),
  constraint com_item_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint com_item_weight_g check (weight_g > 0),
  constraint com_item_state check (state in ('active', 'discontinued', 'archived')),
  constraint com_item_service check (not (kind = 'service' and is_stocked))
);
comment on table com_item is 'products and services';
comment on constraint com_item_sku on com_item is 'must have 1 to 40 characters';
comment on constraint com_item_sku_key on com_item is 'is already used by another product';
comment on constraint com_item_name on com_item is 'must have 1 to 200 characters';
comment on constraint com_item_kind on com_item is 'must be goods or service';
comment on constraint com_item_uom on com_item is 'must be a unit of 2 to 8 capital letters';
comment on constraint com_item_barcode on com_item is 'must have at most 40 characters';
comment on constraint com_item_barcode_key on com_item is 'is already used by another product';
comment on constraint com_item_category on com_item is 'must have at most 100 characters';
comment on constraint com_item_hsn_sac on com_item is 'must be a code of 4, 6 or 8 digits';
comment on constraint com_item_tax_code_id_fk on com_item is 'does not name an existing tax code | is still used by products';
comment on constraint com_item_list_price on com_item is 'must be at least 0';
comment on constraint com_item_currency on com_item is 'must be a currency code of three letters with at most two decimals';
comment on constraint com_item_weight_g on com_item is 'must be greater than 0';
comment on constraint com_item_state on com_item is 'must be active, discontinued or archived';
comment on constraint com_item_service on com_item is 'a service is not stocked';
select sys_std('com_item');
create index com_item_tax_code_id on com_item (tax_code_id) where tax_code_id is not null;
create trigger b_action_only before update of state on com_item
  for each row execute function sys_action_only('state');

-- apart from the product, because not everybody who sees products may see what they cost
create table com_item_cost (
  item_id uuid primary key,
  standard_cost numeric(18,6) not null,
  constraint com_item_cost_standard_cost check (standard_cost >= 0),
  constraint com_item_cost_item_fk foreign key (item_id) references com_item on delete cascade
);
comment on table com_item_cost is 'what a product costs by plan';
comment on constraint com_item_cost_pkey on com_item_cost is 'already has a cost';
comment on constraint com_item_cost_standard_cost on com_item_cost is 'must be at least 0';
comment on constraint com_item_cost_item_fk on com_item_cost is 'does not name an existing product';
select sys_std('com_item_cost');

create table com_price_list (
  id uuid primary key default uuid_v7(),
  code text not null,
  name text not null,
  currency char(3) not null default 'INR',
  tax_inclusive boolean not null default false,
  active boolean not null default true,
  constraint com_price_list_code check (length(btrim(code)) between 1 and 20),
  constraint com_price_list_code_key unique (code),
  constraint com_price_list_name check (length(btrim(name)) between 1 and 100),
  constraint com_price_list_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$')
);
comment on table com_price_list is 'price lists';
comment on constraint com_price_list_code on com_price_list is 'must have 1 to 20 characters';
comment on constraint com_price_list_code_key on com_price_list is 'is already used by another price list';
comment on constraint com_price_list_name on com_price_list is 'must have 1 to 100 characters';
comment on constraint com_price_list_currency on com_price_list is 'must be a currency code of three letters with at most two decimals';
select sys_std('com_price_list');

create table com_price (
  id uuid primary key default uuid_v7(),
  price_list_id uuid not null,
  item_id uuid not null,
  min_qty numeric(18,3) not null default 1,
  unit_price numeric(18,6) not null,
  valid daterange not null default '(,)',
  constraint com_price_price_list_id_fk foreign key (price_list_id) references com_price_list on delete cascade,
  constraint com_price_item_id_fk foreign key (item_id) references com_item,
  constraint com_price_min_qty check (min_qty > 0),
  constraint com_price_unit_price check (unit_price >= 0),
  constraint com_price_valid check (not isempty(valid)),
  constraint com_price_overlap exclude using gist (price_list_id with =, item_id with =, min_qty with =, valid with &&)
);
comment on table com_price is 'prices by list, product, quantity and time; two of them never overlap';
comment on constraint com_price_price_list_id_fk on com_price is 'does not name an existing price list';
comment on constraint com_price_item_id_fk on com_price is 'does not name an existing product | is still used by prices';
comment on constraint com_price_min_qty on com_price is 'must be greater than 0';
comment on constraint com_price_unit_price on com_price is 'must be at least 0';
comment on constraint com_price_valid on com_price is 'must hold at least one day';
comment on constraint com_price_overlap on com_price is 'overlaps another price of this product and quantity';
select sys_std('com_price');
create index com_price_price_list_id on com_price (price_list_id);
create index com_price_item_id on com_price (item_id);

create table com_fx_rate (
  id uuid primary key default uuid_v7(),
  from_cur char(3) not null,
  to_cur char(3) not null,
  on_date date not null,
  rate numeric(18,8) not null,
  constraint com_fx_rate_from_cur check (from_cur ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint com_fx_rate_to_cur check (to_cur ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint com_fx_rate_rate check (rate > 0),
  constraint com_fx_rate_pair check (from_cur <> to_cur),
  constraint com_fx_rate_key unique (from_cur, to_cur, on_date)
);
comment on table com_fx_rate is 'exchange rates by day';
comment on constraint com_fx_rate_from_cur on com_fx_rate is 'must be a currency code of three letters with at most two decimals';
comment on constraint com_fx_rate_to_cur on com_fx_rate is 'must be a currency code of three letters with at most two decimals';
comment on constraint com_fx_rate_rate on com_fx_rate is 'must be greater than 0';
comment on constraint com_fx_rate_pair on com_fx_rate is 'must be another currency';
comment on constraint com_fx_rate_key on com_fx_rate is 'already has a rate of that day';
select sys_std('com_fx_rate');

create function com_base() returns char(3)
language sql stable as $$
  select coalesce((select value #>> '{}' from sys_setting where key = 'currency'), 'INR')::char(3)
$$;
comment on function com_base() is 'internal: the currency of the books';
revoke all on function com_base() from public;

create function com_tax_rate_on(p_code uuid, p_on date) returns numeric
language sql stable as $$
  select rate from com_tax_rate where tax_code_id = p_code and valid @> p_on
$$;
comment on function com_tax_rate_on(uuid, date) is 'the rate of a tax in percent on a day';
revoke all on function com_tax_rate_on(uuid, date) from public;

create function com_price_for(p_list uuid, p_item uuid, p_qty numeric, p_on date) returns numeric
language sql stable as $$
  select coalesce(
    (
      select unit_price
      from com_price
      where price_list_id = p_list and item_id = p_item and min_qty <= p_qty and valid @> p_on
      order by min_qty desc
      limit 1),
    (select list_price from com_item where id = p_item))
$$;
comment on function com_price_for(uuid, uuid, numeric, date) is 'the price of a product for a quantity on a day: by the list, else its own';
revoke all on function com_price_for(uuid, uuid, numeric, date) from public;

create function com_fx(p_from char, p_to char, p_on date) returns numeric
language plpgsql stable as $$
declare
  r numeric;
begin
  if p_from = p_to then
    return 1;
  end if;
  select rate into r from com_fx_rate where from_cur = p_from and to_cur = p_to and on_date <= p_on order by on_date desc limit 1;
  if r is null then
    perform app_fail('AP422', 'no_fx', format('There is no rate from %s to %s on or before %s.', p_from, p_to, p_on));
  end if;
  return r;
end $$;
comment on function com_fx(char, char, date) is 'internal: how much of one currency another one is worth on a day';
revoke all on function com_fx(char, char, date) from public;

create function com_item_to(p_id uuid, p_to text, p_from text[]) returns jsonb
language plpgsql as $$
declare
  i com_item;
begin
  select * into i from com_item where id = p_id for update;
  if i.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(i.state, variadic p_from);
  update com_item set state = p_to where id = p_id returning * into i;
  return to_jsonb(i);
end $$;
comment on function com_item_to(uuid, text, text[]) is 'internal: moves a product from some states to another';
revoke all on function com_item_to(uuid, text, text[]) from public;

create function com_item_discontinue(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('products.edit');
  return com_item_to($1, 'discontinued', array['active']);
end $$;
comment on function com_item_discontinue(uuid, jsonb) is 'a product that is sold no more';
revoke all on function com_item_discontinue(uuid, jsonb) from public;

create function com_item_archive(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('products.edit');
  return com_item_to($1, 'archived', array['active', 'discontinued']);
end $$;
comment on function com_item_archive(uuid, jsonb) is 'puts a product aside';
revoke all on function com_item_archive(uuid, jsonb) from public;

create function com_item_activate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  perform app_require('products.edit');
  return com_item_to($1, 'active', array['discontinued', 'archived']);
end $$;
comment on function com_item_activate(uuid, jsonb) is 'a product that is sold again';
revoke all on function com_item_activate(uuid, jsonb) from public;

-- The slabs of GST in India: on 22 September 2025 the slabs 5, 12, 18, 28 became 5, 18, 40 (56th meeting of the GST Council). The shipped
-- set is a start that the tenant's accountant confirms.
insert into com_tax_code (code, name, kind) values
  ('GST0', 'GST nil', 'gst'),
  ('GST5', 'GST merit rate', 'gst'),
  ('GST12', 'GST 12 %, until September 2025', 'gst'),
  ('GST18', 'GST standard rate', 'gst'),
  ('GST28', 'GST 28 %, demerit since September 2025', 'gst');
insert into com_tax_rate (tax_code_id, rate, valid)
select c.id, r.rate, r.valid::daterange
from com_tax_code c
join (values
  ('GST0', 0, '[2017-07-01,)'),
  ('GST5', 5, '[2017-07-01,)'),
  ('GST12', 12, '[2017-07-01,2025-09-22)'),
  ('GST12', 5, '[2025-09-22,)'),
  ('GST18', 18, '[2017-07-01,)'),
  ('GST28', 28, '[2017-07-01,2025-09-22)'),
  ('GST28', 40, '[2025-09-22,)')) r (code, rate, valid) using (code);
