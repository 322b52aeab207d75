-- Example data: capital, three months of expenses, a budget, and the first of those months closed.

do $$
declare
  boss constant uuid := (
    select ur.user_id from sys_user_role ur join sys_role r on r.id = ur.role_id where r.code = 'owner' limit 1);
  place constant uuid := (select id from sys_location where code = 'BLR');
  month_0 constant date := date_trunc('month', app_today())::date;
  made uuid;
  p record;
  x record;
begin
  perform set_config('app.user_id', boss::text, true);
  perform set_config('app.perms', '*', true);
  perform set_config('app.action', 'demo', true);

  insert into fin_entry (entry_date, narration, location_id)
  values ((month_0 - interval '3 months')::date, 'Capital paid in', place) returning id into made;
  insert into fin_line (entry_id, line_no, account_id, location_id, debit, credit)
  select made, l.n, a.id, place, l.debit, l.credit
  from (values (1, '1010', 1400000.00, 0.00), (2, '1000', 100000.00, 0.00), (3, '3000', 0.00, 1500000.00)) l (n, code, debit, credit)
  join fin_account a using (code);
  perform fin_entry_post(made, '{}');

  for x in
    select
      (month_0 - make_interval(months => m) + make_interval(days => e.day))::date as day,
      e.code, e.description, e.amount + 100 * m as amount, e.tax, e.paid_by,
      (select id from sys_user where id <> boss order by email offset e.day % 3 limit 1) as claimant
    from generate_series(1, 3) m
    cross join (values
      (0, '6000', 'Rent of the shop', 45000.00, 8100.00, 'bank'),
      (4, '6300', 'Electricity and internet', 6400.00, 1152.00, 'bank'),
      (9, '6200', 'Travel to suppliers', 3850.50, 0.00, 'employee'),
      (14, '6400', 'Leaflets', 5200.00, 936.00, 'card'),
      (19, '6300', 'Cleaning', 2750.00, 0.00, 'cash')) e (day, code, description, amount, tax, paid_by)
    order by 1
  loop
    insert into fin_expense (spent_on, location_id, account_id, claimant, description, amount, tax_amount, tax_recoverable, paid_by)
    select x.day, place, a.id, x.claimant, x.description, x.amount, x.tax, x.tax > 0, x.paid_by
    from fin_account a where a.code = x.code
    returning id into made;
    perform fin_expense_submit(made, '{}');
    perform fin_expense_approve(made, '{}');
    perform fin_expense_post(made, '{}');
  end loop;
  -- what is still on its way
  for x in select i, (select id from sys_user where id <> boss order by email offset i limit 1) as claimant from generate_series(0, 2) i loop
    insert into fin_expense (spent_on, location_id, account_id, claimant, description, amount, paid_by)
    select app_today(), place, a.id, x.claimant, 'Taxi', 640 + 10 * x.i, 'employee' from fin_account a where a.code = '6200'
    returning id into made;
    if x.i > 0 then
      perform fin_expense_submit(made, '{}');
    end if;
  end loop;
  insert into fin_budget (account_id, month, amount)
  select a.id, month_0, 20000 from fin_account a where a.code in ('6200', '6300', '6400');
  insert into fin_bank_line (account_id, value_date, amount, reference, bank_id)
  select a.id, (month_0 - interval '3 months')::date, 1400000, 'NEFT capital', 'ST-0001' from fin_account a where a.code = '1010';

  for p in select id from fin_period where upper(span) <= (month_0 - interval '2 months')::date order by span loop
    perform fin_period_close(p.id, '{}');
  end loop;

  perform set_config('app.user_id', '', true);
  perform set_config('app.perms', '', true);
  perform set_config('app.action', '', true);
end $$;
