-- Three ways to leave: withdrawn, transferred, and as an alumnus. And a class may be repeated.

create function sch_student_leave(s sch_student, p_on date, p_reason text, p_outcome text, p_state text) returns sch_student
language plpgsql as $$
begin
  if s.state <> 'active' then
    perform app_fail('AP409', 'student_inactive', 'The student has already left.');
  end if;
  -- a seat in a class that has not begun is no history
  delete from sch_enrollment e where e.student_id = s.id and e.outcome is null and lower(e.span) > greatest(p_on, app_today());
  if p_on < s.admitted_on or exists (select from sch_enrollment e where e.student_id = s.id and lower(e.span) >= p_on) then
    perform app_fail('AP422', 'too_early', 'must be after the day on which the student came into the class', 'on_date');
  end if;
  -- fees are a neighbour that may be absent, so its function is looked up at run time
  if to_regclass('sch_fee_due') is not null then
    execute 'select sch_assert_no_dues($1)' using s.id;
  end if;
  update sch_enrollment e
  set span = daterange(lower(e.span), least(upper(e.span), p_on)), outcome = p_outcome
  where e.student_id = s.id and e.outcome is null and upper(e.span) > p_on;
  update sch_student set state = p_state, left_on = p_on, leave_reason = p_reason where id = s.id returning * into s;
  return s;
end $$;
comment on function sch_student_leave(sch_student, date, text, text, text) is 'internal: a locked student leaves: the enrolment ends, the history stays';
revoke all on function sch_student_leave(sch_student, date, text, text, text) from public;

create or replace function sch_student_withdraw(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  reason constant text := btrim(input ->> 'reason');
  s sch_student;
begin
  perform app_require('students.delete');
  s := sch_student_locked($1);
  if reason = '' then
    perform app_fail('AP422', 'reason', 'must say why the student leaves', 'reason');
  end if;
  return to_jsonb(sch_student_leave(s, coalesce((input ->> 'on_date')::date, app_today()), reason,
    case when (input ->> 'transferred')::boolean then 'transferred' else 'withdrawn' end, 'left'));
end $$;

-- students.graduate: the last class ends as passed
create function sch_student_graduate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s sch_student;
  leaves constant date := coalesce((input ->> 'on_date')::date, app_today());
begin
  perform app_require('students.delete');
  s := sch_student_locked($1);
  if s.state = 'active' and not exists (select from sch_enrollment e where e.student_id = s.id and lower(e.span) < leaves) then
    perform app_fail('AP409', 'never_enrolled', 'Only who has been in a class becomes an alumnus.');
  end if;
  return to_jsonb(sch_student_leave(s, leaves, 'Graduated', 'promoted', 'alumni'));
end $$;
comment on function sch_student_graduate(uuid, jsonb) is 'makes a student an alumnus: the last class is passed, the history stays';
revoke all on function sch_student_graduate(uuid, jsonb) from public;

-- classes.promote: students go to another class, their roll numbers continue behind those who are there; who repeats a grade is retained
create or replace function sch_class_promote(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  to_class constant uuid := input ->> 'to_class_id';
  on_date constant date := input ->> 'on_date';
  y sch_year;
  student uuid;
  roll int;
  way constant text := case when (input ->> 'retained')::boolean then 'retained' else 'promoted' end;
begin
  perform app_require('students.edit');
  -- in one order, so that two promotions do not wait for each other
  perform from sch_class c where c.id in ($1, to_class) order by c.id for update;
  if not exists (select from sch_class where id = $1) or not sch_teaches($1) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if $1 = to_class or not exists (select from sch_class where id = to_class) then
    perform app_fail('AP422', 'not_found', 'does not name another class', 'to_class_id');
  end if;
  if jsonb_typeof(input -> 'students') <> 'array' or jsonb_array_length(input -> 'students') = 0
    or exists (
      select from jsonb_array_elements(input -> 'students') v
      where jsonb_typeof(v) <> 'string' or v #>> '{}' !~ '^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$') then
    perform app_fail('AP422', 'students', 'must be a list of keys of students', 'students');
  end if;
  select y0.* into y from sch_year y0 join sch_class c on c.year_id = y0.id where c.id = to_class;
  if on_date >= upper(y.span) then
    perform app_fail('AP422', 'outside_year', format('must not be after the year %s', y.name), 'on_date');
  end if;
  select coalesce(max(roll_no), 0) into roll from sch_enrollment where class_id = to_class;
  for student in select v::uuid from jsonb_array_elements_text(input -> 'students') v loop
    perform sch_student_locked(student);
    update sch_enrollment e
    set span = daterange(lower(e.span), least(upper(e.span), on_date)), outcome = way
    where e.student_id = student and e.class_id = $1 and e.outcome is null and lower(e.span) < on_date;
    if not found then
      perform app_fail('AP422', 'not_enrolled', 'names a student who is not in the class before that day', 'students');
    end if;
    roll := roll + 1;
    insert into sch_enrollment (student_id, class_id, roll_no, span)
    values (student, to_class, roll, daterange(greatest(lower(y.span), on_date), upper(y.span)));
  end loop;
  return (select to_jsonb(c) from sch_class c where c.id = $1);
end $$;
