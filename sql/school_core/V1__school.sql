-- Years, teachers, classes, courses, and who teaches what.

create table sch_year (
  id uuid primary key default uuid_v7(),
  name text not null,
  span daterange not null,
  state text not null default 'planned',
  constraint sch_year_name check (length(btrim(name)) between 1 and 40),
  constraint sch_year_name_key unique (name),
  constraint sch_year_span check (not isempty(span) and lower(span) is not null and upper(span) is not null),
  constraint sch_year_state check (state in ('planned', 'active', 'closed')),
  constraint sch_year_apart exclude using gist (span with &&)
);
comment on table sch_year is 'school years; one of them is active';
comment on column sch_year.span is 'from the first day to the day after the last, as [2026-06-01,2027-04-01)';
comment on constraint sch_year_name on sch_year is 'must have 1 to 40 characters';
comment on constraint sch_year_name_key on sch_year is 'is already used by another year';
comment on constraint sch_year_span on sch_year is 'must have a first and a last day';
comment on constraint sch_year_state on sch_year is 'must be planned, active or closed';
comment on constraint sch_year_apart on sch_year is 'overlaps another year';
select sys_std('sch_year');
create unique index sch_year_one_active on sch_year (state) where state = 'active';
comment on index sch_year_one_active is 'another year is active';

