-- Quotes and invoices. A posted invoice never changes; corrections are credit notes.


-- Called once per statement from row security: (select sls_sees_all())
create function sls_sees_all() returns boolean
language sql stable as $$
  select app_has('sales.scope.all') or not (app_has('sales.scope.own') or app_has('sales.scope.team'))
$$;
comment on function sls_sees_all() is 'does the caller see the documents of everybody in his locations';
revoke all on function sls_sees_all() from public;

create function sls_team() returns uuid[]
language sql stable as $$
  select case
    when app_has('sales.scope.team') then array(select user_id from sys_team(app_uid()))
    else array[app_uid()]
  end
$$;
comment on function sls_team() is 'the users whose documents the caller sees';
revoke all on function sls_team() from public;

create function sls_sees(p_location uuid, p_owner uuid) returns boolean
language sql stable as $$
  select com_at(p_location) and (sls_sees_all() or coalesce(p_owner = any (sls_team()), false))
$$;
comment on function sls_sees(uuid, uuid) is 'internal: does the caller see this document';
revoke all on function sls_sees(uuid, uuid) from public;

create table sls_quote (
  id uuid primary key default uuid_v7(),
  number text,
  party_id uuid not null,
  location_id uuid not null,
  price_list_id uuid,
  quoted_on date not null default app_today(),
  valid_until date not null,
  currency char(3) not null default 'INR',
  owner_id uuid default app_uid(),
  lost_reason text,
  state text not null default 'draft',
  constraint sls_quote_number_key unique (number),
  constraint sls_quote_party_id_fk foreign key (party_id) references com_party,
  constraint sls_quote_location_id_fk foreign key (location_id) references sys_location,
  constraint sls_quote_price_list_id_fk foreign key (price_list_id) references com_price_list,
  constraint sls_quote_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint sls_quote_owner_id_fk foreign key (owner_id) references sys_user,
  constraint sls_quote_lost_reason check (length(lost_reason) <= 500),
  constraint sls_quote_state check (state in ('draft', 'sent', 'accepted', 'lost', 'expired')),
  constraint sls_quote_valid check (valid_until >= quoted_on),
  constraint sls_quote_lost check (state <> 'lost' or lost_reason is not null),
  constraint sls_quote_numbered check ((state = 'draft') = (number is null))
);
comment on table sls_quote is 'offers to customers';
comment on constraint sls_quote_number_key on sls_quote is 'is already used by another quote';
comment on constraint sls_quote_party_id_fk on sls_quote is 'does not name an existing customer | is still used by quotes';
comment on constraint sls_quote_location_id_fk on sls_quote is 'does not name an existing location | is still used by quotes';
comment on constraint sls_quote_price_list_id_fk on sls_quote is 'does not name an existing price list | is still used by quotes';
comment on constraint sls_quote_currency on sls_quote is 'must be a currency code of three letters with at most two decimals';
comment on constraint sls_quote_owner_id_fk on sls_quote is 'does not name an existing user | is still used by quotes';
comment on constraint sls_quote_lost_reason on sls_quote is 'must have at most 500 characters';
comment on constraint sls_quote_state on sls_quote is 'must be draft, sent, accepted, lost or expired';
comment on constraint sls_quote_valid on sls_quote is 'must not be before the day of the quote';
comment on constraint sls_quote_lost on sls_quote is 'is needed for a lost quote';
comment on constraint sls_quote_numbered on sls_quote is 'is given when the quote is sent';
select sys_std('sls_quote');
create index sls_quote_party_id on sls_quote (party_id);
create index sls_quote_location_id on sls_quote (location_id);
create index sls_quote_price_list_id on sls_quote (price_list_id) where price_list_id is not null;
create index sls_quote_owner_id on sls_quote (owner_id) where owner_id is not null;
create trigger a_reference before insert or update of party_id on sls_quote
  for each row execute function com_reference_guard('party_id', 'com_party', 'customer');
create trigger b_action_only before update of number, state, lost_reason on sls_quote
  for each row execute function sys_action_only('number,state,lost_reason');
create trigger c_freeze after update or delete on sls_quote
  for each row execute function sys_freeze('sent,accepted,lost,expired', 'state,lost_reason');

