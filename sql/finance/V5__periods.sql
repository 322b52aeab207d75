-- Periods: what has waited is posted, months close in order, and a year ends.

create function fin_period_post_events(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p fin_period;
  ev sys_event;
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
  end loop;
  return to_jsonb(p);
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
