-- A timetable, and a term of registers for the classes of the active year: the last sixty school days before today.

create function sch_demo_dice(salt text) returns float8
language sql stable as $$
  select (hashtextextended(current_schema() || salt, 7) & 1048575) / 1048576.0::float8
$$;

create function sch_demo_id(salt text) returns uuid
language sql stable as $$
  select ('01900000-0000-7' || substr(h, 1, 3) || '-8' || substr(h, 4, 3) || '-' || substr(h, 7, 12))::uuid
  from md5(current_schema() || salt) h
$$;

alter table sch_timetable disable trigger user;
alter table sch_session disable trigger user;
alter table sch_attendance disable trigger user;

insert into sch_period (id, location_id, period_no, name, starts, ends)
select sch_demo_id('period' || p.n), l.id, p.n, p.name, p.starts::time, p.ends::time
from (values (0, 'Whole day', '08:30', '13:40'), (1, 'First', '08:30', '09:15'), (2, 'Second', '09:15', '10:00'),
  (3, 'Third', '10:20', '11:05'), (4, 'Fourth', '11:05', '11:50'), (5, 'Fifth', '12:10', '12:55'), (6, 'Sixth', '12:55', '13:40'))
  p (n, name, starts, ends)
join sys_location l on l.kind = 'campus';

insert into sys_holiday (id, on_date, location_id, name)
select sch_demo_id(h.name), lower(y.span) + h.days, null, h.name
from (values (18, 'Founders'' day'), (45, 'Festival')) h (days, name)
join sch_year y on y.state = 'active';

-- the courses of a class move on by one each day and period, so that no teacher is in two rooms
insert into sch_timetable (id, class_id, dow, period_no, offering_id, teacher_id, room, valid)
select sch_demo_id('lesson' || c.grade || c.section || dow || p), c.id, dow, p, o.id, o.teacher_id, c.grade || c.section, y.span
from sch_class c
join sch_year y on y.id = c.year_id and y.state = 'active'
cross join generate_series(1, 5) dow
cross join generate_series(1, 5) p
join lateral (
  select o.*, row_number() over (order by k.code) as i
  from sch_offering o
  join sch_course k on k.id = o.course_id
  where o.class_id = c.id) o on o.i = 1 + (dow + p + case c.section when 'A' then 0 else 1 end) % 5;

insert into sch_session (id, class_id, on_date, taken_by, state, created_at, updated_at)
select
  sch_demo_id('register' || c.id || d.on_date),
  c.id,
  d.on_date,
  t.user_id,
  case when d.on_date < app_today() - 7 then 'locked' else 'open' end,
  d.on_date + interval '4 hours',
  d.on_date + interval '4 hours'
from sch_class c
join sch_year y on y.id = c.year_id and y.state = 'active'
left join sch_teacher t on t.id = c.class_teacher_id
cross join lateral (
  select day::date as on_date
  from generate_series(lower(y.span), app_today() - 1, interval '1 day') day
  where extract(isodow from day) < 6 and not exists (select from sys_holiday h where h.on_date = day::date)
  order by day desc
  limit 60) d;

-- two students are often away
insert into sch_attendance (id, session_id, student_id, on_date, period_no, status, minutes_late, remark, created_at, updated_at)
select
  sch_demo_id('mark' || s.id || e.student_id),
  s.id,
  e.student_id,
  s.on_date,
  0,
  m.status,
  case m.status when 'late' then 5 + (dice * 100000)::int % 25 end,
  case m.status when 'excused' then 'Note from home' end,
  s.created_at,
  s.updated_at
from sch_session s
join sch_enrollment e on e.class_id = s.class_id and e.span @> s.on_date
join sch_student p on p.id = e.student_id
cross join lateral (
  select sch_demo_dice(p.admission_no || s.on_date) - case when p.admission_no in ('G01017', 'G01077') then 0.4 else 0 end as dice) r
cross join lateral (
  select case
    when dice < 0.04 then 'absent'
    when dice < 0.06 then 'late'
    when dice < 0.07 then 'excused'
    when dice < 0.08 then 'half_day'
    else 'present'
  end as status) m;

alter table sch_timetable enable trigger user;
alter table sch_session enable trigger user;
alter table sch_attendance enable trigger user;

drop function sch_demo_id(text);
drop function sch_demo_dice(text);
