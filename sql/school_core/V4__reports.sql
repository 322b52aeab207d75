-- Reports. Counts of a whole class would be wrong over the rows that a teacher sees, so these functions count all and show the lines
-- that are the caller's.

create function sch_strength()
returns table (
  year text,
  location_id uuid,
  class_id uuid,
  grade text,
  section text,
  capacity int,
  students bigint,
  girls bigint,
  seats_left bigint
)
language sql stable security definer set search_path from current as $$
  select
    y.name,
    c.location_id,
    c.id,
    c.grade,
    c.section,
    c.capacity,
    count(e.id),
    count(e.id) filter (where s.gender = 'female'),
    c.capacity - count(e.id)
  from sch_class c
  join sch_year y on y.id = c.year_id
  left join sch_enrollment e on e.class_id = c.id and e.span @> app_today()
  left join sch_student s on s.id = e.student_id
  where app_has('students.view') and sch_teaches(c.id)
  group by y.id, c.id
$$;
comment on function sch_strength() is 'students and free seats of each class today';
revoke all on function sch_strength() from public;

create function sch_teacher_load()
returns table (
  teacher_id uuid,
  code text,
  first_name text,
  last_name text,
  year text,
  classes bigint,
  offerings bigint,
  students bigint
)
language sql stable security definer set search_path from current as $$
  select
    t.id,
    t.code,
    t.first_name,
    t.last_name,
    y.name,
    count(distinct o.class_id),
    count(distinct o.id),
    count(distinct e.student_id)
  from sch_teacher t
  join sch_offering o on o.teacher_id = t.id
  join sch_class c on c.id = o.class_id
  join sch_year y on y.id = c.year_id
  left join sch_enrollment e on e.class_id = c.id and e.span @> app_today()
  where app_has('teachers.view') and (app_has('school.scope.all') or t.user_id = app_uid())
  group by t.id, y.id
$$;
comment on function sch_teacher_load() is 'classes, courses and students of each teacher';
revoke all on function sch_teacher_load() from public;

create view sch_v_roster with (security_invoker = true) as
select
  c.id as class_id,
  c.grade,
  c.section,
  e.roll_no,
  s.id as student_id,
  s.admission_no,
  s.first_name,
  s.last_name,
  g.name as primary_guardian,
  g.phone as guardian_phone
from sch_enrollment e
join sch_class c on c.id = e.class_id
join sch_student s on s.id = e.student_id
left join sch_student_guardian l on l.student_id = s.id and l.is_primary
left join sch_guardian g on g.id = l.guardian_id
where e.span @> app_today();
comment on view sch_v_roster is 'who is in which class today, with the guardian to call';
