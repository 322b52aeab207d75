-- What somebody owes, and what settles it: the one sub-ledger for sales and procurement.

create table com_open_item (
  id uuid primary key default uuid_v7(),
  party_id uuid not null,
  ledger text not null,
  side text not null,
  doc_type text not null,
  doc_id uuid not null,
  number text not null,
  location_id uuid,
  doc_date date not null,
  due_date date not null,
  currency char(3) not null,
  amount numeric(18,2) not null,
  settled numeric(18,2) not null default 0,
  outstanding numeric(18,2) generated always as (amount - settled) stored,
  constraint com_open_item_party_id_fk foreign key (party_id) references com_party,
  constraint com_open_item_ledger check (ledger in ('receivable', 'payable')),
  constraint com_open_item_side check (side in ('due', 'credit')),
  constraint com_open_item_location_id_fk foreign key (location_id) references sys_location,
  constraint com_open_item_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint com_open_item_amount check (amount > 0),
  constraint com_open_item_settle_within_due check (settled between 0 and amount),
  constraint com_open_item_doc_key unique (doc_type, doc_id)
);
comment on table com_open_item is 'dues, and credit notes that settle them';
comment on constraint com_open_item_party_id_fk on com_open_item is 'does not name an existing customer or vendor | is still used by open items';
comment on constraint com_open_item_ledger on com_open_item is 'must be receivable or payable';
comment on constraint com_open_item_side on com_open_item is 'must be due or credit';
comment on constraint com_open_item_location_id_fk on com_open_item is 'does not name an existing location | is still used by open items';
comment on constraint com_open_item_currency on com_open_item is 'must be a currency code of three letters with at most two decimals';
comment on constraint com_open_item_amount on com_open_item is 'must be greater than 0';
comment on constraint com_open_item_settle_within_due on com_open_item is 'must not settle more than is due';
comment on constraint com_open_item_doc_key on com_open_item is 'already has an open item';
select sys_std('com_open_item');
create index com_open_item_unsettled on com_open_item (party_id) where settled < amount;
create index com_open_item_party_id on com_open_item (party_id);
create index com_open_item_location_id on com_open_item (location_id) where location_id is not null;
create trigger b_freeze after delete on com_open_item
  for each row execute function sys_refuse();

create view com_payable with (security_invoker = true) as
select id, party_id, side, doc_type, doc_id, number, location_id, doc_date, due_date, currency, amount, settled, outstanding,
  created_at, created_by, updated_at, row_version
from com_open_item
where ledger = 'payable';
comment on view com_payable is 'what we owe';

create table com_payment (
  id uuid primary key default uuid_v7(),
  number text,
  direction text not null,
  party_id uuid not null,
  location_id uuid,
  paid_on date not null default app_today(),
  method text not null,
  reference text,
  currency char(3) not null default 'INR',
  amount numeric(18,2) not null,
  allocated numeric(18,2) not null default 0,
  unallocated numeric(18,2) generated always as (amount - allocated) stored,
  state text not null default 'draft',
  reversed_reason text,
  constraint com_payment_number_key unique (number),
  constraint com_payment_direction check (direction in ('in', 'out')),
  constraint com_payment_party_id_fk foreign key (party_id) references com_party,
  constraint com_payment_location_id_fk foreign key (location_id) references sys_location,
  constraint com_payment_method check (method in ('cash', 'upi', 'card', 'bank', 'cheque', 'gateway')),
  constraint com_payment_reference check (length(btrim(reference)) between 1 and 100),
  constraint com_payment_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint com_payment_amount check (amount > 0),
  constraint com_payment_state check (state in ('draft', 'posted', 'reversed')),
  constraint com_payment_reversed_reason check (length(reversed_reason) <= 500),
  constraint com_payment_allocate_within_payment check (allocated between 0 and amount),
  constraint com_payment_referenced check (method = 'cash' or reference is not null),
  constraint com_payment_reversed check ((state = 'reversed') = (reversed_reason is not null)),
  constraint com_payment_numbered check (state = 'draft' or number is not null)
);
comment on table com_payment is 'money that came in or went out';
comment on constraint com_payment_number_key on com_payment is 'is already used by another payment';
comment on constraint com_payment_direction on com_payment is 'must be in or out';
comment on constraint com_payment_party_id_fk on com_payment is 'does not name an existing customer or vendor | is still used by payments';
comment on constraint com_payment_location_id_fk on com_payment is 'does not name an existing location | is still used by payments';
comment on constraint com_payment_method on com_payment is 'must be cash, upi, card, bank, cheque or gateway';
comment on constraint com_payment_reference on com_payment is 'must have 1 to 100 characters';
comment on constraint com_payment_currency on com_payment is 'must be a currency code of three letters with at most two decimals';
comment on constraint com_payment_amount on com_payment is 'must be greater than 0';
comment on constraint com_payment_state on com_payment is 'must be draft, posted or reversed';
comment on constraint com_payment_reversed_reason on com_payment is 'must have at most 500 characters';
comment on constraint com_payment_allocate_within_payment on com_payment is 'must not use more than was paid';
comment on constraint com_payment_referenced on com_payment is 'is needed unless the payment is in cash';
comment on constraint com_payment_reversed on com_payment is 'is given exactly when the payment is reversed';
comment on constraint com_payment_numbered on com_payment is 'is given at posting';
select sys_std('com_payment');
create unique index com_payment_reference_key on com_payment (method, reference) where method <> 'cash' and state <> 'reversed';
comment on index com_payment_reference_key is 'is already used by another payment of this method';
create index com_payment_party_id on com_payment (party_id);
create index com_payment_location_id on com_payment (location_id) where location_id is not null;
create trigger a_reference before insert or update of party_id on com_payment
  for each row execute function com_reference_guard('party_id', 'com_party', 'customer or vendor');
