-- Lessons and registers. A register is one class, day and period; period 0 is the whole day.

create table sch_period (
  id uuid primary key default uuid_v7(),
  location_id uuid not null,
  period_no int not null,
  name text not null,
  starts time not null,
  ends time not null,
  constraint sch_period_key unique (location_id, period_no),
  constraint sch_period_no check (period_no between 0 and 15),
  constraint sch_period_name check (length(btrim(name)) between 1 and 100),
  constraint sch_period_ends check (ends > starts),
  constraint sch_period_location_fk foreign key (location_id) references sys_location
);
comment on table sch_period is 'the periods of a school day in each place; 0 is the whole day';
comment on constraint sch_period_key on sch_period is 'exists already in this place';
comment on constraint sch_period_no on sch_period is 'must be from 0 to 15';
comment on constraint sch_period_name on sch_period is 'must have 1 to 100 characters';
comment on constraint sch_period_ends on sch_period is 'must be after the beginning';
comment on constraint sch_period_location_fk on sch_period is 'does not name an existing location | is still used by periods';
select sys_std('sch_period');

create table sch_timetable (
  id uuid primary key default uuid_v7(),
  class_id uuid not null,
  dow int not null,
  period_no int not null,
  offering_id uuid not null,
  teacher_id uuid not null,
  room text,
  valid daterange not null,
  constraint sch_timetable_dow check (dow between 0 and 6),
  constraint sch_timetable_period check (period_no between 1 and 15),
  constraint sch_timetable_room check (length(btrim(room)) between 1 and 40),
  constraint sch_timetable_valid check (not isempty(valid) and lower(valid) is not null and upper(valid) is not null),
  constraint sch_timetable_class_free exclude using gist (class_id with =, dow with =, period_no with =, valid with &&),
  constraint sch_timetable_teacher_free exclude using gist (teacher_id with =, dow with =, period_no with =, valid with &&),
  constraint sch_timetable_room_free exclude using gist (room with =, dow with =, period_no with =, valid with &&)
    where (room is not null),
  constraint sch_timetable_class_fk foreign key (class_id) references sch_class,
  constraint sch_timetable_offering_fk foreign key (offering_id) references sch_offering,
  constraint sch_timetable_teacher_fk foreign key (teacher_id) references sch_teacher
);
comment on table sch_timetable is 'lessons of the week: neither class, teacher nor room is in two places at a time';
comment on column sch_timetable.dow is 'day of the week, 0 is Sunday';
comment on column sch_timetable.valid is 'from the first day to the day after the last';
comment on constraint sch_timetable_dow on sch_timetable is 'must be from 0 (Sunday) to 6';
comment on constraint sch_timetable_period on sch_timetable is 'must be from 1 to 15';
comment on constraint sch_timetable_room on sch_timetable is 'must have 1 to 40 characters';
comment on constraint sch_timetable_valid on sch_timetable is 'must have a first and a last day';
comment on constraint sch_timetable_class_free on sch_timetable is 'the class has another lesson then';
comment on constraint sch_timetable_teacher_free on sch_timetable is 'the teacher has another lesson then';
comment on constraint sch_timetable_room_free on sch_timetable is 'the room is taken then';
comment on constraint sch_timetable_class_fk on sch_timetable is 'does not name an existing class | still has lessons';
comment on constraint sch_timetable_offering_fk on sch_timetable is 'does not name an existing offering | still has lessons';
comment on constraint sch_timetable_teacher_fk on sch_timetable is 'does not name an existing teacher | still gives lessons';
select sys_std('sch_timetable');
create index sch_timetable_class on sch_timetable (class_id);
create index sch_timetable_offering on sch_timetable (offering_id);
create index sch_timetable_teacher on sch_timetable (teacher_id);

create function sch_timetable_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if not exists (select from sch_offering where id = new.offering_id and class_id = new.class_id) then
    perform app_fail('AP422', 'wrong_class', 'does not name an offering of this class', 'offering_id');
  end if;
  if not exists (
    select from sch_period p join sch_class c on c.location_id = p.location_id where c.id = new.class_id and p.period_no = new.period_no) then
    perform app_fail('AP422', 'no_such_period', 'is not a period of the place of this class', 'period_no');
  end if;
  if not exists (select from sch_class c join sch_year y on y.id = c.year_id where c.id = new.class_id and new.valid <@ y.span) then
    perform app_fail('AP422', 'outside_year', 'must lie inside the year of the class', 'valid');
  end if;
  return new;
end $$;
comment on function sch_timetable_guard() is 'a lesson is of a course of the class, in a period of its place and days of its year';
revoke all on function sch_timetable_guard() from public;
create trigger a_guard before insert or update on sch_timetable for each row execute function sch_timetable_guard();

