-- Fee plans, dues of students, receipts, allocations and waivers.

create table sch_fee_head (
  id uuid primary key default uuid_v7(),
  code text not null,
  name text not null,
  refundable boolean not null default false,
  income_role text not null default 'fee_income',
  constraint sch_fee_head_code check (length(btrim(code)) between 1 and 20),
  constraint sch_fee_head_code_key unique (code),
  constraint sch_fee_head_name check (length(btrim(name)) between 1 and 100),
  constraint sch_fee_head_income_role check (income_role ~ '^[a-z][a-z0-9_]{0,39}$')
);
comment on table sch_fee_head is 'what fees are for; the income role says where the ledger puts them';
comment on constraint sch_fee_head_code on sch_fee_head is 'must have 1 to 20 characters';
comment on constraint sch_fee_head_code_key on sch_fee_head is 'is already used by another fee head';
comment on constraint sch_fee_head_name on sch_fee_head is 'must have 1 to 100 characters';
comment on constraint sch_fee_head_income_role on sch_fee_head is 'must begin with a small letter and hold only small letters, digits and _';
select sys_std('sch_fee_head');

create table sch_fee_plan (
  id uuid primary key default uuid_v7(),
  year_id uuid not null,
  grade text not null,
  name text not null,
  currency char(3) not null default 'INR',
  state text not null default 'draft',
  constraint sch_fee_plan_key unique (year_id, grade, name),
  constraint sch_fee_plan_grade check (length(btrim(grade)) between 1 and 20),
  constraint sch_fee_plan_name check (length(btrim(name)) between 1 and 100),
  constraint sch_fee_plan_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint sch_fee_plan_state check (state in ('draft', 'active', 'closed')),
  constraint sch_fee_plan_year_fk foreign key (year_id) references sch_year
);
comment on table sch_fee_plan is 'what the students of a grade pay in a year';
comment on constraint sch_fee_plan_key on sch_fee_plan is 'exists already for this grade and year';
comment on constraint sch_fee_plan_grade on sch_fee_plan is 'must have 1 to 20 characters';
comment on constraint sch_fee_plan_name on sch_fee_plan is 'must have 1 to 100 characters';
comment on constraint sch_fee_plan_currency on sch_fee_plan is 'must be a currency code of three letters with at most two decimals';
comment on constraint sch_fee_plan_state on sch_fee_plan is 'must be draft, active or closed';
comment on constraint sch_fee_plan_year_fk on sch_fee_plan is 'does not name an existing year | still has fee plans';
select sys_std('sch_fee_plan');
create trigger a_action_only before update of state on sch_fee_plan
  for each row execute function sys_action_only('state');
create trigger b_frozen after update or delete on sch_fee_plan
  for each row execute function sys_freeze('active,closed', 'state,name');

create table sch_fee_plan_line (
  id uuid primary key default uuid_v7(),
  plan_id uuid not null,
  head_id uuid not null,
  installment int not null,
  amount numeric(18,2) not null,
  due_on date not null,
  constraint sch_fee_plan_line_key unique (plan_id, head_id, installment),
  constraint sch_fee_plan_line_installment check (installment > 0),
  constraint sch_fee_plan_line_amount check (amount > 0),
  constraint sch_fee_plan_line_plan_fk foreign key (plan_id) references sch_fee_plan on delete cascade,
  constraint sch_fee_plan_line_head_fk foreign key (head_id) references sch_fee_head
);
comment on table sch_fee_plan_line is 'installments of a fee plan';
comment on constraint sch_fee_plan_line_key on sch_fee_plan_line is 'exists already in this plan';
comment on constraint sch_fee_plan_line_installment on sch_fee_plan_line is 'must be above 0';
comment on constraint sch_fee_plan_line_amount on sch_fee_plan_line is 'must be above 0';
comment on constraint sch_fee_plan_line_plan_fk on sch_fee_plan_line is 'does not name an existing plan';
comment on constraint sch_fee_plan_line_head_fk on sch_fee_plan_line is 'does not name an existing fee head | is still used by fee plans';
select sys_std('sch_fee_plan_line');
create index sch_fee_plan_line_head on sch_fee_plan_line (head_id);
create trigger b_freeze after insert or update or delete on sch_fee_plan_line
  for each row execute function sys_freeze_child('sch_fee_plan', 'plan_id', 'draft', '');