create trigger b_action_only before update of number, allocated, state, reversed_reason on com_payment
  for each row execute function sys_action_only('number,allocated,state,reversed_reason');
create trigger b_freeze after update or delete on com_payment
  for each row execute function sys_freeze('posted,reversed', 'allocated,unallocated,state,reversed_reason');

create table com_allocation (
  id uuid primary key default uuid_v7(),
  payment_id uuid,
  credit_item_id uuid,
  open_item_id uuid not null,
  allocated_on date not null default app_today(),
  amount numeric(18,2) not null,
  reverses uuid,
  constraint com_allocation_payment_id_fk foreign key (payment_id) references com_payment,
  constraint com_allocation_credit_item_id_fk foreign key (credit_item_id) references com_open_item,
  constraint com_allocation_open_item_id_fk foreign key (open_item_id) references com_open_item,
  constraint com_allocation_amount check (amount <> 0),
  constraint com_allocation_reverses_fk foreign key (reverses) references com_allocation,
  constraint com_allocation_reverses_key unique (reverses),
  constraint com_allocation_source check (num_nonnulls(payment_id, credit_item_id) = 1),
  constraint com_allocation_self check (credit_item_id is distinct from open_item_id),
  constraint com_allocation_sign check ((amount < 0) = (reverses is not null))
);
comment on table com_allocation is 'which payment or credit note settles which due, append-only; a reversal is a row of its own';
comment on constraint com_allocation_payment_id_fk on com_allocation is 'does not name an existing payment | is still used by allocations';
comment on constraint com_allocation_credit_item_id_fk on com_allocation is 'does not name an existing open item | is still used by allocations';
comment on constraint com_allocation_open_item_id_fk on com_allocation is 'does not name an existing open item | is still used by allocations';
comment on constraint com_allocation_amount on com_allocation is 'must not be 0';
comment on constraint com_allocation_reverses_fk on com_allocation is 'does not name an existing allocation | is still used by allocations';
comment on constraint com_allocation_reverses_key on com_allocation is 'has already been reversed';
comment on constraint com_allocation_source on com_allocation is 'one of payment and credit note is needed';
comment on constraint com_allocation_self on com_allocation is 'cannot be the credit note itself';
comment on constraint com_allocation_sign on com_allocation is 'is negative exactly in a reversal';
select sys_append_only('com_allocation');
create index com_allocation_payment_id on com_allocation (payment_id) where payment_id is not null;
create index com_allocation_credit_item_id on com_allocation (credit_item_id) where credit_item_id is not null;
create index com_allocation_open_item_id on com_allocation (open_item_id);

-- one order of locks, payment or credit first, then the due: no deadlocks
create function com_allocation_apply() returns trigger
language plpgsql as $$
declare
  d com_open_item;
  p com_payment;
  c com_open_item;
