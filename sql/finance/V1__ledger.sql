-- Chart of accounts, periods, and the journal. A posted entry never changes; corrections are new entries.

create table fin_account (
  id uuid primary key default uuid_v7(),
  code text not null,
  name text not null,
  parent_id uuid,
  type text not null,
  is_group boolean not null default false,
  control text,
  active boolean not null default true,
  sign int generated always as (case when type in ('asset', 'expense') then 1 else -1 end) stored,
  constraint fin_account_code check (code ~ '^[A-Z0-9][A-Z0-9.-]{0,19}$'),
  constraint fin_account_code_key unique (code),
  constraint fin_account_name check (length(btrim(name)) between 1 and 200),
  constraint fin_account_parent_id_fk foreign key (parent_id) references fin_account,
  constraint fin_account_type check (type in ('asset', 'liability', 'equity', 'income', 'expense')),
  constraint fin_account_control check (control in ('receivable', 'payable', 'bank', 'cash', 'tax', 'retained_earnings')),
  constraint fin_account_parent check (parent_id is distinct from id)
);
comment on table fin_account is 'the chart of accounts';
comment on constraint fin_account_code on fin_account is 'must have 1 to 20 capital letters, digits, . or -';
comment on constraint fin_account_code_key on fin_account is 'is already used by another account';
comment on constraint fin_account_name on fin_account is 'must have 1 to 200 characters';
comment on constraint fin_account_parent_id_fk on fin_account is 'does not name an existing account | is still used by accounts';
comment on constraint fin_account_type on fin_account is 'must be asset, liability, equity, income or expense';
comment on constraint fin_account_control on fin_account is 'must be receivable, payable, bank, cash, tax or retained_earnings';
comment on constraint fin_account_parent on fin_account is 'cannot be the account itself';
select sys_std('fin_account');
create unique index fin_account_retained_key on fin_account (control) where control = 'retained_earnings';
comment on index fin_account_retained_key is 'belongs to another account';
create index fin_account_parent_id on fin_account (parent_id) where parent_id is not null;

create table fin_period (
  id uuid primary key default uuid_v7(),
  name text not null,
  span daterange not null,
  state text not null default 'open',
  tax_filed_on date,
  constraint fin_period_name check (length(btrim(name)) between 1 and 50),
  constraint fin_period_name_key unique (name),
  constraint fin_period_span check (not isempty(span) and not lower_inf(span) and not upper_inf(span)),
  constraint fin_period_state check (state in ('open', 'closed')),
  constraint fin_period_overlap exclude using gist (span with &&)
);
comment on table fin_period is 'spans of time that are closed one after the other';
comment on constraint fin_period_name on fin_period is 'must have 1 to 50 characters';
comment on constraint fin_period_name_key on fin_period is 'is already used by another period';
comment on constraint fin_period_span on fin_period is 'must begin and end';
comment on constraint fin_period_state on fin_period is 'must be open or closed';
comment on constraint fin_period_overlap on fin_period is 'overlaps another period';
select sys_std('fin_period');
create trigger b_action_only before update on fin_period
  for each row execute function sys_action_only('name,span,state,tax_filed_on');

create table fin_entry (
  id uuid primary key default uuid_v7(),
  number text,
  entry_date date not null,
  period_id uuid,
  narration text,
  source_event bigint,
  reversal_of uuid,
  location_id uuid,
  state text not null default 'draft',
  posted_at timestamptz,
  posted_by uuid,
  chain_no bigint,
  prev_hash bytea,
  hash bytea,
  constraint fin_entry_number_key unique (number),
  constraint fin_entry_period_id_fk foreign key (period_id) references fin_period,
  constraint fin_entry_narration check (length(narration) <= 500),
  constraint fin_entry_reversal_of_fk foreign key (reversal_of) references fin_entry,
  constraint fin_entry_reversal_of_key unique (reversal_of),
  constraint fin_entry_location_id_fk foreign key (location_id) references sys_location,
  constraint fin_entry_state check (state in ('draft', 'posted')),
  constraint fin_entry_posted_by_fk foreign key (posted_by) references sys_user,
  constraint fin_entry_posted check ((state = 'posted') = (number is not null and posted_at is not null and period_id is not null)),
  constraint fin_entry_source_event_key unique (source_event),
  constraint fin_entry_source_event_fk foreign key (source_event) references sys_event,
  constraint fin_entry_chain_no_key unique (chain_no)
);
comment on table fin_entry is 'the journal';
comment on constraint fin_entry_number_key on fin_entry is 'is already used by another entry';
comment on constraint fin_entry_period_id_fk on fin_entry is 'does not name an existing period | is still used by entries';
comment on constraint fin_entry_narration on fin_entry is 'must have at most 500 characters';
comment on constraint fin_entry_reversal_of_fk on fin_entry is 'does not name an existing entry | is still used by entries';
comment on constraint fin_entry_reversal_of_key on fin_entry is 'has already been reversed';
comment on constraint fin_entry_location_id_fk on fin_entry is 'does not name an existing location | is still used by entries';
comment on constraint fin_entry_state on fin_entry is 'must be draft or posted';
comment on constraint fin_entry_posted_by_fk on fin_entry is 'does not name an existing user | is still used by entries';
comment on column fin_entry.chain_no is 'the place in the chain of hashes';
comment on constraint fin_entry_posted on fin_entry is 'is given at posting';
select sys_std('fin_entry');
create index fin_entry_day on fin_entry (entry_date) where state = 'posted';
create index fin_entry_period_id on fin_entry (period_id) where period_id is not null;
create index fin_entry_location_id on fin_entry (location_id) where location_id is not null;
create index fin_entry_posted_by on fin_entry (posted_by) where posted_by is not null;
create trigger b_action_only before update on fin_entry
  for each row execute function sys_action_only('number,period_id,source_event,reversal_of,state,posted_at,posted_by,chain_no,prev_hash,hash');
