-- Posting, reversing, and the events of all packs, which become entries in the transaction of their action.

create function fin_entry_text(e fin_entry) returns text
language sql stable as $$
  select concat_ws('|', e.id, e.chain_no, e.number, e.entry_date, e.period_id, e.location_id, e.reversal_of, (
    select string_agg(concat_ws(':', l.line_no, l.account_id, l.party_id, l.debit, l.credit), ',' order by l.line_no)
    from fin_line l
    where l.entry_id = e.id))
$$;
comment on function fin_entry_text(fin_entry) is 'internal: what the hash of an entry covers besides the hash before it';
revoke all on function fin_entry_text(fin_entry) from public;

create function fin_need_lines(e fin_entry) returns void
language plpgsql as $$
declare
  n int;
  d numeric;
  bad text;
begin
  select count(*), coalesce(sum(debit - credit), 0) into n, d from fin_line where entry_id = e.id;
  if n < 2 or d <> 0 then
    perform app_fail('AP422', 'unbalanced', format('The entry has %s lines; debits less credits are %s.', n, d));
  end if;
  select min(a.code) into bad from fin_line l join fin_account a on a.id = l.account_id
  where l.entry_id = e.id and (a.is_group or not a.active);
  if bad is not null then
    perform app_fail('AP422', 'account', format('The account %s takes no postings.', bad));
  end if;
  select min(a.code) into bad from fin_line l join fin_account a on a.id = l.account_id
  where l.entry_id = e.id and a.control in ('receivable', 'payable') and l.party_id is null;
  if bad is not null then
    perform app_fail('AP422', 'party_required', format('The account %s needs a customer or vendor.', bad));
  end if;
end $$;
comment on function fin_need_lines(fin_entry) is 'internal: refuses lines that cannot be posted';
revoke all on function fin_need_lines(fin_entry) from public;

create function fin_need_budget(e fin_entry) returns void
language plpgsql as $$
declare
  bad text;
begin
  select min(a.code) into bad
  from fin_budget b
  join fin_account a on a.id = b.account_id and a.type = 'expense'
  cross join lateral (
    select
      sum(l.debit - l.credit) filter (where x.id = e.id) as now_spent,
      sum(l.debit - l.credit) as spent
    from fin_line l
    join fin_entry x on x.id = l.entry_id and (x.state = 'posted' or x.id = e.id)
    where l.account_id = b.account_id
      and (b.location_id is null or l.location_id = b.location_id)
      and x.entry_date >= b.month and x.entry_date < b.month + interval '1 month') u
  where b.on_exceed = 'stop' and b.month = date_trunc('month', e.entry_date)::date and u.now_spent > 0 and u.spent > b.amount;
  if bad is not null then
    perform app_fail('AP422', 'budget', format('The budget of the account %s would be exceeded.', bad));
  end if;
end $$;
comment on function fin_need_budget(fin_entry) is 'internal: refuses what would exceed a budget that stops';
revoke all on function fin_need_budget(fin_entry) from public;

-- One lock for the ledger of a tenant: budgets, numbers and the chain are decided one entry after the other.
create function fin_post(p_entry uuid) returns fin_entry
language plpgsql as $$
declare
  e fin_entry;
  p fin_period;
  last fin_entry;
begin
  select * into e from fin_entry where id = p_entry for update;
  perform com_need_state(e.state, 'draft');
  select * into p from fin_period where span @> e.entry_date for share;
  if p.id is null then
    perform app_fail('AP422', 'no_period', format('There is no period for %s.', e.entry_date), 'entry_date');
  end if;
  if p.state <> 'open' then
    perform app_fail('AP409', 'period_closed', format('The period %s is closed.', p.name));
  end if;
  perform fin_need_lines(e);
  perform pg_advisory_xact_lock(hashtextextended(current_schema() || '.fin_entry', 0));
  perform fin_need_budget(e);
  select * into last from fin_entry where chain_no is not null order by chain_no desc limit 1;
  e.number := sys_next_number('journal', e.entry_date);
  e.chain_no := coalesce(last.chain_no, 0) + 1;
  e.period_id := p.id;
  update fin_entry
  set
    state = 'posted',
    number = e.number,
    period_id = p.id,
    posted_at = now(),
    posted_by = app_uid(),
    chain_no = e.chain_no,
    prev_hash = last.hash,
    hash = sha256(coalesce(last.hash, '') || convert_to(fin_entry_text(e), 'UTF8'))
  where id = e.id
  returning * into e;
  return e;
