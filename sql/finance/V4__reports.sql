-- Reports over posted entries. Totals of the whole ledger are for who sees all locations; a part of them would not add up.

create function fin_trial_balance(p_from date, p_to date)
returns table (code text, name text, type text, opening numeric, debit numeric, credit numeric, closing numeric)
language plpgsql stable as $$
#variable_conflict use_column
begin
  perform app_require('locations.all');
  return query
    select
      a.code,
      a.name,
      a.type,
      coalesce(sum(t.opening), 0),
      coalesce(sum(t.debit), 0),
      coalesce(sum(t.credit), 0),
      coalesce(sum(t.opening + t.debit - t.credit), 0)
    from (
      select
        l.account_id,
        coalesce(sum(l.debit - l.credit) filter (where e.entry_date < p_from), 0) as opening,
        coalesce(sum(l.debit) filter (where e.entry_date >= p_from), 0) as debit,
        coalesce(sum(l.credit) filter (where e.entry_date >= p_from), 0) as credit
      from fin_line l
      join fin_entry e on e.id = l.entry_id and e.state = 'posted' and e.entry_date <= p_to
      group by l.account_id) t
    join fin_account a on a.id = t.account_id
    group by a.code, a.name, a.type
    order by a.code;
end $$;
comment on function fin_trial_balance(date, date) is 'balances and movements of all accounts; debits are positive, and each column adds up to 0 or to the same';
revoke all on function fin_trial_balance(date, date) from public;

create function fin_profit_loss(p_from date, p_to date, p_location_id uuid default null)
returns table (type text, code text, name text, amount numeric)
language plpgsql stable as $$
#variable_conflict use_column
begin
  if p_location_id is null then
    perform app_require('locations.all');
  end if;
  return query
    select a.type, a.code, a.name, sum(l.credit - l.debit) * case a.type when 'expense' then -1 else 1 end
    from fin_line l
    join fin_entry e on e.id = l.entry_id and e.state = 'posted' and e.entry_date between p_from and p_to
    join fin_account a on a.id = l.account_id and a.type in ('income', 'expense')
    where p_location_id is null or l.location_id = p_location_id
    group by a.type, a.code, a.name
    order by a.type desc, a.code;
end $$;
comment on function fin_profit_loss(date, date, uuid) is 'income and expense of a time, everywhere or at a location';
revoke all on function fin_profit_loss(date, date, uuid) from public;

create function fin_balance_sheet(p_as_of date)
returns table (section text, code text, name text, amount numeric)
language plpgsql stable as $$
#variable_conflict use_column
begin
  perform app_require('locations.all');
  return query
    with x as (
      select a.type, a.code, a.name, a.sign, sum(l.debit - l.credit) as balance
      from fin_line l
      join fin_entry e on e.id = l.entry_id and e.state = 'posted' and e.entry_date <= p_as_of
      join fin_account a on a.id = l.account_id
      group by a.id)
    select x.type, x.code, x.name, x.balance * x.sign from x where x.type in ('asset', 'liability', 'equity') and x.balance <> 0
    union all
    select 'equity', '~PL', 'Result not yet appropriated', -sum(x.balance) from x where x.type in ('income', 'expense')
    having sum(x.balance) <> 0;
end $$;
comment on function fin_balance_sheet(date) is 'what there is and whose it is: assets are liabilities, equity and result together';
revoke all on function fin_balance_sheet(date) from public;

create view fin_v_gl with (security_invoker = true) as
select
  l.account_id,
  a.code,
  a.name,
  e.entry_date,
  e.number,
  l.line_no,
  coalesce(l.memo, e.narration) as narration,
  l.party_id,
  l.location_id,
  l.debit,
  l.credit,
  sum((l.debit - l.credit) * a.sign) over (partition by l.account_id order by e.entry_date, e.chain_no, l.line_no) as running_balance
from fin_line l
join fin_entry e on e.id = l.entry_id and e.state = 'posted'
join fin_account a on a.id = l.account_id;
comment on view fin_v_gl is 'all posted lines with the running balance of their account';

create view fin_v_budget with (security_invoker = true) as
select
  b.month,
  a.code,
  a.name,
  b.location_id,
  b.amount as budget,
  coalesce(u.actual, 0) as actual,
  b.amount - coalesce(u.actual, 0) as remaining,
  round(coalesce(u.actual, 0) * 100 / nullif(b.amount, 0), 1) as used_pct
from fin_budget b
join fin_account a on a.id = b.account_id
left join lateral (
  select sum(l.debit - l.credit) as actual
  from fin_line l
  join fin_entry e on e.id = l.entry_id and e.state = 'posted'
  where l.account_id = b.account_id
    and e.entry_date >= b.month and e.entry_date < b.month + interval '1 month'
    and (b.location_id is null or l.location_id = b.location_id)) u on true;
comment on view fin_v_budget is 'budgets beside what was spent';

create view fin_v_bank_unmatched with (security_invoker = true) as
select 'bank' as side, b.account_id, b.value_date as on_date, b.amount, b.reference
from fin_bank_line b
where b.line_id is null
union all
select 'books', l.account_id, e.entry_date, l.debit - l.credit, e.number
from fin_line l
join fin_entry e on e.id = l.entry_id and e.state = 'posted'
join fin_account a on a.id = l.account_id and a.control = 'bank'
where not exists (select from fin_bank_line b where b.line_id = l.id);
comment on view fin_v_bank_unmatched is 'what the bank has and the books have not, and the other way round';

create view fin_v_tax with (security_invoker = true) as
select
  date_trunc('month', e.entry_date)::date as month,
  l.location_id,
  coalesce(sum(l.credit - l.debit) filter (where r.role = 'output'), 0) as output_tax,
  coalesce(sum(l.debit - l.credit) filter (where r.role = 'input_'), 0) as input_credit,
  coalesce(sum(l.credit - l.debit), 0) as net_payable
from fin_line l
join fin_entry e on e.id = l.entry_id and e.state = 'posted'
join (
  select distinct account_id, left(role, 6) as role
  from fin_posting_rule
  where role like 'output\_%' or role like 'input\_%') r on r.account_id = l.account_id
group by 1, 2;
comment on view fin_v_tax is 'output tax, input credit, and what is to be paid, by month and location';

-- Recomputes the chain: an entry that was altered behind the service's back does not fit its hash.
create function fin_verify_chain() returns table (first_altered text)
language plpgsql stable security definer set search_path from current as $$
declare
  e fin_entry;
  before bytea;
  place bigint := 0;
begin
  perform app_require('reports.financial');
  for e in select x.* from fin_entry x where x.state = 'posted' order by x.chain_no loop
    place := place + 1;
    if e.chain_no is distinct from place or e.prev_hash is distinct from before
      or e.hash is distinct from sha256(coalesce(before, '') || convert_to(fin_entry_text(e), 'UTF8')) then
      first_altered := e.number;
      return next;
      return;
    end if;
    before := e.hash;
  end loop;
end $$;
comment on function fin_verify_chain() is 'the first entry that was altered; nothing when the ledger is intact';
revoke all on function fin_verify_chain() from public;
