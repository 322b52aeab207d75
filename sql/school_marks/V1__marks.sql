-- Grade scales, exams, one assessment for each exam and offering, marks and their revisions.

create table sch_scale (
  id uuid primary key default uuid_v7(),
  name text not null,
  constraint sch_scale_name check (length(btrim(name)) between 1 and 100),
  constraint sch_scale_name_key unique (name)
);
comment on table sch_scale is 'grade scales';
comment on constraint sch_scale_name on sch_scale is 'must have 1 to 100 characters';
comment on constraint sch_scale_name_key on sch_scale is 'is already used by another scale';
select sys_std('sch_scale');

create table sch_band (
  id uuid primary key default uuid_v7(),
  scale_id uuid not null,
  grade text not null,
  range numrange not null,
  points numeric(4,2),
  pass boolean not null default true,
  constraint sch_band_key unique (scale_id, grade),
  constraint sch_band_grade check (length(btrim(grade)) between 1 and 20),
  constraint sch_band_range check (not isempty(range)),
  constraint sch_band_apart exclude using gist (scale_id with =, range with &&),
  constraint sch_band_points check (points >= 0),
  constraint sch_band_scale_fk foreign key (scale_id) references sch_scale on delete cascade
);
comment on table sch_band is 'grades of a scale, each for a range of per cent';
comment on column sch_band.range is 'per cent, such as [90,100]';
comment on constraint sch_band_key on sch_band is 'exists already in this scale';
comment on constraint sch_band_grade on sch_band is 'must have 1 to 20 characters';
comment on constraint sch_band_range on sch_band is 'must not be empty';
comment on constraint sch_band_apart on sch_band is 'overlaps another grade of the scale';
comment on constraint sch_band_points on sch_band is 'must be at least 0';
comment on constraint sch_band_scale_fk on sch_band is 'does not name an existing scale';
select sys_std('sch_band');

create table sch_exam (
  id uuid primary key default uuid_v7(),
  year_id uuid not null,
  name text not null,
  scale_id uuid not null,
  weight numeric(5,2) not null default 100,
  state text not null default 'draft',
  constraint sch_exam_key unique (year_id, name),
  constraint sch_exam_name check (length(btrim(name)) between 1 and 100),
  constraint sch_exam_weight check (weight > 0 and weight <= 100),
  constraint sch_exam_state check (state in ('draft', 'entry')),
  constraint sch_exam_year_fk foreign key (year_id) references sch_year,
  constraint sch_exam_scale_fk foreign key (scale_id) references sch_scale
);
comment on table sch_exam is 'exams of a year; the weight is for the result of the year';
comment on constraint sch_exam_key on sch_exam is 'exists already in this year';
comment on constraint sch_exam_name on sch_exam is 'must have 1 to 100 characters';
comment on constraint sch_exam_weight on sch_exam is 'must be above 0 and at most 100';
comment on constraint sch_exam_state on sch_exam is 'must be draft or entry';
comment on constraint sch_exam_year_fk on sch_exam is 'does not name an existing year | still has exams';
comment on constraint sch_exam_scale_fk on sch_exam is 'does not name an existing scale | is still used by exams';
select sys_std('sch_exam');
create index sch_exam_scale on sch_exam (scale_id);
create trigger a_action_only before update of state on sch_exam
  for each row execute function sys_action_only('state');
create trigger b_frozen after update or delete on sch_exam
  for each row execute function sys_freeze('entry', 'name');