create table sch_teacher (
  id uuid primary key default uuid_v7(),
  user_id uuid,
  code text not null,
  first_name text not null,
  last_name text,
  email text,
  phone text,
  location_id uuid not null,
  joined_on date not null default app_today(),
  left_on date,
  constraint sch_teacher_user_key unique (user_id),
  constraint sch_teacher_code check (length(btrim(code)) between 1 and 20),
  constraint sch_teacher_code_key unique (code),
  constraint sch_teacher_first_name check (length(btrim(first_name)) between 1 and 100),
  constraint sch_teacher_last_name check (length(last_name) <= 100),
  constraint sch_teacher_email check (length(email) <= 254 and email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
  constraint sch_teacher_phone check (length(phone) <= 40),
  constraint sch_teacher_left_on check (left_on >= joined_on),
  constraint sch_teacher_user_fk foreign key (user_id) references sys_user,
  constraint sch_teacher_location_fk foreign key (location_id) references sys_location
);
comment on table sch_teacher is 'teachers; user_id is the sign-in that sees the students whom the teacher teaches';
comment on constraint sch_teacher_user_key on sch_teacher is 'already belongs to another teacher';
comment on constraint sch_teacher_code on sch_teacher is 'must have 1 to 20 characters';
comment on constraint sch_teacher_code_key on sch_teacher is 'is already used by another teacher';
comment on constraint sch_teacher_first_name on sch_teacher is 'must have 1 to 100 characters';
comment on constraint sch_teacher_last_name on sch_teacher is 'must have at most 100 characters';
comment on constraint sch_teacher_email on sch_teacher is 'must be a valid e-mail address';
comment on constraint sch_teacher_phone on sch_teacher is 'must have at most 40 characters';
comment on constraint sch_teacher_left_on on sch_teacher is 'must not be before the day of joining';
comment on constraint sch_teacher_user_fk on sch_teacher is 'does not name an existing user | is still used by teachers';
comment on constraint sch_teacher_location_fk on sch_teacher is 'does not name an existing location | is still used by teachers';
select sys_std('sch_teacher');
create index sch_teacher_location on sch_teacher (location_id);

create table sch_class (
  id uuid primary key default uuid_v7(),
  year_id uuid not null,
  location_id uuid not null,
  grade text not null,
  section text not null,
  capacity int not null default 40,
  class_teacher_id uuid,
  constraint sch_class_key unique (year_id, location_id, grade, section),
  constraint sch_class_grade check (length(btrim(grade)) between 1 and 20),
  constraint sch_class_section check (length(btrim(section)) between 1 and 20),
  constraint sch_class_capacity check (capacity between 1 and 1000),
  constraint sch_class_year_fk foreign key (year_id) references sch_year,
  constraint sch_class_location_fk foreign key (location_id) references sys_location,
  constraint sch_class_teacher_fk foreign key (class_teacher_id) references sch_teacher
);
comment on table sch_class is 'a section of a grade in one year and place, with the teacher who leads it';
comment on constraint sch_class_key on sch_class is 'this section exists already in that year and place';
comment on constraint sch_class_grade on sch_class is 'must have 1 to 20 characters';
comment on constraint sch_class_section on sch_class is 'must have 1 to 20 characters';
comment on constraint sch_class_capacity on sch_class is 'must be from 1 to 1000';
comment on constraint sch_class_year_fk on sch_class is 'does not name an existing year | still has classes';
comment on constraint sch_class_location_fk on sch_class is 'does not name an existing location | is still used by classes';
comment on constraint sch_class_teacher_fk on sch_class is 'does not name an existing teacher | still leads classes';
select sys_std('sch_class');
create index sch_class_location on sch_class (location_id);
create index sch_class_teacher on sch_class (class_teacher_id);

create table sch_course (
  id uuid primary key default uuid_v7(),
  code text not null,
  title text not null,
  grade text not null,
  credits numeric(4,1) not null default 1,
  active boolean not null default true,
  constraint sch_course_code check (length(btrim(code)) between 1 and 20),
  constraint sch_course_code_key unique (code),
  constraint sch_course_title check (length(btrim(title)) between 1 and 200),
  constraint sch_course_grade check (length(btrim(grade)) between 1 and 20),
  constraint sch_course_credits check (credits > 0)
);
comment on table sch_course is 'what is taught in a grade';
comment on constraint sch_course_code on sch_course is 'must have 1 to 20 characters';
comment on constraint sch_course_code_key on sch_course is 'is already used by another course';
comment on constraint sch_course_title on sch_course is 'must have 1 to 200 characters';
comment on constraint sch_course_grade on sch_course is 'must have 1 to 20 characters';
comment on constraint sch_course_credits on sch_course is 'must be above 0';
select sys_std('sch_course');

create table sch_offering (
  id uuid primary key default uuid_v7(),
  course_id uuid not null,
  class_id uuid not null,
  teacher_id uuid not null,
  constraint sch_offering_key unique (course_id, class_id),
  constraint sch_offering_course_fk foreign key (course_id) references sch_course,
  constraint sch_offering_class_fk foreign key (class_id) references sch_class,
  constraint sch_offering_teacher_fk foreign key (teacher_id) references sch_teacher
);
comment on table sch_offering is 'a course given to a class by a teacher';
comment on constraint sch_offering_key on sch_offering is 'is already given to this class';
comment on constraint sch_offering_course_fk on sch_offering is 'does not name an existing course | is still given to classes';
comment on constraint sch_offering_class_fk on sch_offering is 'does not name an existing class | still has courses';
comment on constraint sch_offering_teacher_fk on sch_offering is 'does not name an existing teacher | still gives courses';
select sys_std('sch_offering');
create index sch_offering_class on sch_offering (class_id);
create index sch_offering_teacher on sch_offering (teacher_id);

create trigger b_action_only before update of state on sch_year
  for each row execute function sys_action_only('state');

create function sch_offering_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if exists (select from sch_teacher where id = new.teacher_id and left_on <= app_today()) then
    perform app_fail('AP422', 'teacher_left', 'names a teacher who has left', 'teacher_id');
  end if;
  if exists (select from sch_course c join sch_class k on k.id = new.class_id where c.id = new.course_id and c.grade <> k.grade) then
    perform app_fail('AP422', 'wrong_grade', 'is a course of another grade than the class', 'course_id');
  end if;
  return new;
end $$;
comment on function sch_offering_guard() is 'a course goes to a class of its grade, by a teacher who is there';
revoke all on function sch_offering_guard() from public;
create trigger a_guard before insert or update of course_id, class_id, teacher_id on sch_offering
  for each row execute function sch_offering_guard();
