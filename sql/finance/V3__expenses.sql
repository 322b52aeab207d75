-- Expenses from claim to ledger, and the bank's view of our accounts.

-- Called once per statement from row security: (select fin_team())
create function fin_team() returns uuid[]
language sql stable as $$
  select array(select user_id from sys_team(app_uid()))
$$;
comment on function fin_team() is 'the users whose expenses an approver sees';
revoke all on function fin_team() from public;

create table fin_expense (
  id uuid primary key default uuid_v7(),
  number text,
  spent_on date not null default app_today(),
  location_id uuid not null,
  account_id uuid not null,
  party_id uuid,
  claimant uuid default app_uid(),
  description text not null,
  currency char(3) not null default 'INR',
  amount numeric(18,2) not null,
  tax_amount numeric(18,2) not null default 0,
  tax_recoverable boolean not null default false,
  paid_by text not null,
  receipt_ref text,
  total numeric(18,2) generated always as (amount + tax_amount) stored,
  reject_reason text,
  state text not null default 'draft',
  constraint fin_expense_number_key unique (number),
  constraint fin_expense_location_id_fk foreign key (location_id) references sys_location,
  constraint fin_expense_account_id_fk foreign key (account_id) references fin_account,
  constraint fin_expense_party_id_fk foreign key (party_id) references com_party,
  constraint fin_expense_claimant_fk foreign key (claimant) references sys_user,
  constraint fin_expense_description check (length(btrim(description)) between 1 and 500),
  constraint fin_expense_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint fin_expense_amount check (amount > 0),
  constraint fin_expense_paid_by check (paid_by in ('cash', 'bank', 'card', 'employee')),
  constraint fin_expense_receipt_ref check (length(receipt_ref) <= 100),
  constraint fin_expense_reject_reason check (length(reject_reason) <= 500),
  constraint fin_expense_state check (state in ('draft', 'submitted', 'approved', 'posted', 'rejected')),
  constraint fin_expense_tax check (tax_amount between 0 and amount),
  constraint fin_expense_rejected check ((state = 'rejected') = (reject_reason is not null)),
  constraint fin_expense_numbered check ((state = 'posted') = (number is not null))
);
comment on table fin_expense is 'what was spent';
comment on constraint fin_expense_number_key on fin_expense is 'is already used by another expense';
comment on constraint fin_expense_location_id_fk on fin_expense is 'does not name an existing location | is still used by expenses';
comment on constraint fin_expense_account_id_fk on fin_expense is 'does not name an existing account | is still used by expenses';
comment on constraint fin_expense_party_id_fk on fin_expense is 'does not name an existing customer or vendor | is still used by expenses';
comment on constraint fin_expense_claimant_fk on fin_expense is 'does not name an existing user | is still used by expenses';
comment on constraint fin_expense_description on fin_expense is 'must have 1 to 500 characters';
comment on constraint fin_expense_currency on fin_expense is 'must be a currency code of three letters with at most two decimals';
comment on constraint fin_expense_amount on fin_expense is 'must be greater than 0';
comment on constraint fin_expense_paid_by on fin_expense is 'must be cash, bank, card or employee';
comment on constraint fin_expense_receipt_ref on fin_expense is 'must have at most 100 characters';
comment on constraint fin_expense_reject_reason on fin_expense is 'must have at most 500 characters';
comment on constraint fin_expense_state on fin_expense is 'must be draft, submitted, approved, posted or rejected';
comment on constraint fin_expense_tax on fin_expense is 'must be from 0 to the amount';
comment on constraint fin_expense_rejected on fin_expense is 'is given exactly when an expense is rejected';
comment on constraint fin_expense_numbered on fin_expense is 'is given at posting';
select sys_std('fin_expense');
create index fin_expense_location_id on fin_expense (location_id);
create index fin_expense_account_id on fin_expense (account_id);
create index fin_expense_party_id on fin_expense (party_id) where party_id is not null;
create index fin_expense_claimant on fin_expense (claimant) where claimant is not null;
create trigger a_reference before insert or update of party_id on fin_expense
  for each row execute function com_reference_guard('party_id', 'com_party', 'vendor');
create trigger b_action_only before update on fin_expense
  for each row execute function sys_action_only('number,claimant,state,reject_reason');
create trigger c_freeze after update or delete on fin_expense
  for each row execute function sys_freeze('submitted,approved,posted,rejected', 'state,number,reject_reason');

