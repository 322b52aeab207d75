-- Students, guardians, who is in which class, and whose data a user may see.

create table sch_student (
  id uuid primary key default uuid_v7(),
  user_id uuid,
  admission_no text not null,
  first_name text not null,
  last_name text,
  date_of_birth date not null,
  gender text,
  email text,
  phone text,
  address jsonb not null default '{}',
  admitted_on date not null default app_today(),
  left_on date,
  leave_reason text,
  state text not null default 'active',
  constraint sch_student_user_key unique (user_id),
  constraint sch_student_admission_no check (length(btrim(admission_no)) between 1 and 30),
  constraint sch_student_admission_no_key unique (admission_no),
  constraint sch_student_first_name check (length(btrim(first_name)) between 1 and 100),
  constraint sch_student_last_name check (length(last_name) <= 100),
  constraint sch_student_born check (date_of_birth < admitted_on),
  constraint sch_student_gender check (gender in ('male', 'female', 'other')),
  constraint sch_student_email check (length(email) <= 254 and email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
  constraint sch_student_phone check (length(phone) <= 40),
  constraint sch_student_address check (jsonb_typeof(address) = 'object'),
  constraint sch_student_state check (state in ('active', 'alumni', 'left')),
  constraint sch_student_left check ((state = 'active') = (left_on is null)),
  constraint sch_student_reason check (left_on is null or leave_reason is not null),
  constraint sch_student_leave_reason check (length(leave_reason) <= 500),
  constraint sch_student_user_fk foreign key (user_id) references sys_user
);
comment on table sch_student is 'students; never removed, because their history stays when they leave';
comment on constraint sch_student_user_key on sch_student is 'already belongs to another student';
comment on constraint sch_student_admission_no on sch_student is 'must have 1 to 30 characters';
comment on constraint sch_student_admission_no_key on sch_student is 'is already used by another student';
comment on constraint sch_student_first_name on sch_student is 'must have 1 to 100 characters';
comment on constraint sch_student_last_name on sch_student is 'must have at most 100 characters';
comment on constraint sch_student_born on sch_student is 'must be before the day of admission';
comment on constraint sch_student_gender on sch_student is 'must be male, female or other';
comment on constraint sch_student_email on sch_student is 'must be a valid e-mail address';
comment on constraint sch_student_phone on sch_student is 'must have at most 40 characters';
comment on constraint sch_student_address on sch_student is 'must be an object';
comment on constraint sch_student_state on sch_student is 'must be active, alumni or left';
comment on constraint sch_student_left on sch_student is 'is set exactly when the student is no longer active';
comment on constraint sch_student_reason on sch_student is 'is needed when a student leaves';
comment on constraint sch_student_leave_reason on sch_student is 'must have at most 500 characters';
comment on constraint sch_student_user_fk on sch_student is 'does not name an existing user | is still used by students';
select sys_std('sch_student');

create table sch_guardian (
  id uuid primary key default uuid_v7(),
  user_id uuid,
  name text not null,
  phone text not null,
  email text,
  occupation text,
  constraint sch_guardian_user_key unique (user_id),
  constraint sch_guardian_name check (length(btrim(name)) between 1 and 200),
  constraint sch_guardian_phone check (length(btrim(phone)) between 1 and 40),
  constraint sch_guardian_email check (length(email) <= 254 and email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
  constraint sch_guardian_occupation check (length(occupation) <= 100),
  constraint sch_guardian_user_fk foreign key (user_id) references sys_user
);
comment on table sch_guardian is 'mothers, fathers and others who care for students';
comment on constraint sch_guardian_user_key on sch_guardian is 'already belongs to another guardian';
comment on constraint sch_guardian_name on sch_guardian is 'must have 1 to 200 characters';
comment on constraint sch_guardian_phone on sch_guardian is 'must have 1 to 40 characters';
comment on constraint sch_guardian_email on sch_guardian is 'must be a valid e-mail address';
comment on constraint sch_guardian_occupation on sch_guardian is 'must have at most 100 characters';
comment on constraint sch_guardian_user_fk on sch_guardian is 'does not name an existing user | is still used by guardians';
select sys_std('sch_guardian');

create table sch_student_guardian (
  id uuid primary key default uuid_v7(),
  student_id uuid not null,
  guardian_id uuid not null,
  relation text not null,
  is_primary boolean not null default false,
  may_see_data boolean not null default true,
  may_collect_child boolean not null default true,
  constraint sch_student_guardian_key unique (student_id, guardian_id),
  constraint sch_student_guardian_relation check (relation in ('mother', 'father', 'guardian', 'other')),
  constraint sch_student_guardian_student_fk foreign key (student_id) references sch_student,
  constraint sch_student_guardian_guardian_fk foreign key (guardian_id) references sch_guardian
);
comment on table sch_student_guardian is 'who cares for whom; may_see_data decides, for each adult, whether the child''s data is shown';
comment on constraint sch_student_guardian_key on sch_student_guardian is 'is already a guardian of this student';
comment on constraint sch_student_guardian_relation on sch_student_guardian is 'must be mother, father, guardian or other';
comment on constraint sch_student_guardian_student_fk on sch_student_guardian is 'does not name an existing student';
comment on constraint sch_student_guardian_guardian_fk on sch_student_guardian
  is 'does not name an existing guardian | still cares for students';
select sys_std('sch_student_guardian');
create unique index sch_student_guardian_primary on sch_student_guardian (student_id) where is_primary;
comment on index sch_student_guardian_primary is 'the student already has a primary guardian';
create index sch_student_guardian_guardian on sch_student_guardian (guardian_id);

create table sch_enrollment (
  id uuid primary key default uuid_v7(),
  student_id uuid not null,
  class_id uuid not null,
  roll_no int not null,
  span daterange not null,
  outcome text,
  constraint sch_enrollment_roll_no check (roll_no > 0),
  constraint sch_enrollment_roll_no_key unique (class_id, roll_no),
  constraint sch_enrollment_span check (not isempty(span) and lower(span) is not null and upper(span) is not null),
  constraint sch_enrollment_outcome check (outcome in ('promoted', 'retained', 'transferred', 'withdrawn')),
  constraint sch_enrollment_one_class exclude using gist (student_id with =, span with &&),
  constraint sch_enrollment_student_fk foreign key (student_id) references sch_student,
  constraint sch_enrollment_class_fk foreign key (class_id) references sch_class
);
comment on table sch_enrollment is 'which student is in which class on which days';
comment on column sch_enrollment.span is 'from the first day to the day after the last';
comment on constraint sch_enrollment_roll_no on sch_enrollment is 'must be above 0';
comment on constraint sch_enrollment_roll_no_key on sch_enrollment is 'is already used in this class';
comment on constraint sch_enrollment_span on sch_enrollment is 'must have a first and a last day';
comment on constraint sch_enrollment_outcome on sch_enrollment is 'must be promoted, retained, transferred or withdrawn';
comment on constraint sch_enrollment_one_class on sch_enrollment is 'the student is in another class on some of these days';
comment on constraint sch_enrollment_student_fk on sch_enrollment is 'does not name an existing student';
comment on constraint sch_enrollment_class_fk on sch_enrollment is 'does not name an existing class | still has students';
select sys_std('sch_enrollment');
create index sch_enrollment_student on sch_enrollment (student_id);

-- The scope, in one place. Policies call these once per statement: (select sch_students_in_scope()). They run as the owner of the tables,
-- because the tables that they read are scoped by them.

create function sch_own_students() returns uuid[]
language sql stable security definer set search_path from current as $$
  select array(
    select s.id from sch_student s where s.user_id = app_uid()
    union
    select l.student_id
    from sch_student_guardian l
    join sch_guardian g on g.id = l.guardian_id
    where g.user_id = app_uid() and l.may_see_data)
$$;
comment on function sch_own_students() is 'the caller as a student, and the children whose data the caller may see';
revoke all on function sch_own_students() from public;

create function sch_led_classes() returns uuid[]
language sql stable security definer set search_path from current as $$
  select array(
    select c.id
    from sch_class c
    join sch_teacher t on t.id = c.class_teacher_id
    where t.user_id = app_uid() and (t.left_on is null or t.left_on > app_today()))
$$;
comment on function sch_led_classes() is 'the classes that the caller leads; none for teachers who have left';
revoke all on function sch_led_classes() from public;

create function sch_taught_offerings() returns uuid[]
language sql stable security definer set search_path from current as $$
  select array(
    select o.id
    from sch_offering o
    join sch_teacher t on t.id = o.teacher_id
    where t.user_id = app_uid() and (t.left_on is null or t.left_on > app_today()))
$$;
comment on function sch_taught_offerings() is 'the courses that the caller gives; none for teachers who have left';
revoke all on function sch_taught_offerings() from public;

create function sch_taught_classes() returns uuid[]
language sql stable security definer set search_path from current as $$
  select array(
    select unnest(sch_led_classes())
    union
    select o.class_id from sch_offering o where o.id = any (sch_taught_offerings()))
$$;
comment on function sch_taught_classes() is 'the classes that the caller leads or gives a course';
revoke all on function sch_taught_classes() from public;

create function sch_students_in_scope() returns uuid[]
language sql stable security definer set search_path from current as $$
  select array(
    select unnest(sch_own_students())
    union
    select e.student_id from sch_enrollment e where e.class_id = any (sch_taught_classes()) and e.span @> app_today())
$$;
comment on function sch_students_in_scope() is 'the students whom the caller sees without school.scope.all: own, children, taught today';
revoke all on function sch_students_in_scope() from public;

create function sch_sees(p_student uuid) returns boolean
language sql stable as $$
  select app_has('school.scope.all') or coalesce(p_student = any (sch_students_in_scope()), false)
$$;
comment on function sch_sees(uuid) is 'does the caller see the data of this student';

create function sch_teaches(p_class uuid) returns boolean
language sql stable as $$
  select app_has('school.scope.all') or coalesce(p_class = any (sch_taught_classes()), false)
$$;
comment on function sch_teaches(uuid) is 'may the caller work as a teacher of this class';

-- A sign-in decides who sees a child's data, so only who sees everybody's gives it out.
create function sch_user_guard() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.user_id is not distinct from old.user_id or new.user_id is null then
    return new;
  end if;
  perform app_require('school.scope.all');
  if not sys_user_active(new.user_id) then
    perform app_fail('AP422', 'user_inactive', 'does not name an active user', 'user_id');
  end if;
  return new;
end $$;
comment on function sch_user_guard() is 'a sign-in is given to a person by somebody who sees all, and is an active user';
create trigger a_user before insert or update of user_id on sch_student for each row execute function sch_user_guard();
create trigger a_user before insert or update of user_id on sch_guardian for each row execute function sch_user_guard();
create trigger a_user before insert or update of user_id on sch_teacher for each row execute function sch_user_guard();
create trigger b_action_only before update of state, left_on, leave_reason on sch_student
  for each row execute function sys_action_only('state,left_on,leave_reason');

-- the most students that a class has on one day of a span, leaving one enrolment out; a new maximum begins where an enrolment begins
create function sch_class_fullest(p_class uuid, p_span daterange, p_without uuid) returns bigint
language sql stable as $$
  select coalesce(max((
    select count(*)
    from sch_enrollment o
    where o.class_id = p_class and o.id is distinct from p_without and o.span @> greatest(lower(e.span), lower(p_span)))), 0)
  from sch_enrollment e
  where e.class_id = p_class and e.id is distinct from p_without and e.span && p_span
$$;
comment on function sch_class_fullest(uuid, daterange, uuid) is 'internal: the most students of a class on one day';
revoke all on function sch_class_fullest(uuid, daterange, uuid) from public;

-- the class stays locked, so that two students do not take the last seat
create function sch_enrollment_guard() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  c sch_class;
  y sch_year;
begin
  select * into c from sch_class where id = new.class_id for update;
  select * into y from sch_year where id = c.year_id for share;
  if c.id is null then
    return new;
  end if;
  if y.state = 'closed' then
    perform app_fail('AP409', 'year_closed', format('The year %s is closed.', y.name));
  end if;
  if not new.span <@ y.span then
    perform app_fail('AP422', 'outside_year', format('must lie inside the year %s', y.name), 'span');
  end if;
  if tg_op = 'INSERT' or new.student_id <> old.student_id then
    perform from sch_student where id = new.student_id and state <> 'active' for share;
    if found then
      perform app_fail('AP422', 'student_inactive', 'names a student who has left', 'student_id');
    end if;
  end if;
  if sch_class_fullest(c.id, new.span, new.id) >= c.capacity then
    perform app_fail('AP409', 'class_full', format('The class %s %s is full.', c.grade, c.section));
  end if;
  return new;
end $$;
comment on function sch_enrollment_guard() is 'an enrolment lies inside an open year, of an active student, and there is a seat on every day';
revoke all on function sch_enrollment_guard() from public;
create trigger a_guard before insert or update of class_id, span, student_id on sch_enrollment
  for each row execute function sch_enrollment_guard();
create trigger b_action_only before update of outcome on sch_enrollment
  for each row execute function sys_action_only('outcome');

-- the other side of the same rules
create function sch_class_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if new.year_id <> old.year_id and exists (select from sch_enrollment where class_id = old.id) then
    perform app_fail('AP409', 'in_use', 'A class that has students keeps its year.', 'year_id');
  end if;
  if new.grade <> old.grade and exists (select from sch_offering where class_id = old.id) then
    perform app_fail('AP409', 'in_use', 'A class that has courses keeps its grade.', 'grade');
  end if;
  if new.capacity < old.capacity and sch_class_fullest(old.id, daterange(null, null), null) > new.capacity then
    perform app_fail('AP409', 'class_full', 'There are days with more students than that.', 'capacity');
  end if;
  return new;
end $$;
comment on function sch_class_guard() is 'a class stays as large as its students need, in their year';
revoke all on function sch_class_guard() from public;
create trigger a_guard before update of year_id, grade, capacity on sch_class
  for each row execute function sch_class_guard();

create function sch_year_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if old.state = 'closed' then
    perform app_fail('AP409', 'year_closed', format('The year %s is closed.', old.name));
  end if;
  if exists (
    select from sch_enrollment e join sch_class c on c.id = e.class_id where c.year_id = old.id and not e.span <@ new.span) then
    perform app_fail('AP409', 'in_use', 'Students are enrolled on days outside of that.', 'span');
  end if;
  return new;
end $$;
comment on function sch_year_guard() is 'a year holds the days of its students; a closed one changes no more';
revoke all on function sch_year_guard() from public;
create trigger a_guard before update of span on sch_year
  for each row when (old.span <> new.span) execute function sch_year_guard();