begin
  if new.payment_id is not null then
    update com_payment set allocated = allocated + new.amount where id = new.payment_id and state <> 'draft' returning * into p;
    if p.id is null then
      perform app_fail('AP409', 'payment_state', 'The payment has not been posted.', 'payment_id');
    end if;
  else
    update com_open_item set settled = settled + new.amount where id = new.credit_item_id and side = 'credit' returning * into c;
    if c.id is null then
      perform app_fail('AP422', 'not_credit', 'does not name a credit note', 'credit_item_id');
    end if;
  end if;
  update com_open_item set settled = settled + new.amount where id = new.open_item_id and side = 'due' returning * into d;
  if d.id is null then
    perform app_fail('AP422', 'not_due', 'does not name a due', 'open_item_id');
  end if;
  if (d.party_id, d.currency) is distinct from (coalesce(p.party_id, c.party_id), coalesce(p.currency, c.currency)) then
    perform app_fail('AP422', 'party_currency', 'must be of the same party and currency as the payment', 'open_item_id');
  end if;
  if coalesce(case p.direction when 'in' then 'receivable' when 'out' then 'payable' end, c.ledger) <> d.ledger then
    perform app_fail('AP422', 'direction', 'does not fit the direction of the payment', 'open_item_id');
  end if;
  return new;
end $$;
comment on function com_allocation_apply() is 'both sides of an allocation move together';
revoke all on function com_allocation_apply() from public;
create trigger a_apply before insert on com_allocation
  for each row execute function com_allocation_apply();

-- the maker of allocations; both sides must be in the caller's sight
create function com_allocate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  a com_allocation;
begin
  perform app_require('payments.allocate');
  if (input ->> 'amount')::numeric <= 0 then
    perform app_fail('AP422', 'amount', 'must be greater than 0', 'amount');
  end if;
  if input ->> 'payment_id' is not null and not exists (
    select from com_payment p where p.id = (input ->> 'payment_id')::uuid and com_at(p.location_id)) then
    perform app_fail('AP422', 'not_found', 'does not name an existing payment', 'payment_id');
  end if;
  if input ->> 'credit_item_id' is not null and not exists (
    select from com_open_item i where i.id = (input ->> 'credit_item_id')::uuid and com_at(i.location_id)) then
    perform app_fail('AP422', 'not_found', 'does not name an existing open item', 'credit_item_id');
  end if;
  if not exists (select from com_open_item i where i.id = (input ->> 'open_item_id')::uuid and com_at(i.location_id)) then
    perform app_fail('AP422', 'not_found', 'does not name an existing open item', 'open_item_id');
  end if;
  insert into com_allocation (id, payment_id, credit_item_id, open_item_id, amount)
  values ($1, (input ->> 'payment_id')::uuid, (input ->> 'credit_item_id')::uuid, (input ->> 'open_item_id')::uuid,
    (input ->> 'amount')::numeric)
  returning * into a;
  return to_jsonb(a);
end $$;
comment on function com_allocate(uuid, jsonb) is 'settles a due by a payment or a credit note';
revoke all on function com_allocate(uuid, jsonb) from public;

create function com_mirrored(p_lines jsonb) returns jsonb
language sql immutable as $$
  select coalesce(jsonb_agg(
    case
      when l ? 'debit' then (l - 'debit') || jsonb_build_object('credit', l -> 'debit')
      else (l - 'credit') || jsonb_build_object('debit', l -> 'credit')
    end order by n), '[]')
  from jsonb_array_elements(p_lines) with ordinality x (l, n)
$$;
comment on function com_mirrored(jsonb) is 'internal: an entry the other way round';
revoke all on function com_mirrored(jsonb) from public;

create function com_payment_lines(r com_payment) returns jsonb
language sql immutable as $$
  select case r.direction
    when 'in' then jsonb_build_array(
      jsonb_build_object('role', 'money:' || r.method, 'debit', r.amount),
      jsonb_build_object('role', 'receivable', 'party', true, 'credit', r.amount))
    else jsonb_build_array(
      jsonb_build_object('role', 'payable', 'party', true, 'debit', r.amount),
      jsonb_build_object('role', 'money:' || r.method, 'credit', r.amount))
  end