create function fin_expense_guard() returns trigger
language plpgsql as $$
begin
  if not exists (select from fin_account where id = new.account_id and type = 'expense' and not is_group and active) then
    perform app_fail('AP422', 'account', 'does not name an active expense account', 'account_id');
  end if;
  return new;
end $$;
comment on function fin_expense_guard() is 'an expense is booked to an expense account';
revoke all on function fin_expense_guard() from public;
create trigger a_guard before insert or update of account_id on fin_expense
  for each row execute function fin_expense_guard();

create function fin_sees(p_claimant uuid) returns boolean
language sql stable as $$
  select coalesce(p_claimant = app_uid(), false) or app_has('expenses.scope.all')
    or (app_has('expenses.approve') and coalesce(p_claimant = any (fin_team()), false))
$$;
comment on function fin_sees(uuid) is 'internal: does the caller see the expenses of this user';
revoke all on function fin_sees(uuid) from public;

create function fin_expense_submit(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  x fin_expense;
begin
  perform app_require('expenses.submit');
  select * into x from fin_expense where id = $1 for update;
  if x.id is null or not fin_sees(x.claimant) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(x.state, 'draft');
  update fin_expense set state = 'submitted' where id = x.id returning * into x;
  return to_jsonb(x);
end $$;
comment on function fin_expense_submit(uuid, jsonb) is 'hands an expense in';
revoke all on function fin_expense_submit(uuid, jsonb) from public;

create function fin_need_other(x fin_expense) returns void
language plpgsql as $$
begin
  if x.claimant is not distinct from app_uid() then
    perform app_fail('AP403', 'self_approval', 'Who claims an expense does not decide on it.');
  end if;
end $$;
comment on function fin_need_other(fin_expense) is 'internal: refuses an approver who claims himself';
revoke all on function fin_need_other(fin_expense) from public;

create function fin_expense_approve(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  x fin_expense;
begin
  perform app_require('expenses.approve');
  select * into x from fin_expense where id = $1 for update;
  if x.id is null or not fin_sees(x.claimant) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(x.state, 'submitted');
  perform fin_need_other(x);
  update fin_expense set state = 'approved' where id = x.id returning * into x;
  return to_jsonb(x);
end $$;
comment on function fin_expense_approve(uuid, jsonb) is 'an expense may be posted';
revoke all on function fin_expense_approve(uuid, jsonb) from public;

create function fin_expense_reject(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  x fin_expense;
begin
  perform app_require('expenses.approve');
  select * into x from fin_expense where id = $1 for update;
  if x.id is null or not fin_sees(x.claimant) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(x.state, 'submitted', 'approved');
  perform fin_need_other(x);
  if length(btrim(input ->> 'reason')) = 0 then
    perform app_fail('AP422', 'reason', 'is needed for a rejected expense', 'reason');
  end if;
  update fin_expense set state = 'rejected', reject_reason = input ->> 'reason' where id = x.id returning * into x;
  return to_jsonb(x);
end $$;
comment on function fin_expense_reject(uuid, jsonb) is 'an expense is not accepted';
revoke all on function fin_expense_reject(uuid, jsonb) from public;

create function fin_expense_post(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  x fin_expense;
  lines jsonb;
  claimed boolean;
begin
  perform app_require('expenses.post');
  select * into x from fin_expense where id = $1 for update;
  if x.id is null or not fin_sees(x.claimant) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(x.state, 'approved');
  claimed := x.tax_recoverable and x.tax_amount > 0;
  update fin_expense set state = 'posted', number = sys_next_number('expense', spent_on, location_id) where id = x.id returning * into x;
  lines := jsonb_build_array(
    jsonb_build_object('account_id', x.account_id, 'debit', case when claimed then x.amount else x.total end));
  if claimed then
    lines := lines || jsonb_build_object('role', 'input_tax', 'debit', x.tax_amount);
  end if;
  lines := lines || jsonb_build_object(
    'role', case x.paid_by when 'employee' then 'employee_payable' else 'money:' || x.paid_by end, 'credit', x.total);
  perform sys_emit('finance.expense.posted', 'fin_expense', x.id, x.spent_on, x.location_id, x.party_id, x.total, x.currency, lines);
  return to_jsonb(x);
end $$;
comment on function fin_expense_post(uuid, jsonb) is 'gives an approved expense its number and books it';
revoke all on function fin_expense_post(uuid, jsonb) from public;

create table fin_bank_line (
  id uuid primary key default uuid_v7(),
  account_id uuid not null,
  value_date date not null,
  amount numeric(18,2) not null,
  reference text not null,
  bank_id text not null,
  line_id uuid,
  matched_by uuid,
  constraint fin_bank_line_account_id_fk foreign key (account_id) references fin_account,
  constraint fin_bank_line_amount check (amount <> 0),
  constraint fin_bank_line_reference check (length(btrim(reference)) between 1 and 200),
  constraint fin_bank_line_bank_id check (length(btrim(bank_id)) between 1 and 100),
  constraint fin_bank_line_line_id_fk foreign key (line_id) references fin_line,
  constraint fin_bank_line_line_id_key unique (line_id),
  constraint fin_bank_line_matched_by_fk foreign key (matched_by) references sys_user,
  constraint fin_bank_line_bank_key unique (account_id, bank_id),
  constraint fin_bank_line_matched check ((line_id is null) = (matched_by is null))
);
comment on table fin_bank_line is 'what the bank says of an account';
comment on constraint fin_bank_line_account_id_fk on fin_bank_line is 'does not name an existing account | is still used by bank lines';
comment on constraint fin_bank_line_amount on fin_bank_line is 'must not be 0';
comment on constraint fin_bank_line_reference on fin_bank_line is 'must have 1 to 200 characters';
comment on constraint fin_bank_line_bank_id on fin_bank_line is 'must have 1 to 100 characters';
comment on constraint fin_bank_line_line_id_fk on fin_bank_line is 'does not name an existing entry line | is still used by bank lines';
comment on constraint fin_bank_line_line_id_key on fin_bank_line is 'has already been matched';
comment on constraint fin_bank_line_matched_by_fk on fin_bank_line is 'does not name an existing user | is still used by bank lines';
comment on constraint fin_bank_line_bank_key on fin_bank_line is 'has already been imported';
comment on constraint fin_bank_line_matched on fin_bank_line is 'is set exactly when the line is matched';
select sys_std('fin_bank_line');
create index fin_bank_line_matched_by on fin_bank_line (matched_by) where matched_by is not null;
create trigger b_action_only before update on fin_bank_line
  for each row execute function sys_action_only('line_id,matched_by');

create function fin_bank_match(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  b fin_bank_line;
  l record;
begin
  perform app_require('finance.bank.match');
  select * into b from fin_bank_line where id = $1 for update;
  if b.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if b.line_id is not null then
    perform app_fail('AP409', 'matched', 'The line of the bank has been matched.');
  end if;
  select x.id, x.account_id, x.debit - x.credit as amount into l
  from fin_line x
  join fin_entry e on e.id = x.entry_id and e.state = 'posted' and com_at(e.location_id)
  where x.id = (input ->> 'line_id')::uuid;
  if l.id is null then
    perform app_fail('AP422', 'not_found', 'does not name a posted entry line', 'line_id');
  end if;
  if (l.account_id, l.amount) is distinct from (b.account_id, b.amount) then
    perform app_fail('AP422', 'other_amount', 'must be of the same account and amount', 'line_id');
  end if;
  if exists (select from fin_bank_line where line_id = l.id) then
    perform app_fail('AP409', 'matched', 'The entry line has been matched.', 'line_id');
  end if;
  update fin_bank_line set line_id = l.id, matched_by = app_uid() where id = b.id returning * into b;
  return to_jsonb(b);
end $$;
comment on function fin_bank_match(uuid, jsonb) is 'a line of the bank is a line of the books';
revoke all on function fin_bank_match(uuid, jsonb) from public;

create function fin_bank_unmatch(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  b fin_bank_line;
begin
  perform app_require('finance.bank.match');
  select * into b from fin_bank_line where id = $1 for update;
  if b.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if b.line_id is null then
    perform app_fail('AP409', 'not_matched', 'The line of the bank has not been matched.');
  end if;
  update fin_bank_line set line_id = null, matched_by = null where id = b.id returning * into b;
  return to_jsonb(b);
end $$;
comment on function fin_bank_unmatch(uuid, jsonb) is 'takes a match back';
revoke all on function fin_bank_unmatch(uuid, jsonb) from public;