create trigger c_freeze after update or delete on fin_entry
  for each row execute function sys_freeze('posted', '');

create table fin_line (
  id uuid primary key default uuid_v7(),
  entry_id uuid not null,
  line_no int not null,
  account_id uuid not null,
  party_id uuid,
  location_id uuid,
  cost_center text,
  debit numeric(18,2) not null default 0,
  credit numeric(18,2) not null default 0,
  fc_currency char(3),
  fc_amount numeric(18,2),
  memo text,
  constraint fin_line_entry_id_fk foreign key (entry_id) references fin_entry on delete cascade,
  constraint fin_line_line_no check (line_no > 0),
  constraint fin_line_account_id_fk foreign key (account_id) references fin_account,
  constraint fin_line_party_id_fk foreign key (party_id) references com_party,
  constraint fin_line_location_id_fk foreign key (location_id) references sys_location,
  constraint fin_line_cost_center check (length(cost_center) <= 50),
  constraint fin_line_debit check (debit >= 0),
  constraint fin_line_credit check (credit >= 0),
  constraint fin_line_fc_currency check (fc_currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint fin_line_memo check (length(memo) <= 500),
  constraint fin_line_key unique (entry_id, line_no),
  constraint fin_line_one_side check ((debit > 0) <> (credit > 0)),
  constraint fin_line_foreign_amount check ((fc_currency is null) = (fc_amount is null))
);
comment on table fin_line is 'debits and credits of the entries';
comment on constraint fin_line_entry_id_fk on fin_line is 'does not name an existing entry';
comment on constraint fin_line_line_no on fin_line is 'must be greater than 0';
comment on constraint fin_line_account_id_fk on fin_line is 'does not name an existing account | is still used by entry lines';
comment on constraint fin_line_party_id_fk on fin_line is 'does not name an existing customer or vendor | is still used by entry lines';
comment on constraint fin_line_location_id_fk on fin_line is 'does not name an existing location | is still used by entry lines';
comment on constraint fin_line_cost_center on fin_line is 'must have at most 50 characters';
comment on constraint fin_line_debit on fin_line is 'must be at least 0';
comment on constraint fin_line_credit on fin_line is 'must be at least 0';
comment on constraint fin_line_fc_currency on fin_line is 'must be a currency code of three letters with at most two decimals';
comment on constraint fin_line_memo on fin_line is 'must have at most 500 characters';
comment on constraint fin_line_key on fin_line is 'is already used by another line of this entry';
comment on constraint fin_line_one_side on fin_line is 'one of debit and credit is needed';
comment on constraint fin_line_foreign_amount on fin_line is 'a foreign currency and its amount come together';
select sys_std('fin_line');
create index fin_line_account on fin_line (account_id, entry_id);
create index fin_line_account_id on fin_line (account_id);
create index fin_line_party_id on fin_line (party_id) where party_id is not null;
create index fin_line_location_id on fin_line (location_id) where location_id is not null;
create trigger a_reference before insert or update of party_id on fin_line
  for each row execute function com_reference_guard('party_id', 'com_party', 'customer or vendor');
create trigger b_freeze after insert or update or delete on fin_line
  for each row execute function sys_freeze_child('fin_entry', 'entry_id', 'draft', '');

create function fin_balanced() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  n int;
  d numeric;
begin
  if not exists (select from fin_entry where id = new.id and state = 'posted') then
    return null;
  end if;
  select count(*), coalesce(sum(debit - credit), 0) into n, d from fin_line where entry_id = new.id;
  if n < 2 or d <> 0 then
    perform app_fail('AP422', 'unbalanced', format('The entry has %s lines; debits less credits are %s.', n, d));
  end if;
  return null;
end $$;
comment on function fin_balanced() is 'whatever wrote it, a posted entry balances when the transaction commits';
revoke all on function fin_balanced() from public;
create constraint trigger d_balanced after insert or update on fin_entry deferrable initially deferred
  for each row execute function fin_balanced();

create table fin_posting_rule (
  id uuid primary key default uuid_v7(),
  role text not null,
  location_id uuid,
  account_id uuid not null,
  constraint fin_posting_rule_role check (role ~ '^[a-z][a-z0-9_]*(:[a-z0-9_]+)?$'),
  constraint fin_posting_rule_location_id_fk foreign key (location_id) references sys_location,
  constraint fin_posting_rule_account_id_fk foreign key (account_id) references fin_account,
  constraint fin_posting_rule_key unique nulls not distinct (role, location_id)
);
comment on table fin_posting_rule is 'which account a role in business events stands for, everywhere or at a location';
comment on constraint fin_posting_rule_role on fin_posting_rule is 'must be a role such as sales or money:upi';
comment on constraint fin_posting_rule_location_id_fk on fin_posting_rule is 'does not name an existing location | is still used by posting rules';
comment on constraint fin_posting_rule_account_id_fk on fin_posting_rule is 'does not name an existing account | is still used by posting rules';
comment on constraint fin_posting_rule_key on fin_posting_rule is 'already has an account there';
select sys_std('fin_posting_rule');
create index fin_posting_rule_location_id on fin_posting_rule (location_id) where location_id is not null;
create index fin_posting_rule_account_id on fin_posting_rule (account_id);

-- an account in use keeps what its past postings meant
create function fin_account_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if exists (select from fin_line where account_id = old.id) then
    perform app_fail('AP409', 'in_use', 'An account with postings keeps its type, its control and its place as a leaf.', 'type');
  end if;
  return new;
end $$;
comment on function fin_account_guard() is 'an account with postings keeps its type';
revoke all on function fin_account_guard() from public;
create trigger b_in_use before update on fin_account
  for each row when ((old.type, old.control, old.is_group) is distinct from (new.type, new.control, new.is_group))
  execute function fin_account_guard();

insert into fin_account (code, name, type, control) values
  ('1000', 'Cash', 'asset', 'cash'),
  ('1010', 'Bank', 'asset', 'bank'),
  ('1020', 'Card and gateway clearing', 'asset', null),
  ('1100', 'Trade receivables', 'asset', 'receivable'),
  ('1200', 'Inventory', 'asset', null),
  ('1300', 'Input GST', 'asset', 'tax'),
  ('2000', 'Trade payables', 'liability', 'payable'),
  ('2010', 'Goods received, not invoiced', 'liability', null),
  ('2100', 'Output CGST', 'liability', 'tax'),
  ('2110', 'Output SGST', 'liability', 'tax'),
  ('2120', 'Output IGST', 'liability', 'tax'),
  ('2200', 'Payable to employees', 'liability', null),
  ('2210', 'Salaries payable', 'liability', null),
  ('2220', 'Statutory dues payable', 'liability', null),
  ('3000', 'Capital and opening balances', 'equity', null),
  ('3100', 'Retained earnings', 'equity', 'retained_earnings'),
  ('4000', 'Sales', 'income', null),
  ('5000', 'Cost of goods sold', 'expense', null),
  ('5100', 'Stock losses', 'expense', null),
  ('5200', 'Purchase price variance', 'expense', null),
  ('6000', 'Rent', 'expense', null),
  ('6100', 'Salaries', 'expense', null),
  ('6200', 'Travel', 'expense', null),
  ('6300', 'Office and utilities', 'expense', null),
  ('6400', 'Marketing', 'expense', null),
  ('6900', 'Rounding', 'expense', null);
insert into fin_posting_rule (role, account_id)
select r.role, a.id
from fin_account a
join (values
  ('money:cash', '1000'), ('money:bank', '1010'), ('money:upi', '1010'), ('money:cheque', '1010'), ('money:card', '1020'),
  ('money:gateway', '1020'), ('receivable', '1100'), ('inventory', '1200'), ('input_tax', '1300'), ('payable', '2000'),
  ('grni', '2010'), ('output_cgst', '2100'), ('output_sgst', '2110'), ('output_igst', '2120'), ('employee_payable', '2200'),
  ('salary_payable', '2210'), ('statutory_payable', '2220'), ('opening_equity', '3000'), ('sales', '4000'), ('cogs', '5000'),
  ('stock_loss', '5100'), ('purchase_variance', '5200'), ('salary_expense', '6100'), ('rounding', '6900')) r (role, code)
  using (code);

-- the months of the last fiscal year, of this one, and of the next
insert into fin_period (name, span)
select to_char(m, 'YYYY-MM'), daterange(m::date, (m + interval '1 month')::date)
from (
  select make_date(extract(year from app_today())::int - (extract(month from app_today()) < s.m)::int, s.m, 1) as start
  from (select coalesce((select (value #>> '{}')::int from sys_setting where key = 'fy_start_month'), 4) as m) s) fy
cross join lateral generate_series(fy.start - interval '1 year', fy.start + interval '23 months', interval '1 month') m;

insert into sys_number_series (code, pattern) values
  ('journal', 'JV-{FY}-{SEQ}'),
  ('expense', 'EX-{FY}-{SEQ}');
