-- A school with a class of 40, in a year of which so many days have passed.
set session_replication_role = replica;
insert into sys_location (code, name, kind) values ('BENCH', 'School', 'campus');
insert into sch_year (name, span, state) values ('Bench', daterange(current_date - {days}, current_date + 30), 'active');
insert into sch_class (year_id, location_id, grade, section, capacity) select y.id, l.id, '7', 'A', 40 from sch_year y, sys_location l;
insert into sch_student (admission_no, first_name, date_of_birth) select 'B' || n, 'Asha', '2014-02-03' from generate_series(1, 40) n;
insert into sch_enrollment (student_id, class_id, roll_no, span)
select s.id, c.id, row_number() over (order by s.id), y.span from sch_student s, sch_class c, sch_year y;
set session_replication_role = origin;
analyze;