create table sls_quote_line (
  id uuid primary key default uuid_v7(),
  quote_id uuid not null,
  line_no int not null,
  item_id uuid not null,
  description text,
  qty numeric(18,3) not null,
  unit_price numeric(18,6),
  discount_pct numeric(5,2) not null default 0,
  amount numeric(18,2) generated always as (round(qty * unit_price * (100 - discount_pct) / 100, 2)) stored,
  constraint sls_quote_line_quote_id_fk foreign key (quote_id) references sls_quote on delete cascade,
  constraint sls_quote_line_line_no check (line_no > 0),
  constraint sls_quote_line_item_id_fk foreign key (item_id) references com_item,
  constraint sls_quote_line_description check (length(description) <= 500),
  constraint sls_quote_line_qty check (qty > 0),
  constraint sls_quote_line_unit_price check (unit_price is not null and unit_price >= 0),
  constraint sls_quote_line_discount_pct check (discount_pct between 0 and 100),
  constraint sls_quote_line_key unique (quote_id, line_no)
);
comment on table sls_quote_line is 'what is offered';
comment on constraint sls_quote_line_quote_id_fk on sls_quote_line is 'does not name an existing quote';
comment on constraint sls_quote_line_line_no on sls_quote_line is 'must be greater than 0';
comment on constraint sls_quote_line_item_id_fk on sls_quote_line is 'does not name an existing product | is still used by quote lines';
comment on constraint sls_quote_line_description on sls_quote_line is 'must have at most 500 characters';
comment on constraint sls_quote_line_qty on sls_quote_line is 'must be greater than 0';
comment on constraint sls_quote_line_unit_price on sls_quote_line is 'must be at least 0';
comment on column sls_quote_line.unit_price is 'the price of the list, or of the product, when left out';
comment on constraint sls_quote_line_discount_pct on sls_quote_line is 'must be from 0 to 100';
comment on constraint sls_quote_line_key on sls_quote_line is 'is already used by another line of this quote';
select sys_std('sls_quote_line');
create index sls_quote_line_item_id on sls_quote_line (item_id);
create trigger b_freeze after insert or update or delete on sls_quote_line
  for each row execute function sys_freeze_child('sls_quote', 'quote_id', 'draft', '');

