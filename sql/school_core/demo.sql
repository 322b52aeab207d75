-- Example data for a school that has just been made, with one user for each role. One transaction, run as the owner of the tables. The
-- year began five months ago, so that there is always a term behind and one ahead.

do $$
begin
  if exists (select from sch_year) then
    perform app_fail('AP409', 'not_empty', 'Example data goes only into an empty tenant.');
  end if;
end $$;

create function sch_demo_id(salt text) returns uuid
language sql stable as $$
  select ('01900000-0000-7' || substr(h, 1, 3) || '-8' || substr(h, 4, 3) || '-' || substr(h, 7, 12))::uuid
  from md5(current_schema() || salt) h
$$;

create function sch_demo_user(role text) returns uuid
language sql stable as $$
  select u.id
  from sys_user u
  join sys_user_role ur on ur.user_id = u.id
  join sys_role r on r.id = ur.role_id
  where r.code = role
  order by u.email
  limit 1
$$;

alter table sch_enrollment disable trigger user;
alter table sch_student disable trigger user;
alter table sch_guardian disable trigger user;
alter table sch_student_guardian disable trigger user;
alter table sch_teacher disable trigger user;

insert into sys_location (id, code, name, kind, state_code, address)
values (sch_demo_id('campus'), 'MAIN', 'Main campus', 'campus', '29', '{"street": "12 Lake Road", "city": "Bengaluru", "pin": "560001"}');

insert into sys_user_location (user_id, location_id, is_default)
select u.id, sch_demo_id('campus'), true
from sys_user u
where u.id in (select sch_demo_user(r) from unnest(array['school_admin', 'principal', 'teacher', 'accountant', 'receptionist']) r)
order by u.email;

insert into sch_year (id, name, span, state)
select
  sch_demo_id('year' || n),
  to_char(first, 'YYYY-') || to_char(first + interval '1 year', 'YY'),
  daterange(first, (first + interval '11 months')::date),
  case n when 0 then 'active' else 'planned' end
from (
  select n, (date_trunc('month', app_today()) - interval '5 months' + n * interval '1 year')::date as first
  from generate_series(0, 1) n) y;

insert into sch_teacher (id, user_id, code, first_name, last_name, email, phone, location_id, joined_on)
select
  sch_demo_id('teacher' || i),
  case i when 1 then sch_demo_user('teacher') end,
  'T' || lpad(i::text, 2, '0'),
  case i when 1 then coalesce(u.first_name, split_part(name, ' ', 1)) else split_part(name, ' ', 1) end,
  case i when 1 then coalesce(u.last_name, split_part(name, ' ', 2)) else split_part(name, ' ', 2) end,
  't' || lpad(i::text, 2, '0') || '@school.example',
  '+9198450000' || lpad(i::text, 2, '0'),
  sch_demo_id('campus'),
  app_today() - 400 - 150 * i::int
from unnest(array['Asha Pillai', 'Ravi Kulkarni', 'Maria Fernandes', 'Sunil Joshi', 'Kavita Rao', 'Thomas Kurian', 'Neelam Sethi',
  'Farid Ansari', 'Geeta Bhat', 'Prakash Nair']::text[]) with ordinality t (name, i)
left join sys_user u on u.id = sch_demo_user('teacher');

-- classes 7 A, 7 B, 8 A, 8 B of this year, and 8 and 9 of the next
insert into sch_class (id, year_id, location_id, grade, section, capacity, class_teacher_id)
select
  sch_demo_id('class' || n || grade || section),
  sch_demo_id('year' || n),
  sch_demo_id('campus'),
  grade::text,
  section,
  35,
  case n when 0 then sch_demo_id('teacher' || case grade when 7 then 1 else 6 end + case section when 'A' then 0 else 1 end) end
from generate_series(0, 1) n
cross join lateral generate_series(7 + n, 8 + n) grade
cross join unnest(array['A', 'B']) section;

insert into sch_course (id, code, title, grade, credits)
select sch_demo_id('course' || code || grade), code || grade, title || ' ' || grade, grade::text, credits
from generate_series(7, 8) grade
cross join (values ('MAT', 'Mathematics', 5), ('ENG', 'English', 4), ('SCI', 'Science', 5), ('SST', 'Social studies', 3), ('HIN', 'Hindi', 3))
  c (code, title, credits);

insert into sch_offering (id, course_id, class_id, teacher_id)
select
  sch_demo_id('offering' || code || grade || section),
  sch_demo_id('course' || code || grade),
  sch_demo_id('class0' || grade || section),
  sch_demo_id('teacher' || (grade - 7) * 5 + i::int)
from generate_series(7, 8) grade
cross join unnest(array['A', 'B']) section
cross join unnest(array['MAT', 'ENG', 'SCI', 'SST', 'HIN']) with ordinality c (code, i);

-- 120 students in four classes, and one who left after two months; the first ten of grade 8 are elder siblings of the first of grade 7
create function sch_demo_family(i int) returns int
language sql immutable as $$
  select case when i between 61 and 70 then i - 60 else i end
$$;