create table sch_fee_due (
  id uuid primary key default uuid_v7(),
  student_id uuid not null,
  location_id uuid,
  head_id uuid not null,
  plan_line_id uuid,
  source text not null default 'adhoc',
  for_due_id uuid,
  currency char(3) not null default 'INR',
  amount numeric(18,2) not null,
  due_on date not null default app_today(),
  waived numeric(18,2) not null default 0,
  paid numeric(18,2) not null default 0,
  note text,
  outstanding numeric(18,2) not null generated always as (amount - waived - paid) stored,
  constraint sch_fee_due_plan_line_key unique (student_id, plan_line_id),
  constraint sch_fee_due_source check (source in ('plan', 'adhoc', 'late_fee')),
  constraint sch_fee_due_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint sch_fee_due_amount check (amount > 0),
  constraint sch_fee_due_not_over_collected check (waived >= 0 and paid >= 0 and waived + paid <= amount),
  constraint sch_fee_due_planned check ((source = 'plan') = (plan_line_id is not null)),
  constraint sch_fee_due_late check ((source = 'late_fee') = (for_due_id is not null)),
  constraint sch_fee_due_note check (length(note) <= 500),
  constraint sch_fee_due_placed check (location_id is not null),
  constraint sch_fee_due_student_fk foreign key (student_id) references sch_student,
  constraint sch_fee_due_location_fk foreign key (location_id) references sys_location,
  constraint sch_fee_due_head_fk foreign key (head_id) references sch_fee_head,
  constraint sch_fee_due_plan_line_fk foreign key (plan_line_id) references sch_fee_plan_line,
  constraint sch_fee_due_for_fk foreign key (for_due_id) references sch_fee_due
);
comment on table sch_fee_due is 'what a student owes: from a plan, for a single occasion, or for being late';
comment on column sch_fee_due.location_id is 'the place of the student''s class';
comment on constraint sch_fee_due_plan_line_key on sch_fee_due is 'the student has this installment already';
comment on constraint sch_fee_due_currency on sch_fee_due is 'must be a currency code of three letters with at most two decimals';
comment on constraint sch_fee_due_amount on sch_fee_due is 'must be above 0';
comment on constraint sch_fee_due_not_over_collected on sch_fee_due is 'must not be less than what was paid and waived';
comment on constraint sch_fee_due_note on sch_fee_due is 'must have at most 500 characters';
comment on constraint sch_fee_due_student_fk on sch_fee_due is 'does not name an existing student';
comment on constraint sch_fee_due_location_fk on sch_fee_due is 'does not name an existing location | is still used by fees';
comment on constraint sch_fee_due_head_fk on sch_fee_due is 'does not name an existing fee head | is still used by fees';
comment on constraint sch_fee_due_plan_line_fk on sch_fee_due is 'does not name an existing installment | is owed by students';
comment on constraint sch_fee_due_for_fk on sch_fee_due is 'does not name an existing fee | has a late fee';
select sys_std('sch_fee_due');
create unique index sch_fee_due_one_late on sch_fee_due (for_due_id) where for_due_id is not null;
comment on index sch_fee_due_one_late is 'has a late fee already';
create index sch_fee_due_open on sch_fee_due (student_id) where amount > waived + paid;
create index sch_fee_due_plan_line on sch_fee_due (plan_line_id) where plan_line_id is not null;
create index sch_fee_due_location on sch_fee_due (location_id) where location_id is not null;
create index sch_fee_due_head on sch_fee_due (head_id);