create table sls_invoice (
  id uuid primary key default uuid_v7(),
  number text,
  kind text not null default 'invoice',
  against_id uuid,
  reason text,
  party_id uuid not null,
  location_id uuid not null,
  quote_id uuid,
  source_type text,
  source_id uuid,
  invoice_date date not null default app_today(),
  due_date date,
  currency char(3) not null default 'INR',
  owner_id uuid default app_uid(),
  supplier_gstin text,
  customer_gstin text,
  gst_category text,
  pos_state text,
  inter_state boolean not null default false,
  reverse_charge boolean not null default false,
  taxable numeric(18,2),
  cgst numeric(18,2),
  sgst numeric(18,2),
  igst numeric(18,2),
  round_off numeric(18,2),
  total numeric(18,2),
  state text not null default 'draft',
  posted_at timestamptz,
  constraint sls_invoice_number check (number ~ '^[A-Za-z0-9][A-Za-z0-9/-]{0,15}$'),
  constraint sls_invoice_number_key unique (number),
  constraint sls_invoice_kind check (kind in ('invoice', 'credit_note')),
  constraint sls_invoice_against_id_fk foreign key (against_id) references sls_invoice,
  constraint sls_invoice_reason check (length(btrim(reason)) between 1 and 500),
  constraint sls_invoice_party_id_fk foreign key (party_id) references com_party,
  constraint sls_invoice_location_id_fk foreign key (location_id) references sys_location,
  constraint sls_invoice_quote_id_fk foreign key (quote_id) references sls_quote,
  constraint sls_invoice_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint sls_invoice_owner_id_fk foreign key (owner_id) references sys_user,
  constraint sls_invoice_pos_state check (pos_state ~ '^[0-9]{2}$'),
  constraint sls_invoice_round_off check (abs(round_off) <= 0.50),
  constraint sls_invoice_state check (state in ('draft', 'posted')),
  constraint sls_invoice_credit check ((kind = 'credit_note') = (against_id is not null and reason is not null)),
  constraint sls_invoice_posted check ((state = 'posted') = (number is not null and total is not null and posted_at is not null)),
  constraint sls_invoice_total_adds_up check (total = taxable + cgst + sgst + igst + round_off),
  constraint sls_invoice_due check (due_date >= invoice_date)
);
comment on table sls_invoice is 'invoices and credit notes; the tax is worked out at posting';
comment on constraint sls_invoice_number on sls_invoice is 'must have at most 16 letters, digits, / or -';
comment on constraint sls_invoice_number_key on sls_invoice is 'is already used by another invoice';
comment on constraint sls_invoice_kind on sls_invoice is 'must be invoice or credit_note';
comment on constraint sls_invoice_against_id_fk on sls_invoice is 'does not name an existing invoice | is still used by invoices';
comment on constraint sls_invoice_reason on sls_invoice is 'must have 1 to 500 characters';
comment on constraint sls_invoice_party_id_fk on sls_invoice is 'does not name an existing customer | is still used by invoices';
comment on constraint sls_invoice_location_id_fk on sls_invoice is 'does not name an existing location | is still used by invoices';
comment on constraint sls_invoice_quote_id_fk on sls_invoice is 'does not name an existing quote | is still used by invoices';
comment on constraint sls_invoice_currency on sls_invoice is 'must be a currency code of three letters with at most two decimals';
comment on constraint sls_invoice_owner_id_fk on sls_invoice is 'does not name an existing user | is still used by invoices';
comment on constraint sls_invoice_pos_state on sls_invoice is 'must be a state code of two digits';
comment on column sls_invoice.pos_state is 'the place of supply';
comment on constraint sls_invoice_round_off on sls_invoice is 'must be at most 0.50';
comment on constraint sls_invoice_state on sls_invoice is 'must be draft or posted';
comment on constraint sls_invoice_credit on sls_invoice is 'a credit note names its invoice and a reason, an invoice neither';
comment on constraint sls_invoice_posted on sls_invoice is 'is given at posting';
comment on constraint sls_invoice_total_adds_up on sls_invoice is 'must be the sum of its parts';
comment on constraint sls_invoice_due on sls_invoice is 'must not be before the invoice';
select sys_std('sls_invoice');
create unique index sls_invoice_source_key on sls_invoice (source_type, source_id) where source_id is not null and kind = 'invoice';
comment on index sls_invoice_source_key is 'has already been invoiced';
create index sls_invoice_series on sls_invoice (location_id, kind, invoice_date) where state = 'posted';
create index sls_invoice_against_id on sls_invoice (against_id) where against_id is not null;
create index sls_invoice_party_id on sls_invoice (party_id);
create index sls_invoice_location_id on sls_invoice (location_id);
create index sls_invoice_quote_id on sls_invoice (quote_id) where quote_id is not null;
create index sls_invoice_owner_id on sls_invoice (owner_id) where owner_id is not null;
create trigger a_reference before insert or update of party_id, against_id on sls_invoice
  for each row execute function com_reference_guard('party_id', 'com_party', 'customer', 'against_id', 'sls_invoice', 'invoice');
create trigger b_action_only before update on sls_invoice
  for each row execute function sys_action_only(
    'number,source_type,source_id,supplier_gstin,customer_gstin,gst_category,inter_state,taxable,cgst,sgst,igst,round_off,total,state,posted_at');
create trigger c_freeze after update or delete on sls_invoice
  for each row execute function sys_freeze('posted', '');