create table sch_assessment (
  id uuid primary key default uuid_v7(),
  exam_id uuid not null,
  offering_id uuid not null,
  held_on date not null,
  max_score numeric(6,2) not null,
  pass_score numeric(6,2) not null,
  state text not null default 'entry',
  published_at timestamptz,
  published_by uuid,
  constraint sch_assessment_key unique (exam_id, offering_id),
  constraint sch_assessment_max_score check (max_score > 0),
  constraint sch_assessment_pass_score check (pass_score between 0 and max_score),
  constraint sch_assessment_state check (state in ('entry', 'submitted', 'published')),
  constraint sch_assessment_published check ((state = 'published') = (published_at is not null)),
  constraint sch_assessment_exam_fk foreign key (exam_id) references sch_exam,
  constraint sch_assessment_offering_fk foreign key (offering_id) references sch_offering
);
comment on table sch_assessment is 'the exam of one course of one class: marks are entered, submitted, published';
comment on constraint sch_assessment_key on sch_assessment is 'exists already in this exam';
comment on constraint sch_assessment_max_score on sch_assessment is 'must be above 0';
comment on constraint sch_assessment_pass_score on sch_assessment is 'must be from 0 to the highest score';
comment on constraint sch_assessment_state on sch_assessment is 'must be entry, submitted or published';
comment on constraint sch_assessment_published on sch_assessment is 'is set exactly when the marks are published';
comment on constraint sch_assessment_exam_fk on sch_assessment is 'does not name an existing exam | still has assessments';
comment on constraint sch_assessment_offering_fk on sch_assessment is 'does not name an existing offering | still has assessments';
select sys_std('sch_assessment');
create index sch_assessment_offering on sch_assessment (offering_id);

create table sch_mark (
  id uuid primary key default uuid_v7(),
  assessment_id uuid not null,
  student_id uuid not null,
  score numeric(6,2),
  absent boolean not null default false,
  exempt boolean not null default false,
  remark text,
  revised boolean not null default false,
  constraint sch_mark_key unique (assessment_id, student_id),
  constraint sch_mark_one_of check (num_nonnulls(score) + absent::int + exempt::int = 1),
  constraint sch_mark_score check (score >= 0),
  constraint sch_mark_remark check (length(remark) <= 500),
  constraint sch_mark_assessment_fk foreign key (assessment_id) references sch_assessment,
  constraint sch_mark_student_fk foreign key (student_id) references sch_student
);
comment on table sch_mark is 'the mark of a student in an assessment: a score, absent or exempt';
comment on constraint sch_mark_key on sch_mark is 'the student already has a mark in this assessment';
comment on constraint sch_mark_one_of on sch_mark is 'exactly one of score, absent and exempt is needed';
comment on constraint sch_mark_score on sch_mark is 'must be at least 0';
comment on constraint sch_mark_remark on sch_mark is 'must have at most 500 characters';
comment on constraint sch_mark_assessment_fk on sch_mark is 'does not name an existing assessment | still has marks';
comment on constraint sch_mark_student_fk on sch_mark is 'does not name an existing student';
select sys_std('sch_mark');
create index sch_mark_student on sch_mark (student_id);

create table sch_mark_revision (
  id uuid primary key default uuid_v7(),
  mark_id uuid not null,
  old_score numeric(6,2),
  new_score numeric(6,2),
  reason text not null,
  constraint sch_mark_revision_reason check (length(btrim(reason)) between 5 and 500),
  constraint sch_mark_revision_mark_fk foreign key (mark_id) references sch_mark
);
comment on table sch_mark_revision is 'changes of marks after they were submitted, append-only; no old score means absent or exempt';
comment on constraint sch_mark_revision_reason on sch_mark_revision is 'must have 5 to 500 characters';
comment on constraint sch_mark_revision_mark_fk on sch_mark_revision is 'does not name an existing mark | has been revised';
select sys_append_only('sch_mark_revision');
create index sch_mark_revision_mark on sch_mark_revision (mark_id);

-- ---------- scope ----------

create function sch_staff_assessments() returns uuid[]
language sql stable security definer set search_path from current as $$
  select array(
    select a.id
    from sch_assessment a
    join sch_offering o on o.id = a.offering_id
    where o.id = any (sch_taught_offerings()) or o.class_id = any (sch_led_classes()))
$$;
comment on function sch_staff_assessments() is 'assessments of offerings that the caller teaches and of classes that the caller leads';
revoke all on function sch_staff_assessments() from public;

create function sch_own_offerings() returns uuid[]
language sql stable security definer set search_path from current as $$
  select array(
    select o.id
    from sch_offering o
    where o.class_id in (select e.class_id from sch_enrollment e where e.student_id = any (sch_own_students())))
$$;
comment on function sch_own_offerings() is 'offerings of the classes of the caller, or of the caller''s children';
revoke all on function sch_own_offerings() from public;

create function sch_sees_mark(p_assessment uuid) returns boolean
language sql stable as $$
  select app_has('marks.view_all') or coalesce(p_assessment = any (sch_staff_assessments()), false)