create function sch_demo_last_name(family int) returns text
language sql immutable as $$
  select (array['Sharma', 'Reddy', 'Patel', 'Iyer', 'Khan', 'Das', 'Thomas', 'Gupta', 'Naidu', 'Kaur', 'Menon', 'Jain', 'Shetty', 'Bose',
    'Verma', 'Pinto', 'Yadav'])[1 + family * 5 % 17]
$$;

insert into sch_student (id, user_id, admission_no, first_name, last_name, date_of_birth, gender, phone, address, admitted_on, left_on,
  leave_reason, state)
select
  sch_demo_id('student' || i),
  case i when 1 then sch_demo_user('student') end,
  'G' || lpad((1000 + i)::text, 5, '0'),
  case
    when i = 1 then coalesce((select first_name from sys_user where id = sch_demo_user('student')), 'Aarav')
    when i % 2 = 1 then (array['Aarav', 'Vihaan', 'Arjun', 'Kabir', 'Rohan', 'Ishaan', 'Dev', 'Imran', 'Joel', 'Nikhil', 'Samar', 'Tejas',
      'Yusuf', 'Manav', 'Pranav', 'Siddharth', 'Harsh', 'Gurpreet', 'Aditya'])[1 + i * 7 % 19]
    else (array['Ananya', 'Diya', 'Meera', 'Sara', 'Kavya', 'Isha', 'Tara', 'Zoya', 'Nisha', 'Priya', 'Riya', 'Lakshmi', 'Maya', 'Jasmin',
      'Anjali', 'Divya', 'Sneha', 'Fatima', 'Leela'])[1 + i * 7 % 19]
  end,
  sch_demo_last_name(sch_demo_family(i)),
  (lower(y.span) - interval '12 years' - case when i between 61 and 121 then interval '1 year' else interval '0' end)::date - i * 37 % 360,
  case i % 2 when 1 then 'male' else 'female' end,
  null,
  jsonb_build_object('street', 1 + i * 13 % 90 || ' ' || (array['Park Street', 'Temple Road', 'Hill View', 'Station Road'])[1 + i % 4],
    'city', 'Bengaluru'),
  lower(y.span) - case when i % 6 = 0 then 20 else 380 end,
  case i when 121 then lower(y.span) + 60 end,
  case i when 121 then 'The family moved to Pune' end,
  case i when 121 then 'left' else 'active' end
from generate_series(1, 121) i
join sch_year y on y.state = 'active';

insert into sch_enrollment (id, student_id, class_id, roll_no, span, outcome)
select
  sch_demo_id('enrollment' || i),
  sch_demo_id('student' || i),
  sch_demo_id('class0' || (array['7A', '7B', '8A', '8B', '8B'])[1 + (i - 1) / 30]),
  case i when 121 then 31 else 1 + (i - 1) % 30 end,
  case i when 121 then daterange(lower(y.span), lower(y.span) + 60) else y.span end,
  case i when 121 then 'withdrawn' end
from generate_series(1, 121) i
join sch_year y on y.state = 'active';

insert into sch_guardian (id, user_id, name, phone, email, occupation)
select
  sch_demo_id('mother' || i),
  case i when 1 then sch_demo_user('parent') end,
  case
    when i = 1 then coalesce(sys_user_name(sch_demo_user('parent')), 'Sunita Naidu')
    else (array['Sunita', 'Rekha', 'Latha', 'Shabana', 'Mary', 'Pooja', 'Swati', 'Deepa', 'Usha'])[1 + i % 9] || ' ' || sch_demo_last_name(i)
  end,
  '+91990000' || lpad((1000 + i)::text, 4, '0'),
  'family' || i || '@mail.example',
  (array['Engineer', 'Doctor', 'Shop owner', 'Nurse', 'Lawyer', 'Farmer', 'Teacher'])[1 + i % 7]
from generate_series(1, 121) i
where sch_demo_family(i) = i
union all
select
  sch_demo_id('father' || i),
  null,
  (array['Ramesh', 'Suresh', 'Anil', 'Abdul', 'George', 'Manoj', 'Vinod'])[1 + i % 7] || ' ' || sch_demo_last_name(i),
  '+91991000' || lpad((1000 + i)::text, 4, '0'),
  null,
  (array['Driver', 'Accountant', 'Engineer', 'Trader', 'Civil servant'])[1 + i % 5]
from generate_series(1, 121) i
where sch_demo_family(i) = i and i % 3 <> 0;

-- one father may not see his child's data
insert into sch_student_guardian (id, student_id, guardian_id, relation, is_primary, may_see_data, may_collect_child)
select
  sch_demo_id(parent || i),
  sch_demo_id('student' || i),
  sch_demo_id(parent || sch_demo_family(i)),
  parent,
  parent = 'mother',
  not (parent = 'father' and i = 2),
  not (parent = 'father' and i = 2)
from generate_series(1, 121) i
cross join unnest(array['mother', 'father']) parent
where parent = 'mother' or sch_demo_family(i) % 3 <> 0;

alter table sch_enrollment enable trigger user;
alter table sch_student enable trigger user;
alter table sch_guardian enable trigger user;
alter table sch_student_guardian enable trigger user;
alter table sch_teacher enable trigger user;

drop function sch_demo_id(text);
drop function sch_demo_user(text);
drop function sch_demo_family(int);
drop function sch_demo_last_name(int);
