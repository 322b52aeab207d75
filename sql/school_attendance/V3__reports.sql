-- Reports, with the caller's rights. Present and late count 1, half a day ½, excused is no day at all.

create view sch_v_attendance with (security_invoker = true) as
select
  a.student_id,
  e.class_id,
  date_trunc('month', a.on_date)::date as month,
  count(*) as marked,
  count(*) filter (where a.status in ('present', 'late')) as present,
  count(*) filter (where a.status = 'absent') as absent,
  count(*) filter (where a.status = 'late') as late,
  count(*) filter (where a.status = 'half_day') as half_days,
  count(*) filter (where a.status = 'excused') as excused,
  sum(case a.status when 'present' then 1 when 'late' then 1 when 'half_day' then 0.5 else 0 end) as attended,
  round(
    sum(case a.status when 'present' then 1 when 'late' then 1 when 'half_day' then 0.5 else 0 end) * 100
      / nullif(count(*) filter (where a.status <> 'excused'), 0), 1) as attendance_pct
from sch_attendance a
join sch_enrollment e on e.student_id = a.student_id and e.span @> a.on_date
group by a.student_id, e.class_id, 3;
comment on view sch_v_attendance is 'attendance of each student by month';

create view sch_v_attendance_defaulters with (security_invoker = true) as
select
  v.student_id,
  s.admission_no,
  s.first_name,
  s.last_name,
  v.class_id,
  sum(v.marked) as marked,
  round(sum(v.attended) * 100 / nullif(sum(v.marked - v.excused), 0), 1) as attendance_pct
from sch_v_attendance v
join sch_student s on s.id = v.student_id
group by v.student_id, s.admission_no, s.first_name, s.last_name, v.class_id
having round(sum(v.attended) * 100 / nullif(sum(v.marked - v.excused), 0), 1) < 75;
comment on view sch_v_attendance_defaulters is 'students who were there on less than three of four days';

create view sch_v_missing_register with (security_invoker = true) as
select
  c.id as class_id,
  c.grade,
  c.section,
  d::date as on_date,
  concat_ws(' ', t.first_name, t.last_name) as class_teacher
from sch_class c
join sch_year y on y.id = c.year_id and y.state = 'active'
cross join lateral generate_series(
  greatest(lower(y.span), app_today() - 7), least(upper(y.span) - 1, app_today()), interval '1 day') d
left join sch_teacher t on t.id = c.class_teacher_id
where extract(dow from d) <> 0
  and sch_teaches(c.id)
  and not exists (
    select from sys_holiday h where h.on_date = d::date and (h.location_id is null or h.location_id = c.location_id))
  and not exists (select from sch_session s where s.class_id = c.id and s.on_date = d::date);
comment on view sch_v_missing_register is 'school days of the last week for which a class has no register';

create view sch_v_absent_today with (security_invoker = true) as
select
  a.student_id,
  s.first_name,
  s.last_name,
  r.class_id,
  a.period_no,
  a.status,
  g.name as guardian,
  g.phone
from sch_attendance a
join sch_session r on r.id = a.session_id
join sch_student s on s.id = a.student_id
left join sch_student_guardian l on l.student_id = s.id and l.is_primary
left join sch_guardian g on g.id = l.guardian_id
where a.on_date = app_today() and a.status in ('absent', 'late');
comment on view sch_v_absent_today is 'who is absent or late today, and whom to call';
