-- Actions. They run as the owner of the tables, whom row security does not bind, so each begins with permission and scope.

create function sch_student_locked(p_id uuid) returns sch_student
language plpgsql as $$
declare
  s sch_student;
begin
  select * into s from sch_student where id = p_id for update;
  if s.id is null or not sch_sees(s.id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  return s;
end $$;
comment on function sch_student_locked(uuid) is 'internal: a student in scope, locked';
revoke all on function sch_student_locked(uuid) from public;

-- years.activate, years.close
create function sch_year_activate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  y sch_year;
begin
  perform app_require('school.settings');
  select * into y from sch_year where id = $1 for update;
  if y.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if y.state <> 'planned' then
    perform app_fail('AP409', 'wrong_state', format('The year is %s, not planned.', y.state));
  end if;
  if exists (select from sch_year where state = 'active') then
    perform app_fail('AP409', 'year_active', 'Another year is active; close it first.');
  end if;
  update sch_year set state = 'active' where id = y.id returning * into y;
  return to_jsonb(y);
end $$;
comment on function sch_year_activate(uuid, jsonb) is 'makes a planned year the active one';
revoke all on function sch_year_activate(uuid, jsonb) from public;

create function sch_year_close(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  y sch_year;
begin
  perform app_require('school.settings');
  select * into y from sch_year where id = $1 for update;
  if y.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if y.state <> 'active' then
    perform app_fail('AP409', 'wrong_state', format('The year is %s, not active.', y.state));
  end if;
  update sch_year set state = 'closed' where id = y.id returning * into y;
  return to_jsonb(y);
end $$;
comment on function sch_year_close(uuid, jsonb) is 'ends the active year; its classes take no more students';
revoke all on function sch_year_close(uuid, jsonb) from public;

-- students.admit: the first class, in the active year
create function sch_student_admit(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  class constant uuid := input ->> 'class_id';
  s sch_student;
  y sch_year;
  starts date;
begin
  perform app_require('students.create');
  s := sch_student_locked($1);
  if s.state <> 'active' then
    perform app_fail('AP409', 'student_inactive', 'The student has left.');
  end if;
  perform from sch_class c where c.id = class for update;
  if not found then
    perform app_fail('AP422', 'not_found', 'does not name an existing class', 'class_id');
  end if;
  select y0.* into y from sch_year y0 join sch_class c on c.year_id = y0.id where c.id = class;
  if y.state <> 'active' then
    perform app_fail('AP422', 'year_not_active', 'is not a class of the active year', 'class_id');
  end if;
  starts := coalesce((input ->> 'from')::date, greatest(lower(y.span), s.admitted_on, app_today()));
  if not y.span @> starts then
    perform app_fail('AP422', 'outside_year', format('must lie inside the year %s', y.name), 'from');
  end if;
  if exists (select from sch_enrollment e where e.student_id = s.id and e.span && daterange(starts, upper(y.span))) then
    perform app_fail('AP409', 'already_enrolled', 'The student is in a class already.');
  end if;
  insert into sch_enrollment (student_id, class_id, roll_no, span)
  values (
    s.id,
    class,
    coalesce((input ->> 'roll_no')::int, (select coalesce(max(roll_no), 0) + 1 from sch_enrollment where class_id = class)),
    daterange(starts, upper(y.span)));
  return to_jsonb(s);
end $$;
comment on function sch_student_admit(uuid, jsonb) is 'gives a student a seat in a class of the active year';
revoke all on function sch_student_admit(uuid, jsonb) from public;

-- students.withdraw: fees are a neighbour that may be absent, so its function is looked up at run time
create function sch_student_withdraw(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  leaves constant date := coalesce((input ->> 'on_date')::date, app_today());
  reason constant text := btrim(input ->> 'reason');
  s sch_student;
begin
  perform app_require('students.delete');
  s := sch_student_locked($1);
  if s.state <> 'active' then
    perform app_fail('AP409', 'student_inactive', 'The student has already left.');
  end if;
  if reason = '' then
    perform app_fail('AP422', 'reason', 'must say why the student leaves', 'reason');
  end if;
  -- a seat in a class that has not begun is no history
  delete from sch_enrollment e where e.student_id = s.id and e.outcome is null and lower(e.span) > greatest(leaves, app_today());
  if leaves < s.admitted_on or exists (select from sch_enrollment e where e.student_id = s.id and lower(e.span) >= leaves) then
    perform app_fail('AP422', 'too_early', 'must be after the day on which the student came into the class', 'on_date');
  end if;
  if to_regclass('sch_fee_due') is not null then
    execute 'select sch_assert_no_dues($1)' using s.id;
  end if;
  update sch_enrollment e
  set span = daterange(lower(e.span), least(upper(e.span), leaves)), outcome = 'withdrawn'
  where e.student_id = s.id and e.outcome is null and upper(e.span) > leaves;
  update sch_student set state = 'left', left_on = leaves, leave_reason = reason where id = s.id returning * into s;
  return to_jsonb(s);
end $$;
comment on function sch_student_withdraw(uuid, jsonb) is 'lets a student leave: the enrolment ends, the history stays';
revoke all on function sch_student_withdraw(uuid, jsonb) from public;

-- classes.promote: students go to another class, their roll numbers continue behind those who are there
create function sch_class_promote(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  to_class constant uuid := input ->> 'to_class_id';
  on_date constant date := input ->> 'on_date';
  y sch_year;
  student uuid;
  roll int;
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
    set span = daterange(lower(e.span), least(upper(e.span), on_date)), outcome = 'promoted'
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
comment on function sch_class_promote(uuid, jsonb) is 'moves students of a class to another one from a day on';
revoke all on function sch_class_promote(uuid, jsonb) from public;

-- guardians.link, guardians.revoke_access
create function sch_guardian_link(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  g sch_guardian;
  student constant uuid := input ->> 'student_id';
begin
  perform app_require('students.edit');
  perform app_require('school.scope.all');
  select * into g from sch_guardian where id = $1 for update;
  if g.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if not exists (select from sch_student where id = student) then
    perform app_fail('AP422', 'not_found', 'does not name an existing student', 'student_id');
  end if;
  insert into sch_student_guardian (student_id, guardian_id, relation, is_primary, may_see_data)
  values (
    student,
    g.id,
    input ->> 'relation',
    coalesce((input ->> 'is_primary')::boolean, false),
    coalesce((input ->> 'may_see_data')::boolean, true))
  on conflict on constraint sch_student_guardian_key do update
  set relation = excluded.relation, is_primary = excluded.is_primary, may_see_data = excluded.may_see_data;
  return to_jsonb(g);
end $$;
comment on function sch_guardian_link(uuid, jsonb) is 'makes somebody a guardian of a student, or changes what he is to the student';
revoke all on function sch_guardian_link(uuid, jsonb) from public;

create function sch_guardian_revoke_access(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  g sch_guardian;
begin
  perform app_require('students.edit');
  perform app_require('school.scope.all');
  select * into g from sch_guardian where id = $1 for update;
  if g.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  update sch_student_guardian set may_see_data = false where guardian_id = g.id and student_id = (input ->> 'student_id')::uuid;
  if not found then
    perform app_fail('AP422', 'not_found', 'does not name a student of this guardian', 'student_id');
  end if;
  return to_jsonb(g);
end $$;
comment on function sch_guardian_revoke_access(uuid, jsonb) is 'from now on a guardian does not see the data of a student';
revoke all on function sch_guardian_revoke_access(uuid, jsonb) from public;
