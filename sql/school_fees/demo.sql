-- Fee plans, dues, receipts, waivers and who is behind. Dues come from the plans, money and waivers through the functions of the pack, so
-- numbers, allocations and events are what they would be.

create function sch_demo_id(salt text) returns uuid
language sql stable as $$
  select ('01900000-0000-7' || substr(h, 1, 3) || '-8' || substr(h, 4, 3) || '-' || substr(h, 7, 12))::uuid
  from md5(current_schema() || salt) h
$$;

insert into sch_fee_head (id, code, name, income_role)
values
  (sch_demo_id('TUI'), 'TUI', 'Tuition', 'fee_income'),
  (sch_demo_id('ACT'), 'ACT', 'Activities', 'fee_income'),
  (sch_demo_id('LATE'), 'LATE', 'Late fee', 'fee_income');

insert into sch_fee_plan (id, year_id, grade, name)
select sch_demo_id('plan' || grade), y.id, grade, 'Grade ' || grade
from unnest(array['7', '8']) grade
join sch_year y on y.state = 'active';

insert into sch_fee_plan_line (id, plan_id, head_id, installment, amount, due_on)
select
  sch_demo_id('line' || p.grade || l.head || n),
  p.id,
  sch_demo_id(l.head),
  n,
  l.amount + case p.grade when '8' then 500 else 0 end,
  (lower(y.span) + interval '1 month' * (3 * n - 3))::date + 10
from sch_fee_plan p
join sch_year y on y.id = p.year_id
cross join (values ('TUI', 4, 6000), ('ACT', 1, 1500)) l (head, installments, amount)
cross join lateral generate_series(1, l.installments) n;

do $$
declare
  year constant daterange := (select span from sch_year where state = 'active');
  late constant uuid := (select id from sch_fee_head where code = 'LATE');
  plan uuid;
  due uuid;
  payment record;
begin
  perform set_config('app.perms', '*', true);
  perform set_config('app.action', 'demo', true);
  for plan in select id from sch_fee_plan order by grade loop
    perform sch_fee_plan_activate(plan, '{}');
    perform sch_fee_plan_assign(plan, '{}');
  end loop;
  -- some siblings and staff pay less
  for due in
    select d.id
    from sch_fee_due d
    join sch_student s on s.id = d.student_id
    where s.admission_no between 'G01061' and 'G01066' and d.due_on = lower(year) + 10 and d.amount > 3000
    order by s.admission_no
  loop
    perform sch_fee_waive(due, '{"amount": 1000, "kind": "sibling", "reason": "Second child at the school"}');
  end loop;
  -- one in twenty has paid nothing, one in eight nothing after the first installment; a few have paid a part
  for payment in
    select
      s.id,
      s.admission_no,
      q.n,
      q.n * 90 - 90 + 5 + i * 7 % 12 + lower(year) as day,
      (array['upi', 'bank', 'cash', 'card', 'cheque'])[1 + (i + q.n) % 5] as method,
      case when i % 17 = 3 then 2000 else (
        select sum(d.outstanding)
        from sch_fee_due d
        where d.student_id = s.id and d.due_on between lower(year) + (q.n - 1) * 85 and lower(year) + q.n * 85 - 1) end as amount
    from (select s.*, substr(admission_no, 2)::int - 1000 as i from sch_student s where state = 'active') s
    cross join generate_series(1, 2) q (n)
    where i % 20 <> 0 and (q.n = 1 or i % 8 <> 0)
    order by 4, s.admission_no
  loop
    continue when payment.day > app_today() or payment.amount is null;
    perform sch_fee_collect(sch_demo_id('receipt' || payment.admission_no || payment.n), jsonb_strip_nulls(jsonb_build_object(
      'student_id', payment.id,
      'amount', payment.amount,
      'method', payment.method,
      'received_on', payment.day,
      'reference', case when payment.method <> 'cash' then upper(payment.method) || payment.admission_no || payment.n end,
      'paid_by', (select l.guardian_id from sch_student_guardian l where l.student_id = payment.id and l.is_primary))));
  end loop;
  perform sch_fee_cancel(
    (select id from sch_fee_receipt where method = 'cheque' order by number limit 1),
    '{"reason": "The cheque was returned unpaid"}');
  perform sch_fee_late(late, '{"grace_days": 30, "flat": 200}');
  perform set_config('app.perms', '', true);
  perform set_config('app.action', '', true);
end $$;

drop function sch_demo_id(text);
