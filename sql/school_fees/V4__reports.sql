-- Reports, with the caller's rights: students and guardians get their own lines, staff those of their campus.

create view sch_v_fee_statement with (security_invoker = true) as
select
  d.student_id,
  s.admission_no,
  concat_ws(' ', s.first_name, s.last_name) as student,
  h.name as head,
  d.source,
  d.due_on,
  d.currency,
  d.amount,
  d.waived,
  d.paid,
  d.outstanding,
  case
    when d.outstanding = 0 then 'settled'
    when d.due_on < app_today() then 'overdue'
    else 'due'
  end as status
from sch_fee_due d
join sch_fee_head h on h.id = d.head_id
join sch_student s on s.id = d.student_id;
comment on view sch_v_fee_statement is 'what each student owes, has paid and need not pay';

create view sch_v_fee_collection with (security_invoker = true) as
select
  r.received_on,
  r.location_id,
  r.method,
  h.name as head,
  r.currency,
  count(distinct r.id) as receipts,
  sum(a.amount) as amount
from sch_fee_receipt r
join sch_fee_alloc a on a.receipt_id = r.id
join sch_fee_due d on d.id = a.due_id
join sch_fee_head h on h.id = d.head_id
group by r.received_on, r.location_id, r.method, h.name, r.currency
having sum(a.amount) <> 0;
comment on view sch_v_fee_collection is 'money received, by day, way and fee head; cancelled receipts are left out';

create view sch_v_fee_defaulters with (security_invoker = true) as
select
  d.student_id,
  s.admission_no,
  s.first_name,
  s.last_name,
  c.grade,
  c.section,
  d.currency,
  sum(d.outstanding) as outstanding,
  min(d.due_on) as oldest_due,
  app_today() - min(d.due_on) as days_late,
  g.name as guardian,
  g.phone
from sch_fee_due d
join sch_student s on s.id = d.student_id
left join sch_enrollment e on e.student_id = s.id and e.span @> app_today()
left join sch_class c on c.id = e.class_id
left join sch_student_guardian l on l.student_id = s.id and l.is_primary
left join sch_guardian g on g.id = l.guardian_id
where d.outstanding > 0 and d.due_on < app_today()
group by d.student_id, s.id, c.id, d.currency, g.id;
comment on view sch_v_fee_defaulters is 'who is behind with fees, and whom to call';

create view sch_v_fee_summary with (security_invoker = true) as
select
  y.name as year,
  p.grade,
  h.name as head,
  d.currency,
  sum(d.amount) as billed,
  sum(d.waived) as waived,
  sum(d.paid) as collected,
  sum(d.outstanding) as outstanding,
  round(sum(d.paid) * 100 / nullif(sum(d.amount - d.waived), 0), 1) as collected_pct
from sch_fee_due d
join sch_fee_head h on h.id = d.head_id
join sch_fee_plan_line l on l.id = d.plan_line_id
join sch_fee_plan p on p.id = l.plan_id
join sch_year y on y.id = p.year_id
group by y.id, p.grade, h.name, d.currency;
comment on view sch_v_fee_summary is 'planned fees of each grade: billed, waived, collected, outstanding';
