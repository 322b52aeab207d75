-- Taking registers, locking and correcting them.

-- What must be true before a class is marked on a day.
create function sch_register_allowed(p_class uuid, p_on date) returns void
language plpgsql as $$
declare
  c sch_class;
begin
  select * into c from sch_class where id = p_class;
  if c.id is null then
    perform app_fail('AP422', 'not_found', 'does not name an existing class', 'class_id');
  end if;
  if not sch_teaches(c.id) then
    perform app_fail('AP403', 'outside_scope', 'Only teachers of the class take its registers.', 'class_id');
  end if;
  if p_on > app_today() then
    perform app_fail('AP422', 'future', 'must not be in the future', 'on_date');
  end if;
  if not exists (select from sch_year where id = c.year_id and state = 'active' and span @> p_on) then
    perform app_fail('AP422', 'outside_year', 'must lie inside the active year', 'on_date');
  end if;
  if exists (select from sys_holiday h where h.on_date = p_on and (h.location_id is null or h.location_id = c.location_id)) then
    perform app_fail('AP422', 'holiday', 'is a holiday', 'on_date');
  end if;
end $$;
comment on function sch_register_allowed(uuid, date) is 'internal: refuses marks of a class that the caller does not teach, or on a wrong day';
revoke all on function sch_register_allowed(uuid, date) from public;

create function sch_register_fill(s sch_session, p_marks jsonb) returns void
language plpgsql as $$
declare
  named uuid[];
  n bigint;
begin
  if jsonb_typeof(p_marks) <> 'array' or jsonb_array_length(p_marks) > 1000 or exists (
    select from jsonb_array_elements(p_marks) m
    where jsonb_typeof(m) <> 'object'
      or coalesce(m ->> 'student_id', '') !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
      or coalesce(m ->> 'status', '') not in ('present', 'absent', 'late', 'excused', 'half_day')
      or coalesce(m ->> 'minutes_late', '1') !~ '^[0-9]{1,4}$') then
    perform app_fail('AP422', 'marks',
      'must be a list of {student_id, status, minutes_late?, remark?} with status present, absent, late, excused or half_day', 'marks');
  end if;
  named := array(select (m ->> 'student_id')::uuid from jsonb_array_elements(p_marks) m);
  if cardinality(named) > (select count(distinct k) from unnest(named) k) then
    perform app_fail('AP422', 'named_twice', 'names a student twice', 'marks');
  end if;
  if exists (
    select from unnest(named) k
    where not exists (select from sch_enrollment e where e.class_id = s.class_id and e.student_id = k and e.span @> s.on_date)) then
    perform app_fail('AP422', 'not_in_class', 'names a student who is not in this class on that day', 'marks');
  end if;
  insert into sch_attendance as a (session_id, student_id, on_date, period_no, status, minutes_late, remark)
  select s.id, (m ->> 'student_id')::uuid, s.on_date, s.period_no, m ->> 'status', (m ->> 'minutes_late')::int, m ->> 'remark'
  from jsonb_array_elements(p_marks) m
  on conflict on constraint sch_attendance_once do update
  set status = excluded.status, minutes_late = excluded.minutes_late, remark = excluded.remark
  where a.session_id = excluded.session_id;
  get diagnostics n = row_count;
  if n < cardinality(named) then
    perform app_fail('AP409', 'already_marked', 'A student is already marked in another class for that day and period.', 'marks');
  end if;
  update sch_session
  set
    taken_by = app_uid(),
    unmarked = (
      select count(*)
      from sch_enrollment e
      where e.class_id = s.class_id and e.span @> s.on_date
        and not exists (select from sch_attendance a where a.session_id = s.id and a.student_id = e.student_id))
  where id = s.id;
end $$;
comment on function sch_register_fill(sch_session, jsonb) is 'internal: writes marks of students of the class, new ones and changed ones';
revoke all on function sch_register_fill(sch_session, jsonb) from public;