$$;
comment on function sch_sees_mark(uuid) is 'does the caller see all marks of this assessment, published or not';
revoke all on function sch_sees_mark(uuid) from public;

-- ---------- rules ----------

-- grades that were told must not become others
create function sch_band_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  perform from sch_scale s where s.id in (old.scale_id, new.scale_id) order by s.id for update;
  if exists (select from sch_exam where scale_id in (old.scale_id, new.scale_id) and state <> 'draft') then
    perform app_fail('AP409', 'scale_in_use', 'A scale keeps its grades when an exam with it has begun.');
  end if;
  return coalesce(new, old);
end $$;
comment on function sch_band_guard() is 'a scale in use keeps its grades';
revoke all on function sch_band_guard() from public;
create trigger a_guard before insert or update or delete on sch_band for each row execute function sch_band_guard();

create function sch_assessment_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if not exists (
    select from sch_exam x join sch_year y on y.id = x.year_id where x.id = new.exam_id and y.span @> new.held_on) then
    perform app_fail('AP422', 'outside_year', 'must lie inside the year of the exam', 'held_on');
  end if;
  if not exists (
    select
    from sch_exam x
    join sch_class c on c.year_id = x.year_id
    join sch_offering o on o.class_id = c.id
    where x.id = new.exam_id and o.id = new.offering_id) then
    perform app_fail('AP422', 'wrong_year', 'does not name an offering of the year of the exam', 'offering_id');
  end if;
  if tg_op = 'UPDATE' then
    if (new.offering_id, new.held_on, new.exam_id) is distinct from (old.offering_id, old.held_on, old.exam_id)
      and exists (select from sch_mark where assessment_id = old.id) then
      perform app_fail('AP409', 'has_marks', 'An assessment that has marks keeps exam, offering and day.');
    end if;
    if exists (select from sch_mark where assessment_id = old.id and score > new.max_score) then
      perform app_fail('AP409', 'max_score', 'There are higher scores than that.', 'max_score');
    end if;
  end if;
  return new;
end $$;
comment on function sch_assessment_guard() is 'an assessment fits the year of its exam and the marks that it has';
revoke all on function sch_assessment_guard() from public;
create trigger a_guard before insert or update of exam_id, offering_id, held_on, max_score on sch_assessment
  for each row execute function sch_assessment_guard();
create trigger b_action_only before update of state, published_at, published_by on sch_assessment
  for each row execute function sys_action_only('state,published_at,published_by');
create trigger c_frozen after update or delete on sch_assessment
  for each row execute function sys_freeze('submitted,published', 'state,published_at,published_by');

-- the assessment stays locked against submitting; the action `revise` is known by its name
create function sch_mark_guard() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  a sch_assessment;
begin
  if tg_op = 'UPDATE' and (new.assessment_id, new.student_id) is distinct from (old.assessment_id, old.student_id) then
    perform app_fail('AP409', 'fixed', 'A mark keeps its assessment and student.');
  end if;
  select * into a from sch_assessment where id = coalesce(new.assessment_id, old.assessment_id) for share;
  if a.id is null then
    return coalesce(new, old);
  end if;
  if a.state <> 'entry' and coalesce(current_setting('app.action', true), '') <> 'revise' then
    perform app_fail('AP409', 'not_open', format('The marks are %s.', a.state));
  end if;
  if not exists (select from sch_exam where id = a.exam_id and state = 'entry') then
    perform app_fail('AP409', 'exam_not_started', 'The exam has not been started.');
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  if new.score > a.max_score then
    perform app_fail('AP422', 'max_score', format('must be at most %s', a.max_score), 'score');
  end if;
  if tg_op = 'INSERT' and not exists (
    select
    from sch_offering o
    join sch_enrollment e on e.class_id = o.class_id
    where o.id = a.offering_id and e.student_id = new.student_id and e.span @> a.held_on) then
    perform app_fail('AP422', 'not_enrolled', format('was not in this class on %s', a.held_on), 'student_id');
  end if;
  return new;
end $$;
comment on function sch_mark_guard() is 'marks are entered while the assessment is open, of students of the class, up to the highest score';
revoke all on function sch_mark_guard() from public;
create trigger a_guard before insert or update or delete on sch_mark for each row execute function sch_mark_guard();