create table sls_invoice_line (
  id uuid primary key default uuid_v7(),
  invoice_id uuid not null,
  line_no int not null,
  item_id uuid not null,
  description text,
  hsn_sac text,
  qty numeric(18,3) not null,
  unit_price numeric(18,6),
  discount numeric(18,2) not null default 0,
  tax_rate numeric(6,3) not null default 0,
  inter_state boolean not null default false,
  original_line_id uuid,
  source_line_id uuid,
  taxable numeric(18,2) generated always as (round(qty * unit_price, 2) - discount) stored,
  cgst numeric(18,2) generated always as (case when inter_state then 0 else round((round(qty * unit_price, 2) - discount) * tax_rate / 200, 2) end) stored,
  sgst numeric(18,2) generated always as (case when inter_state then 0 else round((round(qty * unit_price, 2) - discount) * tax_rate / 200, 2) end) stored,
  igst numeric(18,2) generated always as (case when inter_state then round((round(qty * unit_price, 2) - discount) * tax_rate / 100, 2) else 0 end) stored,
  constraint sls_invoice_line_invoice_id_fk foreign key (invoice_id) references sls_invoice on delete cascade,
  constraint sls_invoice_line_line_no check (line_no > 0),
  constraint sls_invoice_line_item_id_fk foreign key (item_id) references com_item,
  constraint sls_invoice_line_description check (length(description) <= 500),
  constraint sls_invoice_line_hsn_sac check (hsn_sac ~ '^[0-9]{4}([0-9]{2}([0-9]{2})?)?$'),
  constraint sls_invoice_line_qty check (qty > 0),
  constraint sls_invoice_line_unit_price check (unit_price is not null and unit_price >= 0),
  constraint sls_invoice_line_discount check (discount >= 0),
  constraint sls_invoice_line_tax_rate check (tax_rate between 0 and 100),
  constraint sls_invoice_line_original_line_id_fk foreign key (original_line_id) references sls_invoice_line,
  constraint sls_invoice_line_key unique (invoice_id, line_no),
  constraint sls_invoice_line_discounted check (discount <= round(qty * unit_price, 2))
);
comment on table sls_invoice_line is 'what is invoiced or credited; taxes are rounded by line';
comment on constraint sls_invoice_line_invoice_id_fk on sls_invoice_line is 'does not name an existing invoice';
comment on constraint sls_invoice_line_line_no on sls_invoice_line is 'must be greater than 0';
comment on constraint sls_invoice_line_item_id_fk on sls_invoice_line is 'does not name an existing product | is still used by invoice lines';
comment on constraint sls_invoice_line_description on sls_invoice_line is 'must have at most 500 characters';
comment on constraint sls_invoice_line_hsn_sac on sls_invoice_line is 'must be a code of 4, 6 or 8 digits';
comment on constraint sls_invoice_line_qty on sls_invoice_line is 'must be greater than 0';
comment on constraint sls_invoice_line_unit_price on sls_invoice_line is 'must be at least 0';
comment on column sls_invoice_line.unit_price is 'the price of the product when left out';
comment on constraint sls_invoice_line_discount on sls_invoice_line is 'must be at least 0';
comment on constraint sls_invoice_line_tax_rate on sls_invoice_line is 'must be from 0 to 100';
comment on column sls_invoice_line.tax_rate is 'replaced by the rate of the product''s tax on the day of the invoice';
comment on constraint sls_invoice_line_original_line_id_fk on sls_invoice_line is 'does not name an existing invoice line | has been credited';
comment on constraint sls_invoice_line_key on sls_invoice_line is 'is already used by another line of this invoice';
comment on constraint sls_invoice_line_discounted on sls_invoice_line is 'must not be more than the line is worth';
select sys_std('sls_invoice_line');
create index sls_invoice_line_item_id on sls_invoice_line (item_id);
create index sls_invoice_line_original_line_id on sls_invoice_line (original_line_id) where original_line_id is not null;
create trigger b_freeze after insert or update or delete on sls_invoice_line
  for each row execute function sys_freeze_child('sls_invoice', 'invoice_id', 'draft', '');

create function sls_price_fill() returns trigger
language plpgsql as $$
declare
  q sls_quote;
begin
  if new.unit_price is null then
    if tg_table_name = 'sls_quote_line' then
      select * into q from sls_quote where id = (to_jsonb(new) ->> 'quote_id')::uuid;
    end if;
    new.unit_price := com_price_for(q.price_list_id, new.item_id, new.qty, coalesce(q.quoted_on, app_today()));
  end if;
  return new;
end $$;
comment on function sls_price_fill() is 'the price of a line that comes without one';
revoke all on function sls_price_fill() from public;
create trigger a_price before insert or update of unit_price on sls_quote_line
  for each row execute function sls_price_fill();
create trigger a_price before insert or update of unit_price on sls_invoice_line
  for each row execute function sls_price_fill();
create trigger a_reference before insert or update of original_line_id on sls_invoice_line
  for each row execute function com_reference_guard('original_line_id', 'sls_invoice_line', 'invoice line');

insert into sys_number_series (code, pattern, width) values
  ('quote', 'QT-{FY}-{SEQ}', 5),
  ('invoice', '{LOC}/{FY}/{SEQ}', 4),
  ('credit_note', '{LOC}C{FY}/{SEQ}', 4);