create table sch_fee_receipt (
  id uuid primary key default uuid_v7(),
  number text not null,
  student_id uuid not null,
  location_id uuid not null,
  paid_by uuid,
  received_on date not null,
  method text not null,
  reference text,
  currency char(3) not null default 'INR',
  amount numeric(18,2) not null,
  state text not null default 'posted',
  cancel_reason text,
  constraint sch_fee_receipt_number_key unique (number),
  constraint sch_fee_receipt_method check (method in ('cash', 'upi', 'card', 'bank', 'cheque', 'gateway')),
  constraint sch_fee_receipt_reference check (length(btrim(reference)) between 1 and 100),
  constraint sch_fee_receipt_referenced check (method = 'cash' or reference is not null),
  constraint sch_fee_receipt_amount check (amount > 0),
  constraint sch_fee_receipt_state check (state in ('posted', 'cancelled')),
  constraint sch_fee_receipt_cancelled check ((state = 'cancelled') = (cancel_reason is not null)),
  constraint sch_fee_receipt_cancel_reason check (length(btrim(cancel_reason)) between 1 and 500),
  constraint sch_fee_receipt_student_fk foreign key (student_id) references sch_student,
  constraint sch_fee_receipt_location_fk foreign key (location_id) references sys_location,
  constraint sch_fee_receipt_paid_by_fk foreign key (paid_by) references sch_guardian
);
comment on table sch_fee_receipt is 'receipts: numbered without gaps, never changed, only cancelled';
comment on constraint sch_fee_receipt_method on sch_fee_receipt is 'must be cash, upi, card, bank, cheque or gateway';
comment on constraint sch_fee_receipt_reference on sch_fee_receipt is 'must have 1 to 100 characters';
comment on constraint sch_fee_receipt_referenced on sch_fee_receipt is 'is needed unless it was paid in cash';
comment on constraint sch_fee_receipt_amount on sch_fee_receipt is 'must be above 0';
comment on constraint sch_fee_receipt_cancel_reason on sch_fee_receipt is 'must have 1 to 500 characters';
comment on constraint sch_fee_receipt_student_fk on sch_fee_receipt is 'does not name an existing student';
comment on constraint sch_fee_receipt_location_fk on sch_fee_receipt is 'does not name an existing location | is still used by receipts';
comment on constraint sch_fee_receipt_paid_by_fk on sch_fee_receipt is 'does not name an existing guardian | has paid fees';
select sys_std('sch_fee_receipt');
create unique index sch_fee_receipt_reference_once on sch_fee_receipt (method, reference, student_id)
  where method <> 'cash' and state = 'posted';
comment on index sch_fee_receipt_reference_once is 'this payment has a receipt of the student already';
create index sch_fee_receipt_student on sch_fee_receipt (student_id);
create index sch_fee_receipt_location on sch_fee_receipt (location_id, received_on);
create index sch_fee_receipt_paid_by on sch_fee_receipt (paid_by) where paid_by is not null;
create trigger b_freeze after update or delete on sch_fee_receipt
  for each row execute function sys_freeze('posted,cancelled', 'state,cancel_reason');

create table sch_fee_alloc (
  id uuid primary key default uuid_v7(),
  receipt_id uuid not null,
  due_id uuid not null,
  amount numeric(18,2) not null,
  reverses uuid,
  constraint sch_fee_alloc_amount check (amount <> 0),
  constraint sch_fee_alloc_once unique (reverses),
  constraint sch_fee_alloc_reverses check ((amount < 0) = (reverses is not null)),
  constraint sch_fee_alloc_receipt_fk foreign key (receipt_id) references sch_fee_receipt,
  constraint sch_fee_alloc_due_fk foreign key (due_id) references sch_fee_due,
  constraint sch_fee_alloc_reverses_fk foreign key (reverses) references sch_fee_alloc
);
comment on table sch_fee_alloc is 'which receipt paid which due, append-only; a cancellation is the same below zero';
comment on constraint sch_fee_alloc_due_fk on sch_fee_alloc is 'does not name an existing fee | has been paid';
select sys_append_only('sch_fee_alloc');
create index sch_fee_alloc_receipt on sch_fee_alloc (receipt_id);
create index sch_fee_alloc_due on sch_fee_alloc (due_id);

create table sch_fee_waiver (
  id uuid primary key default uuid_v7(),
  due_id uuid not null,
  amount numeric(18,2) not null,
  kind text not null,
  reason text not null,
  constraint sch_fee_waiver_amount check (amount > 0),
  constraint sch_fee_waiver_kind check (kind in ('scholarship', 'sibling', 'hardship', 'staff', 'correction')),
  constraint sch_fee_waiver_reason check (length(btrim(reason)) between 1 and 500),
  constraint sch_fee_waiver_due_fk foreign key (due_id) references sch_fee_due
);
comment on table sch_fee_waiver is 'what a student need not pay, append-only';
comment on constraint sch_fee_waiver_amount on sch_fee_waiver is 'must be above 0';
comment on constraint sch_fee_waiver_kind on sch_fee_waiver is 'must be scholarship, sibling, hardship, staff or correction';
comment on constraint sch_fee_waiver_reason on sch_fee_waiver is 'must have 1 to 500 characters';
comment on constraint sch_fee_waiver_due_fk on sch_fee_waiver is 'does not name an existing fee | has been waived';
select sys_append_only('sch_fee_waiver');
create index sch_fee_waiver_due on sch_fee_waiver (due_id);

insert into sys_number_series (code, pattern) values ('fee_receipt', 'FR/{FY}/{SEQ}');