$$;
comment on function com_payment_lines(com_payment) is 'internal: the double entry of a payment, by role';
revoke all on function com_payment_lines(com_payment) from public;

create function com_payment_post(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r com_payment;
begin
  perform app_require('payments.post');
  select * into r from com_payment where id = $1 for update;
  if r.id is null or not com_at(r.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(r.state, 'draft');
  update com_payment
  set
    number = sys_next_number(case r.direction when 'in' then 'receipt' else 'voucher' end, r.paid_on, r.location_id),
    state = 'posted'
  where id = r.id
  returning * into r;
  perform sys_emit('payment.' || r.direction || '.posted', 'com_payment', r.id, r.paid_on, r.location_id, r.party_id, r.amount, r.currency,
    com_payment_lines(r));
  return to_jsonb(r);
end $$;
comment on function com_payment_post(uuid, jsonb) is 'gives a payment its number; it is fixed from then on';
revoke all on function com_payment_post(uuid, jsonb) from public;

create function com_payment_reverse(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r com_payment;
begin
  perform app_require('payments.reverse');
  select * into r from com_payment where id = $1 for update;
  if r.id is null or not com_at(r.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(r.state, 'posted');
  if length(btrim(input ->> 'reason')) not between 1 and 500 then
    perform app_fail('AP422', 'reason', 'must have 1 to 500 characters', 'reason');
  end if;
  insert into com_allocation (payment_id, open_item_id, amount, reverses)
  select r.id, a.open_item_id, -a.amount, a.id
  from com_allocation a
  where a.payment_id = r.id and a.reverses is null and not exists (select from com_allocation b where b.reverses = a.id)
  order by a.open_item_id;
  update com_payment set state = 'reversed', reversed_reason = input ->> 'reason' where id = r.id returning * into r;
  perform sys_emit('payment.' || r.direction || '.reversed', 'com_payment', r.id, app_today(), r.location_id, r.party_id, r.amount, r.currency,
    com_mirrored(com_payment_lines(r)));
  return to_jsonb(r);
end $$;
comment on function com_payment_reverse(uuid, jsonb) is 'takes a payment back: what it settled is due again';
revoke all on function com_payment_reverse(uuid, jsonb) from public;

insert into sys_number_series (code, pattern) values
  ('receipt', 'R{LOC}{FY}{SEQ}'),
  ('voucher', 'V{LOC}{FY}{SEQ}');

-- Allocations carry their own day, so the ageing of last month can be read again.
create function com_ageing(p_ledger text default 'receivable', p_as_of date default app_today())
returns table (
  party_id uuid,
  party text,
  currency char(3),
  not_due numeric,
  d1_30 numeric,
  d31_60 numeric,
  d61_90 numeric,
  d90_plus numeric,
  credits numeric,
  total numeric
)
language sql stable as $$
  with used as (
    select u.item, sum(u.amount) as amount
    from (
      select a.open_item_id as item, a.amount from com_allocation a where a.allocated_on <= p_as_of
      union all
      select a.credit_item_id, a.amount from com_allocation a where a.credit_item_id is not null and a.allocated_on <= p_as_of) u
    group by u.item),
  o as (
    select i.party_id, i.currency, i.side, p_as_of - i.due_date as late, i.amount - coalesce(u.amount, 0) as rest
    from com_open_item i
    left join used u on u.item = i.id
    where i.ledger = p_ledger and i.doc_date <= p_as_of)
  select
    o.party_id,
    (select p.name from com_party p where p.id = o.party_id),
    o.currency,
    coalesce(sum(rest) filter (where side = 'due' and late <= 0), 0),
    coalesce(sum(rest) filter (where side = 'due' and late between 1 and 30), 0),
    coalesce(sum(rest) filter (where side = 'due' and late between 31 and 60), 0),
    coalesce(sum(rest) filter (where side = 'due' and late between 61 and 90), 0),
    coalesce(sum(rest) filter (where side = 'due' and late > 90), 0),
    coalesce(sum(rest) filter (where side = 'credit'), 0),
    sum(case side when 'due' then rest else -rest end)
  from o
  where rest <> 0
  group by o.party_id, o.currency
$$;
comment on function com_ageing(text, date) is 'what is due, by party and age, as it was at the end of a day';
revoke all on function com_ageing(text, date) from public;
