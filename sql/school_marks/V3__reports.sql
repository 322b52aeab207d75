-- Reports. Unpublished marks do not exist for students and guardians: the policies of assessments and marks hide them.

create function sch_grade(p_scale uuid, p_pct numeric) returns text
language sql stable as $$
  select grade from sch_band where scale_id = p_scale and range @> p_pct
$$;
comment on function sch_grade(uuid, numeric) is 'the grade of a scale for a result in per cent';

create view sch_v_my_marks with (security_invoker = true) as
select
  m.student_id,
  y.name as year,
  x.name as exam,
  c.code as course,
  c.title,
  m.score,
  a.max_score,
  m.absent,
  m.exempt,
  sch_grade(x.scale_id, round(m.score * 100 / a.max_score, 2)) as grade,
  m.score >= a.pass_score as pass,
  m.revised,
  a.published_at
from sch_mark m
join sch_assessment a on a.id = m.assessment_id and a.state = 'published'
join sch_exam x on x.id = a.exam_id
join sch_year y on y.id = x.year_id
join sch_offering o on o.id = a.offering_id
join sch_course c on c.id = o.course_id;
comment on view sch_v_my_marks is 'published marks';

-- The rank is among the whole class, so this counts all marks and then shows the lines that are the caller's: own, children's, of classes
-- that the caller leads. Absent counts 0, exempt leaves the maximum.
create function sch_report_card()
returns table (
  exam_id uuid,
  exam text,
  class_id uuid,
  student_id uuid,
  admission_no text,
  student text,
  score numeric,
  max_score numeric,
  pct numeric,
  grade text,
  passed boolean,
  absences bigint,
  class_rank bigint
)
language sql stable security definer set search_path from current as $$
  with total as (
    select
      x.id as exam_id,
      x.name as exam,
      x.scale_id,
      o.class_id,
      m.student_id,
      sum(m.score) as score,
      sum(a.max_score) filter (where not m.exempt) as most,
      bool_and(coalesce(m.score >= a.pass_score, m.exempt)) as passed,
      count(*) filter (where m.absent) as absences
    from sch_mark m
    join sch_assessment a on a.id = m.assessment_id and a.state = 'published'
    join sch_exam x on x.id = a.exam_id
    join sch_offering o on o.id = a.offering_id
    group by x.id, o.class_id, m.student_id
  ), ranked as (
    select
      t.*,
      round(coalesce(t.score, 0) * 100 / nullif(t.most, 0), 2) as pct,
      rank() over (
        partition by t.exam_id, t.class_id
        order by coalesce(t.score, 0) / nullif(t.most, 0) desc nulls last) as class_rank
    from total t
  )
  select
    r.exam_id,
    r.exam,
    r.class_id,
    r.student_id,
    s.admission_no,
    concat_ws(' ', s.first_name, s.last_name),
    r.score,
    r.most,
    r.pct,
    sch_grade(r.scale_id, r.pct),
    r.passed,
    r.absences,
    r.class_rank
  from ranked r
  join sch_student s on s.id = r.student_id
  where app_has('marks.view')
    and (app_has('marks.view_all') or r.student_id = any (sch_own_students()) or r.class_id = any (sch_led_classes()))
$$;
comment on function sch_report_card() is 'published results of each exam and student, with the rank in the class';
revoke all on function sch_report_card() from public;

create view sch_v_exam_stats with (security_invoker = true) as
select
  a.exam_id,
  a.offering_id,
  o.class_id,
  c.code as course,
  a.state,
  count(m.score) as sat,
  count(*) filter (where m.absent) as absent,
  round(avg(m.score * 100 / a.max_score), 1) as mean_pct,
  round(stddev_samp(m.score * 100 / a.max_score), 1) as sd_pct,
  round(percentile_cont(0.5) within group (order by m.score * 100 / a.max_score)::numeric, 1) as median_pct,
  round(avg((m.score >= a.pass_score)::int) * 100, 1) as pass_pct
from sch_assessment a
join sch_offering o on o.id = a.offering_id
join sch_course c on c.id = o.course_id
left join sch_mark m on m.assessment_id = a.id
group by a.id, o.class_id, c.code;
comment on view sch_v_exam_stats is 'how each course did in each exam';

create view sch_v_year_result with (security_invoker = true) as
select
  x.year_id,
  r.class_id,
  r.student_id,
  r.admission_no,
  r.student,
  round(sum(r.pct * x.weight) / sum(x.weight) filter (where r.pct is not null), 2) as weighted_pct,
  bool_and(r.passed) as passed_all,
  count(*) as exams
from sch_report_card() r
join sch_exam x on x.id = r.exam_id
group by x.year_id, r.class_id, r.student_id, r.admission_no, r.student;
comment on view sch_v_year_result is 'the year of each student: published exams by their weight';
