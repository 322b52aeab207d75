-- From starting an exam to revising a mark.

create function sch_assessment_locked(p_id uuid) returns sch_assessment
language plpgsql as $$
declare
  a sch_assessment;
begin
  select * into a from sch_assessment where id = p_id for update;
  if a.id is null or not sch_sees_mark(a.id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return a;
end $$;
comment on function sch_assessment_locked(uuid) is 'internal: an assessment in scope, locked';
revoke all on function sch_assessment_locked(uuid) from public;

-- exams.start
create function sch_exam_start(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  x sch_exam;
begin
  perform app_require('school.settings');
  select * into x from sch_exam where id = $1 for update;
  if x.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if x.state <> 'draft' then
    perform app_fail('AP409', 'wrong_state', 'The exam has already been started.');
  end if;
  perform from sch_scale s where s.id = x.scale_id for update;
  if not coalesce((select range_agg(range) @> numrange(0, 100, '[]') from sch_band where scale_id = x.scale_id), false) then
    perform app_fail('AP409', 'scale_has_gaps', 'The scale has no grade for some results between 0 and 100.', 'scale_id');
  end if;
  update sch_exam set state = 'entry' where id = x.id returning * into x;
  return to_jsonb(x);
end $$;
comment on function sch_exam_start(uuid, jsonb) is 'opens an exam for marks, on a scale without gaps';
revoke all on function sch_exam_start(uuid, jsonb) from public;

-- assessments.enter: a class in one call
create function sch_marks_enter(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  a sch_assessment;
begin
  perform app_require('marks.enter');
  a := sch_assessment_locked($1);
  if jsonb_typeof(input -> 'marks') <> 'array' or jsonb_array_length(input -> 'marks') > 1000 or exists (
    select from jsonb_array_elements(input -> 'marks') m
    where jsonb_typeof(m) <> 'object'
      or coalesce(m ->> 'student_id', '') !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
      or coalesce(m ->> 'score', '0') !~ '^[0-9]{1,4}([.][0-9]{1,2})?$'
      or coalesce(m ->> 'absent', 'true') not in ('true', 'false')
      or coalesce(m ->> 'exempt', 'true') not in ('true', 'false')) then
    perform app_fail('AP422', 'marks', 'must be a list of {student_id, score | absent | exempt, remark?}', 'marks');
  end if;
  if (select count(*) > count(distinct lower(m ->> 'student_id')) from jsonb_array_elements(input -> 'marks') m) then
    perform app_fail('AP422', 'named_twice', 'names a student twice', 'marks');
  end if;
  insert into sch_mark (assessment_id, student_id, score, absent, exempt, remark)
  select
    a.id,
    (m ->> 'student_id')::uuid,
    (m ->> 'score')::numeric,
    coalesce((m ->> 'absent')::boolean, false),
    coalesce((m ->> 'exempt')::boolean, false),
    m ->> 'remark'
  from jsonb_array_elements(input -> 'marks') m
  on conflict on constraint sch_mark_key do update
  set score = excluded.score, absent = excluded.absent, exempt = excluded.exempt, remark = excluded.remark;
  return to_jsonb(a);
end $$;
comment on function sch_marks_enter(uuid, jsonb) is 'enters marks of a class, new ones and changed ones';
revoke all on function sch_marks_enter(uuid, jsonb) from public;

-- assessments.submit
create function sch_marks_submit(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  a sch_assessment;
  missing bigint;
begin
  perform app_require('marks.enter');
  a := sch_assessment_locked($1);
  if a.state <> 'entry' then
    perform app_fail('AP409', 'not_open', format('The marks are %s.', a.state));
  end if;
  if not exists (select from sch_exam x where x.id = a.exam_id and x.state = 'entry') then
    perform app_fail('AP409', 'exam_not_started', 'The exam has not been started.');
  end if;
  select count(*) into missing
  from sch_offering o
  join sch_enrollment e on e.class_id = o.class_id and e.span @> a.held_on
  where o.id = a.offering_id
    and not exists (select from sch_mark m where m.assessment_id = a.id and m.student_id = e.student_id);
  if missing > 0 then
    perform app_fail('AP422', 'missing_marks', format('%s students have neither a score, nor are absent or exempt.', missing));
  end if;
  update sch_assessment set state = 'submitted' where id = a.id returning * into a;
  return to_jsonb(a);
end $$;
comment on function sch_marks_submit(uuid, jsonb) is 'ends the entry of marks, when no student lacks one';
revoke all on function sch_marks_submit(uuid, jsonb) from public;

-- assessments.return
create function sch_marks_return(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  a sch_assessment;
begin
  perform app_require('marks.publish');
  a := sch_assessment_locked($1);
  if a.state <> 'submitted' then
    perform app_fail('AP409', 'not_submitted', 'Only marks that are submitted and not published go back.');
  end if;
  update sch_assessment set state = 'entry' where id = a.id returning * into a;
  return to_jsonb(a);
end $$;
comment on function sch_marks_return(uuid, jsonb) is 'gives submitted marks back to the teacher';
revoke all on function sch_marks_return(uuid, jsonb) from public;

-- exams.publish: a class as a whole
create function sch_exam_publish(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  class constant uuid := input ->> 'class_id';
  x sch_exam;
  lacking text;
  n bigint;
begin
  perform app_require('marks.publish');
  select * into x from sch_exam where id = $1;
  if x.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if not sch_teaches(class) or not exists (select from sch_class c where c.id = class and c.year_id = x.year_id) then
    perform app_fail('AP422', 'not_found', 'does not name a class of the year of the exam', 'class_id');
  end if;
  perform
  from sch_assessment a
  join sch_offering o on o.id = a.offering_id
  where a.exam_id = x.id and o.class_id = class
  order by a.id
  for update of a;
  select string_agg(c.code, ', ' order by c.code) into lacking
  from sch_offering o
  join sch_course c on c.id = o.course_id
  left join sch_assessment a on a.offering_id = o.id and a.exam_id = x.id
  where o.class_id = class and (a.id is null or a.state = 'entry');
  if lacking is not null then
    perform app_fail('AP409', 'not_submitted', format('Marks are not submitted: %s.', lacking));
  end if;
  update sch_assessment a
  set state = 'published', published_at = now(), published_by = app_uid()
  from sch_offering o
  where o.id = a.offering_id and a.exam_id = x.id and o.class_id = class and a.state = 'submitted';
  get diagnostics n = row_count;
  if n = 0 then
    perform app_fail('AP409', 'already_published', 'There are no marks of this class to publish.');
  end if;
  return to_jsonb(x);
end $$;
comment on function sch_exam_publish(uuid, jsonb) is 'shows all marks of a class to students and guardians, together';
revoke all on function sch_exam_publish(uuid, jsonb) from public;

-- marks.revise
create function sch_mark_revise(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  m sch_mark;
  reason constant text := btrim(coalesce(input ->> 'reason', ''));
begin
  perform app_require('marks.edit');
  select * into m from sch_mark where id = $1 for update;
  if m.id is null or not sch_sees_mark(m.assessment_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if exists (select from sch_assessment a where a.id = m.assessment_id and a.state = 'entry') then
    perform app_fail('AP409', 'still_open', 'The marks are still open; enter it as usual.');
  end if;
  if length(reason) < 5 then
    perform app_fail('AP422', 'reason', 'must say in at least 5 characters why it is revised', 'reason');
  end if;
  insert into sch_mark_revision (mark_id, old_score, new_score, reason)
  values (m.id, m.score, (input ->> 'score')::numeric, reason);
  update sch_mark
  set score = (input ->> 'score')::numeric, absent = false, exempt = false, revised = true
  where id = m.id
  returning * into m;
  return to_jsonb(m);
end $$;
comment on function sch_mark_revise(uuid, jsonb) is 'changes a submitted or published mark; what it was, and why, stays on record';
revoke all on function sch_mark_revise(uuid, jsonb) from public;
