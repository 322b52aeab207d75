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

create function fin_period_post_events(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p fin_period;
  ev sys_event;
  n int := 0;
begin
  perform app_require('finance.entries.post');
  perform app_require('locations.all');
  select * into p from fin_period where id = $1;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  for ev in
    select e.* from sys_event e
    where p.span @> e.occurred_on and e.lines <> '[]' and not exists (select from fin_entry f where f.source_event = e.seq)
    order by e.seq
  loop
    perform fin_post_event(ev);
    n := n + 1;
  end loop;
  return to_jsonb(p) || jsonb_build_object('posted', n);
end $$;
comment on function fin_period_post_events(uuid, jsonb) is 'posts the events of a period that have waited';
revoke all on function fin_period_post_events(uuid, jsonb) from public;

create function fin_period_close(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p fin_period;
begin
  perform app_require('finance.periods.close');
  select * into p from fin_period where id = $1 for update;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(p.state, 'open');
  if exists (select from fin_period where upper(span) <= lower(p.span) and state = 'open') then
    perform app_fail('AP409', 'order', 'An earlier period is still open.');
  end if;
  if exists (select from fin_entry where state = 'draft' and p.span @> entry_date) then
    perform app_fail('AP409', 'drafts', 'Draft entries remain in this period.');
  end if;
  if exists (select from fin_v_unposted where p.span @> occurred_on) then
    perform app_fail('AP409', 'unposted_events', 'Business events of this period have not been posted.');
  end if;
  update fin_period set state = 'closed' where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function fin_period_close(uuid, jsonb) is 'closes a period: nothing more is posted into it';
revoke all on function fin_period_close(uuid, jsonb) from public;

create function fin_period_reopen(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p fin_period;
begin
  perform app_require('finance.periods.reopen');
  select * into p from fin_period where id = $1 for update;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(p.state, 'closed');
  if exists (select from fin_period where lower(span) >= upper(p.span) and state = 'closed') then
    perform app_fail('AP409', 'order', 'A later period is closed.');
  end if;
  if p.tax_filed_on is not null then
    perform app_fail('AP409', 'tax_filed', 'The tax return of this period has been filed.');
  end if;
  update fin_period set state = 'open' where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function fin_period_reopen(uuid, jsonb) is 'opens the period that was closed last, unless its taxes are filed';
revoke all on function fin_period_reopen(uuid, jsonb) from public;

create function fin_period_tax_filed(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p fin_period;
  day constant date := (input ->> 'filed_on')::date;
begin
  perform app_require('reports.tax');
  select * into p from fin_period where id = $1 for update;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if p.tax_filed_on is not null then
    perform app_fail('AP409', 'tax_filed', 'The tax return of this period has been filed.');
  end if;
  if day < upper(p.span) or day > app_today() then
    perform app_fail('AP422', 'filed_on', 'must be after the period, and not in the future', 'filed_on');
  end if;
  update fin_period set tax_filed_on = day where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function fin_period_tax_filed(uuid, jsonb) is 'the tax return is filed: sales documents of the period are refused';
revoke all on function fin_period_tax_filed(uuid, jsonb) from public;

create function fin_year_end(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p fin_period;
  e fin_entry;
  kept uuid;
  last_day date;
begin
  perform app_require('finance.periods.close');
  perform app_require('locations.all');
  select * into p from fin_period where id = $1 for update;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(p.state, 'open');
  last_day := upper(p.span) - 1;
  if sys_fy(last_day) = sys_fy(upper(p.span)) then
    perform app_fail('AP422', 'not_last', 'This is not the last period of a fiscal year.');
  end if;
  if exists (select from fin_period where upper(span) <= lower(p.span) and state = 'open') then
    perform app_fail('AP409', 'order', 'An earlier period is still open.');
  end if;
  select id into kept from fin_account where control = 'retained_earnings' and active;
  if kept is null then
    perform app_fail('AP422', 'no_posting_rule', 'There is no account for retained earnings.');
  end if;
  perform pg_advisory_xact_lock(hashtextextended(current_schema() || '.fin_entry', 0));
  insert into fin_entry (entry_date, narration) values (last_day, 'Year end ' || sys_fy(last_day)) returning * into e;
  insert into fin_line (entry_id, line_no, account_id, location_id, debit, credit)
  select e.id, row_number() over (order by b.account, b.loc), b.account, b.loc, greatest(-b.sum, 0), greatest(b.sum, 0)
  from (
    select l.account_id as account, l.location_id as loc, sum(l.debit - l.credit) as sum
    from fin_line l
    join fin_entry x on x.id = l.entry_id and x.state = 'posted' and x.entry_date <= last_day
    join fin_account a on a.id = l.account_id and a.type in ('income', 'expense')
    group by 1, 2) b
  where b.sum <> 0;
  if not found then
    perform app_fail('AP409', 'nothing_to_carry', 'Income and expense have been carried already.');
  end if;
  insert into fin_line (entry_id, line_no, account_id, location_id, debit, credit)
  select e.id, t.n + row_number() over (order by t.loc), kept, t.loc, greatest(-t.sum, 0), greatest(t.sum, 0)
  from (
    select l.location_id as loc, sum(l.debit - l.credit) as sum, (select max(line_no) from fin_line where entry_id = e.id) as n
    from fin_line l
    where l.entry_id = e.id
    group by 1) t
  where t.sum <> 0;
  return fin_shown(fin_post(e.id));
end $$;
comment on function fin_year_end(uuid, jsonb) is 'carries income and expense of a fiscal year to retained earnings, in its last period';
revoke all on function fin_year_end(uuid, jsonb) from public;
