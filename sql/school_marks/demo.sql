-- A unit test whose marks are published, a half-yearly exam whose marks are being entered, and one that is planned.

create function sch_demo_id(salt text) returns uuid
language sql stable as $$
  select ('01900000-0000-7' || substr(h, 1, 3) || '-8' || substr(h, 4, 3) || '-' || substr(h, 7, 12))::uuid
  from md5(current_schema() || salt) h
$$;

alter table sch_exam disable trigger user;
alter table sch_assessment disable trigger user;
alter table sch_mark disable trigger user;

insert into sch_scale (id, name) values (sch_demo_id('scale'), 'Grades A to E');
insert into sch_band (id, scale_id, grade, range, points, pass)
values
  (sch_demo_id('A'), sch_demo_id('scale'), 'A', '[90,100]', 10, true),
  (sch_demo_id('B'), sch_demo_id('scale'), 'B', '[75,90)', 8, true),
  (sch_demo_id('C'), sch_demo_id('scale'), 'C', '[60,75)', 6, true),
  (sch_demo_id('D'), sch_demo_id('scale'), 'D', '[40,60)', 4, true),
  (sch_demo_id('E'), sch_demo_id('scale'), 'E', '[0,40)', 0, false);

insert into sch_exam (id, year_id, name, scale_id, weight, state)
select sch_demo_id(x.name), y.id, x.name, sch_demo_id('scale'), x.weight, x.state
from (values ('Unit test', 20, 'entry'), ('Half-yearly', 30, 'entry'), ('Annual', 50, 'draft')) x (name, weight, state)
join sch_year y on y.state = 'active';

-- the unit test is published; of the half-yearly, 7 A has submitted all but mathematics, and the others are still writing
insert into sch_assessment (id, exam_id, offering_id, held_on, max_score, pass_score, state, published_at, created_at, updated_at)
select
  sch_demo_id('assessment' || x.name || o.id),
  x.id,
  o.id,
  held_on,
  case x.name when 'Unit test' then 25 else 100 end,
  case x.name when 'Unit test' then 10 else 40 end,
  case
    when x.name = 'Unit test' then 'published'
    when c.grade || c.section = '7A' and k.code not like 'MAT%' then 'submitted'
    else 'entry'
  end,
  case x.name when 'Unit test' then held_on + interval '9 days' end,
  held_on - interval '9 days',
  held_on + interval '9 days'
from sch_exam x
join sch_year y on y.id = x.year_id
join sch_class c on c.year_id = y.id
join sch_offering o on o.class_id = c.id
join sch_course k on k.id = o.course_id
cross join lateral (select case x.name when 'Unit test' then lower(y.span) + 50 else lower(y.span) + 125 end as held_on) h
where x.state = 'entry';

-- talent belongs to the student, luck to the paper; in the half-yearly only 7 A and mathematics of 7 B have marks
insert into sch_mark (id, assessment_id, student_id, score, absent, exempt, created_at, updated_at)
select
  sch_demo_id('mark' || a.id || e.student_id),
  a.id,
  e.student_id,
  case when r.luck between 0.03 and 0.985 then round((a.max_score * least(1, 0.28 + 0.5 * r.talent + 0.25 * r.luck))::numeric * 2) / 2 end,
  r.luck < 0.03,
  r.luck > 0.985,
  a.held_on + interval '3 days',
  a.held_on + interval '3 days'
from sch_assessment a
join sch_exam x on x.id = a.exam_id
join sch_offering o on o.id = a.offering_id
join sch_course k on k.id = o.course_id
join sch_class c on c.id = o.class_id
join sch_enrollment e on e.class_id = o.class_id and e.span @> a.held_on
join sch_student s on s.id = e.student_id
cross join lateral (
  select
    (hashtextextended(current_schema() || s.admission_no, 3) & 65535) / 65536.0::float8 as talent,
    (hashtextextended(current_schema() || s.admission_no || k.code || x.name, 5) & 65535) / 65536.0::float8 as luck) r
where a.state <> 'entry' or k.code = 'MAT7' and (c.section = 'B' or e.roll_no <= 20);

alter table sch_exam enable trigger user;
alter table sch_assessment enable trigger user;
alter table sch_mark enable trigger user;

drop function sch_demo_id(text);