-- registers.create: a class in one call
create function sch_register_take(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  class constant uuid := input ->> 'class_id';
  day constant date := coalesce((input ->> 'on_date')::date, app_today());
  offering constant uuid := input ->> 'offering_id';
  s sch_session;
begin
  perform app_require('attendance.mark');
  perform sch_register_allowed(class, day);
  if offering is not null and not exists (select from sch_offering o where o.id = offering and o.class_id = class) then
    perform app_fail('AP422', 'not_found', 'does not name an offering of this class', 'offering_id');
  end if;
  insert into sch_session (id, class_id, on_date, period_no, offering_id)
  values ($1, class, day, coalesce((input ->> 'period_no')::int, 0), offering)
  on conflict on constraint sch_session_key do nothing
  returning * into s;
  if s.id is null then
    perform app_fail('AP409', 'already_marked', 'The register of this class, day and period exists; mark it by its action.');
  end if;
  perform sch_register_fill(s, coalesce(input -> 'marks', '[]'));
  return to_jsonb(s);
end $$;
comment on function sch_register_take(uuid, jsonb) is 'takes the register of a class for a day and period';
revoke all on function sch_register_take(uuid, jsonb) from public;

-- registers.mark: while it is open, marks are added and changed
create function sch_register_mark(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s sch_session;
begin
  perform app_require('attendance.mark');
  select * into s from sch_session where id = $1 for update;
  if s.id is null or not sch_teaches(s.class_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform sch_register_allowed(s.class_id, s.on_date);
  if s.state = 'locked' then
    perform app_fail('AP409', 'locked', 'The register is locked; use a correction.');
  end if;
  perform sch_register_fill(s, input -> 'marks');
  return to_jsonb(s);
end $$;
comment on function sch_register_mark(uuid, jsonb) is 'adds and changes marks of an open register';
revoke all on function sch_register_mark(uuid, jsonb) from public;

-- attendance.create: one student, in the register of the class, which is made where it is missing
create function sch_attendance_mark(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  student constant uuid := input ->> 'student_id';
  day constant date := coalesce((input ->> 'on_date')::date, app_today());
  period constant int := coalesce((input ->> 'period_no')::int, 0);
  class uuid;
  s sch_session;
  a sch_attendance;
begin
  perform app_require('attendance.mark');
  if not exists (select from sch_student where id = student) or not sch_sees(student) then
    perform app_fail('AP422', 'not_found', 'does not name an existing student', 'student_id');
  end if;
  select e.class_id into class from sch_enrollment e where e.student_id = student and e.span @> day;
  if class is null then
    perform app_fail('AP422', 'not_in_class', 'is in no class on that day', 'student_id');
  end if;
  perform sch_register_allowed(class, day);
  insert into sch_session (class_id, on_date, period_no) values (class, day, period)
  on conflict on constraint sch_session_key do update set taken_by = app_uid()
  returning * into s;
  if exists (select from sch_attendance where student_id = student and on_date = day and period_no = period) then
    perform app_fail('AP409', 'already_marked', 'The student is already marked for that day and period.');
  end if;
  insert into sch_attendance (id, session_id, student_id, on_date, period_no, status, minutes_late, remark)
  values ($1, s.id, student, day, period, input ->> 'status', (input ->> 'minutes_late')::int, input ->> 'remark')
  returning * into a;
  update sch_session
  set unmarked = (
    select count(*)
    from sch_enrollment e
    where e.class_id = class and e.span @> day
      and not exists (select from sch_attendance m where m.session_id = s.id and m.student_id = e.student_id))
  where id = s.id;
  return to_jsonb(a);
end $$;
comment on function sch_attendance_mark(uuid, jsonb) is 'marks one student';
revoke all on function sch_attendance_mark(uuid, jsonb) from public;

-- registers.lock
create function sch_register_lock(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  s sch_session;
begin
  perform app_require('attendance.edit');
  select * into s from sch_session where id = $1 for update;
  if s.id is null or not sch_teaches(s.class_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if s.state = 'locked' then
    perform app_fail('AP409', 'locked', 'The register is already locked.');
  end if;
  update sch_session set state = 'locked' where id = s.id returning * into s;
  return to_jsonb(s);
end $$;
comment on function sch_register_lock(uuid, jsonb) is 'locks a register: from now on it changes only by corrections';
revoke all on function sch_register_lock(uuid, jsonb) from public;

create function sch_lock_registers(p_before date) returns int
language sql as $$
  with locked as (
    update sch_session set state = 'locked' where state = 'open' and on_date < p_before returning 1)
  select count(*)::int from locked
$$;
comment on function sch_lock_registers(date) is 'internal: locks all registers before a day, for a nightly job';
revoke all on function sch_lock_registers(date) from public;

-- attendance.correct; the guard of the table knows the action by its name
create function sch_attendance_correct(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  a sch_attendance;
  reason constant text := btrim(coalesce(input ->> 'reason', ''));
begin
  perform app_require('attendance.edit');
  select * into a from sch_attendance where id = $1 for update;
  if a.id is null or not sch_sees(a.student_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if reason = '' then
    perform app_fail('AP422', 'reason', 'must say why it is corrected', 'reason');
  end if;
  insert into sch_attendance_change (attendance_id, old_status, new_status, reason)
  values (a.id, a.status, input ->> 'status', reason);
  update sch_attendance
  set status = input ->> 'status', minutes_late = (input ->> 'minutes_late')::int
  where id = a.id
  returning * into a;
  return to_jsonb(a);
end $$;
comment on function sch_attendance_correct(uuid, jsonb) is 'changes a mark with a reason, also in a locked register';
revoke all on function sch_attendance_correct(uuid, jsonb) from public;