end $$;
comment on function fin_post(uuid) is 'internal: posts a draft entry';
revoke all on function fin_post(uuid) from public;

create function fin_shown(e fin_entry) returns jsonb
language sql immutable as $$
  select to_jsonb(e) - 'hash' - 'prev_hash'
$$;
comment on function fin_shown(fin_entry) is 'internal: an entry as its caller may see it';
revoke all on function fin_shown(fin_entry) from public;

create function fin_entry_post(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  e fin_entry;
begin
  perform app_require('finance.entries.post');
  select * into e from fin_entry where id = $1 for update;
  if e.id is null or not com_at(e.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return fin_shown(fin_post(e.id));
end $$;
comment on function fin_entry_post(uuid, jsonb) is 'gives an entry its number and its place in the ledger';
revoke all on function fin_entry_post(uuid, jsonb) from public;

create function fin_entry_reverse(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  e fin_entry;
  n fin_entry;
  day constant date := (input ->> 'on_date')::date;
begin
  perform app_require('finance.entries.reverse');
  select * into e from fin_entry where id = $1 for update;
  if e.id is null or not com_at(e.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(e.state, 'posted');
  if e.reversal_of is not null then
    perform app_fail('AP409', 'is_reversal', 'A reversal is not reversed; post a new entry.');
  end if;
  if exists (select from fin_entry where reversal_of = e.id) then
    perform app_fail('AP409', 'reversed', 'The entry has already been reversed.');
  end if;
  if day < e.entry_date then
    perform app_fail('AP422', 'date', 'must not be before the entry', 'on_date');
  end if;
  insert into fin_entry (entry_date, narration, reversal_of, location_id)
  values (day, input ->> 'reason', e.id, e.location_id)
  returning * into n;
  insert into fin_line (entry_id, line_no, account_id, party_id, location_id, cost_center, debit, credit, fc_currency, fc_amount)
  select n.id, l.line_no, l.account_id, l.party_id, l.location_id, l.cost_center, l.credit, l.debit, l.fc_currency, -l.fc_amount
  from fin_line l
  where l.entry_id = e.id;
  return fin_shown(fin_post(n.id));
end $$;
comment on function fin_entry_reverse(uuid, jsonb) is 'posts the same entry the other way round, once';
revoke all on function fin_entry_reverse(uuid, jsonb) from public;

create function fin_account_for(p_role text, p_location uuid) returns uuid
language plpgsql stable as $$
declare
  a uuid;
begin
  select account_id into a from fin_posting_rule
  where role = p_role and (location_id = p_location or location_id is null)
  order by location_id nulls last
  limit 1;
  if a is null then
    perform app_fail('AP422', 'no_posting_rule', format('There is no account for the role %s.', p_role));
  end if;
  return a;
end $$;
comment on function fin_account_for(text, uuid) is 'internal: the account of a role at a location';
revoke all on function fin_account_for(text, uuid) from public;

create function fin_post_event(ev sys_event) returns uuid
language plpgsql as $$
declare
  e fin_entry;
  fx numeric;
  rest numeric;
begin
  if ev.lines = '[]' or exists (select from fin_entry where source_event = ev.seq) then
    return null;
  end if;
  if ev.event like 'sales.%' and exists (select from fin_period where span @> ev.occurred_on and tax_filed_on is not null) then
    perform app_fail('AP409', 'tax_filed', 'The tax return of that month has been filed.');
  end if;
  fx := case when ev.currency is null then 1 else com_fx(ev.currency, com_base(), ev.occurred_on) end;
  insert into fin_entry (entry_date, narration, source_event, location_id)
  values (ev.occurred_on, ev.event, ev.seq, ev.location_id)
  returning * into e;
  insert into fin_line (entry_id, line_no, account_id, party_id, location_id, debit, credit, fc_currency, fc_amount)
  select
    e.id,
    x.n,
    coalesce((x.l ->> 'account_id')::uuid, fin_account_for(x.l ->> 'role', ev.location_id)),
    case when (x.l ->> 'party')::boolean then ev.party_id end,
    ev.location_id,
    round(coalesce((x.l ->> 'debit')::numeric, 0) * fx, 2),
    round(coalesce((x.l ->> 'credit')::numeric, 0) * fx, 2),
    case when fx <> 1 then ev.currency end,
    case when fx <> 1 then coalesce((x.l ->> 'debit')::numeric, 0) - coalesce((x.l ->> 'credit')::numeric, 0) end
  from jsonb_array_elements(ev.lines) with ordinality x (l, n);
  if fx <> 1 then
    select sum(debit - credit) into rest from fin_line where entry_id = e.id;
    insert into fin_line (entry_id, line_no, account_id, location_id, debit, credit)
    select e.id, jsonb_array_length(ev.lines) + 1, fin_account_for('rounding', ev.location_id), ev.location_id,
      greatest(-rest, 0), greatest(rest, 0)
    where rest <> 0;
  end if;
  perform fin_post(e.id);
  return e.id;
end $$;
comment on function fin_post_event(sys_event) is 'internal: posts a business event, once; also for events from before the subscription';
revoke all on function fin_post_event(sys_event) from public;

-- A missing account does not stop the shop: the event waits in fin_v_unposted, and its month cannot close before it is posted. A closed
-- month or a filed tax return does stop the document.
create function fin_on_event() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  why text;
begin
  if new.lines = '[]' then
    return null;
  end if;
  begin
    perform fin_post_event(new);
  exception
    when sqlstate 'AP422' or sqlstate 'AP409' then
      get stacked diagnostics why = pg_exception_detail;
      if why in ('period_closed', 'tax_filed')
        or coalesce((select value = 'true' from sys_setting where key = 'fin_strict_posting'), false) then
        raise;
      end if;
  end;
  return null;
end $$;
comment on function fin_on_event() is 'posts business facts as they happen';
revoke all on function fin_on_event() from public;
create trigger fin_hook after insert on sys_event
  for each row execute function fin_on_event();

create view fin_v_unposted with (security_invoker = true) as
select e.seq, e.event, e.source_type, e.source_id, e.occurred_on, e.location_id, e.amount, e.currency
from sys_event e
where e.lines <> '[]' and not exists (select from fin_entry f where f.source_event = e.seq);
comment on view fin_v_unposted is 'business events that wait for an account or a period';

create table fin_budget (
  id uuid primary key default uuid_v7(),
  account_id uuid not null,
  location_id uuid,
  month date not null,
  amount numeric(18,2) not null,
  on_exceed text not null default 'warn',
  constraint fin_budget_account_id_fk foreign key (account_id) references fin_account,
  constraint fin_budget_location_id_fk foreign key (location_id) references sys_location,
  constraint fin_budget_month check (extract(day from month) = 1),
  constraint fin_budget_amount check (amount >= 0),
  constraint fin_budget_on_exceed check (on_exceed in ('warn', 'stop')),
  constraint fin_budget_key unique nulls not distinct (account_id, location_id, month)
);
comment on table fin_budget is 'what may be spent in a month';
comment on constraint fin_budget_account_id_fk on fin_budget is 'does not name an existing account | is still used by budgets';
comment on constraint fin_budget_location_id_fk on fin_budget is 'does not name an existing location | is still used by budgets';
comment on constraint fin_budget_month on fin_budget is 'must be the first day of a month';
comment on constraint fin_budget_amount on fin_budget is 'must be at least 0';
comment on constraint fin_budget_on_exceed on fin_budget is 'must be warn or stop';
comment on constraint fin_budget_key on fin_budget is 'already has a budget there';
select sys_std('fin_budget');
create index fin_budget_location_id on fin_budget (location_id) where location_id is not null;