create table sch_session (
  id uuid primary key default uuid_v7(),
  class_id uuid not null,
  on_date date not null,
  period_no int not null default 0,
  offering_id uuid,
  taken_by uuid default app_uid(),
  unmarked int not null default 0,
  state text not null default 'open',
  constraint sch_session_key unique (class_id, on_date, period_no),
  constraint sch_session_same unique (id, on_date, period_no),
  constraint sch_session_period check (period_no between 0 and 15),
  constraint sch_session_state check (state in ('open', 'locked')),
  constraint sch_session_class_fk foreign key (class_id) references sch_class,
  constraint sch_session_offering_fk foreign key (offering_id) references sch_offering
);
comment on table sch_session is 'registers: one for each class, day and period; a locked one changes only by corrections';
comment on column sch_session.unmarked is 'how many students of the class had no mark when the register was last taken';
comment on constraint sch_session_key on sch_session is 'the register exists already';
comment on constraint sch_session_period on sch_session is 'must be from 0 to 15';
comment on constraint sch_session_class_fk on sch_session is 'does not name an existing class | has registers';
comment on constraint sch_session_offering_fk on sch_session is 'does not name an existing offering | has registers';
select sys_std('sch_session');
create index sch_session_date on sch_session (on_date);
create index sch_session_offering on sch_session (offering_id) where offering_id is not null;

create table sch_attendance (
  id uuid primary key default uuid_v7(),
  session_id uuid not null,
  student_id uuid not null,
  on_date date not null,
  period_no int not null,
  status text not null,
  minutes_late int,
  remark text,
  constraint sch_attendance_once unique (student_id, on_date, period_no),
  constraint sch_attendance_status check (status in ('present', 'absent', 'late', 'excused', 'half_day')),
  constraint sch_attendance_minutes check (minutes_late > 0),
  constraint sch_attendance_late check (status = 'late' or minutes_late is null),
  constraint sch_attendance_remark check (length(remark) <= 500),
  constraint sch_attendance_session_fk foreign key (session_id, on_date, period_no) references sch_session (id, on_date, period_no),
  constraint sch_attendance_student_fk foreign key (student_id) references sch_student
);
comment on table sch_attendance is 'who was there: at most one mark for each student, day and period';
comment on constraint sch_attendance_once on sch_attendance is 'the student is marked already for that day and period';
comment on constraint sch_attendance_status on sch_attendance is 'must be present, absent, late, excused or half_day';
comment on constraint sch_attendance_minutes on sch_attendance is 'must be above 0';
comment on constraint sch_attendance_late on sch_attendance is 'is only for students who are late';
comment on constraint sch_attendance_session_fk on sch_attendance is 'does not name an existing register | has marks';
comment on constraint sch_attendance_student_fk on sch_attendance is 'does not name an existing student';
comment on constraint sch_attendance_remark on sch_attendance is 'must have at most 500 characters';
select sys_std('sch_attendance');
create index sch_attendance_session on sch_attendance (session_id, on_date, period_no);
create index sch_attendance_date on sch_attendance (on_date);

create table sch_attendance_change (
  id uuid primary key default uuid_v7(),
  attendance_id uuid not null,
  old_status text not null,
  new_status text not null,
  reason text not null,
  constraint sch_attendance_change_reason check (length(btrim(reason)) between 1 and 500),
  constraint sch_attendance_change_attendance_fk foreign key (attendance_id) references sch_attendance
);
comment on table sch_attendance_change is 'corrections of attendance, append-only: what stood there, what stands there, why';
comment on constraint sch_attendance_change_reason on sch_attendance_change is 'must have 1 to 500 characters';
select sys_append_only('sch_attendance_change');
create index sch_attendance_change_attendance on sch_attendance_change (attendance_id);

create function sch_attendance_guard() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  register constant uuid := case when tg_op = 'INSERT' then new.session_id else old.session_id end;
begin
  if coalesce(current_setting('app.action', true), '') <> 'correct' then
    perform from sch_session where id = register and state = 'locked' for share;
    if found then
      perform app_fail('AP409', 'locked', 'The register is locked; use a correction.');
    end if;
  end if;
  return coalesce(new, old);
end $$;
comment on function sch_attendance_guard() is 'a locked register changes only by corrections, whoever writes';
revoke all on function sch_attendance_guard() from public;
create trigger a_guard before insert or update or delete on sch_attendance
  for each row execute function sch_attendance_guard();

create function sch_classes_in_scope() returns uuid[]
language sql stable security definer set search_path from current as $$
  select array(
    select unnest(sch_taught_classes())
    union
    select e.class_id from sch_enrollment e where e.student_id = any (sch_own_students()))
$$;
comment on function sch_classes_in_scope() is 'the classes whose registers the caller sees: taught, own, of children';
revoke all on function sch_classes_in_scope() from public;
