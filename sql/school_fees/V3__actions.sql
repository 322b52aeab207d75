-- Plans become dues, dues are paid, waived, or grow by being late. The event is the last statement of an action.

create function sch_fee_plan_locked(p_id uuid, p_state text) returns sch_fee_plan
language plpgsql as $$
declare
  p sch_fee_plan;
begin
  perform app_require('fees.edit');
  select * into p from sch_fee_plan where id = p_id for update;
  if p.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if p.state <> p_state then
    perform app_fail('AP409', 'wrong_state', format('The plan is %s, not %s.', p.state, p_state));
  end if;
  return p;
end $$;
comment on function sch_fee_plan_locked(uuid, text) is 'internal: a plan in a state, locked, for who may edit fees';
revoke all on function sch_fee_plan_locked(uuid, text) from public;

create function sch_fee_plan_activate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p sch_fee_plan;
begin
  p := sch_fee_plan_locked($1, 'draft');
  if not exists (select from sch_fee_plan_line where plan_id = p.id) then
    perform app_fail('AP409', 'empty', 'The plan has no installments.');
  end if;
  update sch_fee_plan set state = 'active' where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function sch_fee_plan_activate(uuid, jsonb) is 'puts a plan into force: its installments change no more';
revoke all on function sch_fee_plan_activate(uuid, jsonb) from public;

create function sch_fee_plan_close(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p sch_fee_plan;
begin
  p := sch_fee_plan_locked($1, 'active');
  update sch_fee_plan set state = 'closed' where id = p.id returning * into p;
  return to_jsonb(p);
end $$;
comment on function sch_fee_plan_close(uuid, jsonb) is 'ends a plan: no more dues come from it';
revoke all on function sch_fee_plan_close(uuid, jsonb) from public;

-- fee_plans.assign: repeatable, late joiners get theirs the next time; a student who leaves meanwhile gets none
create function sch_fee_plan_assign(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  p sch_fee_plan;
begin
  p := sch_fee_plan_locked($1, 'active');
  with students as (
    select s.id
    from sch_student s
    where s.state = 'active' and exists (
      select
      from sch_enrollment e
      join sch_class c on c.id = e.class_id
      where e.student_id = s.id and e.outcome is null and c.year_id = p.year_id and c.grade = p.grade
        and sch_on_campus(c.location_id))
    order by s.id
    for share of s)
  insert into sch_fee_due (student_id, head_id, plan_line_id, source, amount, due_on, currency)
  select s.id, l.head_id, l.id, 'plan', l.amount, l.due_on, p.currency
  from students s
  cross join sch_fee_plan_line l
  where l.plan_id = p.id
  on conflict on constraint sch_fee_due_plan_line_key do nothing;
  return to_jsonb(p);
end $$;
comment on function sch_fee_plan_assign(uuid, jsonb) is 'gives every student of the grade the installments of a plan, once';
revoke all on function sch_fee_plan_assign(uuid, jsonb) from public;

create function sch_money(p_amount numeric, p_field text) returns numeric
language plpgsql immutable as $$
begin
  if p_amount is null or p_amount <= 0 or p_amount >= 1e16 or p_amount <> round(p_amount, 2) then
    perform app_fail('AP422', 'amount', 'must be above 0 and have at most two decimals', p_field);
  end if;
  return p_amount;
end $$;
comment on function sch_money(numeric, text) is 'internal: refuses what is no amount of money';
revoke all on function sch_money(numeric, text) from public;

-- the parts that the payer chose: [{due_id, amount}]
create function sch_fee_split(p_split jsonb, p_amount numeric) returns void
language plpgsql as $$
begin
  if jsonb_typeof(p_split) <> 'array' or jsonb_array_length(p_split) not between 1 and 200 or exists (
    select from jsonb_array_elements(p_split) x
    where jsonb_typeof(x) <> 'object'
      or coalesce(x ->> 'due_id', '') !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
      or coalesce(x ->> 'amount', '') !~ '^[0-9]{1,16}([.][0-9]{1,2})?$') then
    perform app_fail('AP422', 'split', 'must be a list of {due_id, amount}', 'split');
  end if;
  if (select count(*) > count(distinct lower(x ->> 'due_id')) from jsonb_array_elements(p_split) x) then
    perform app_fail('AP422', 'split', 'names a due twice', 'split');
  end if;
  if (select sum((x ->> 'amount')::numeric) from jsonb_array_elements(p_split) x) <> p_amount
    or exists (select from jsonb_array_elements(p_split) x where (x ->> 'amount')::numeric = 0) then
    perform app_fail('AP422', 'split', 'must add up to the amount', 'split');
  end if;
end $$;
comment on function sch_fee_split(jsonb, numeric) is 'internal: refuses parts that are none, or not of this amount';
revoke all on function sch_fee_split(jsonb, numeric) from public;

-- receipts.create. The dues of the student stay locked from the first statement, so of many at a time each sees what the others left;
-- only then comes the number, so a refusal takes none.
create function sch_fee_collect(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  student constant uuid := input ->> 'student_id';
  amount constant numeric := sch_money((input ->> 'amount')::numeric, 'amount');
  on_date constant date := coalesce((input ->> 'received_on')::date, app_today());
  payer constant uuid := input ->> 'paid_by';
  split constant jsonb := nullif(input -> 'split', 'null');
  loc uuid := input ->> 'location_id';
  cur text;
  remaining numeric := amount;
  part numeric;
  d record;
  r sch_fee_receipt;
begin
  perform app_require('fees.collect');
  if not sch_sees(student) or not exists (select from sch_student s where s.id = student) then
    perform app_fail('AP422', 'not_found', 'does not name an existing student', 'student_id');
  end if;
  if on_date > app_today() then
    perform app_fail('AP422', 'future', 'must not be in the future', 'received_on');
  end if;
  if payer is not null and not exists (
    select from sch_student_guardian g where g.student_id = student and g.guardian_id = payer) then
    perform app_fail('AP422', 'not_found', 'does not name a guardian of the student', 'paid_by');
  end if;
  if split is not null then
    perform sch_fee_split(split, amount);
  end if;
  perform from sch_fee_due f where f.student_id = student and f.outstanding > 0 order by f.due_on, f.id for update;
  if loc is null then
    select f.location_id into loc
    from sch_fee_due f
    where f.student_id = student and f.outstanding > 0 and sch_on_campus(f.location_id)
    order by f.due_on, f.id
    limit 1;
  end if;
  select l.currency into cur from sys_location l where l.id = loc;
  if loc is not null and (cur is null or not sch_on_campus(loc)) then
    perform app_fail('AP422', 'not_found', 'does not name a location of yours', 'location_id');
  end if;
  if amount > (
    select coalesce(sum(f.outstanding), 0)
    from sch_fee_due f
    where f.student_id = student and f.currency = cur and sch_on_campus(f.location_id)) then
    perform app_fail('AP422', 'over_collection', 'is more than what is due', 'amount');
  end if;
  if split is not null and exists (
    select
    from jsonb_array_elements(split) x
    left join sch_fee_due f
      on f.id = (x ->> 'due_id')::uuid and f.student_id = student and f.currency = cur and sch_on_campus(f.location_id)
    where f.id is null or f.outstanding < (x ->> 'amount')::numeric) then
    perform app_fail('AP422', 'over_collection', 'names more than what is due, or what is not due', 'split');
  end if;
  insert into sch_fee_receipt (id, number, student_id, location_id, paid_by, received_on, method, reference, amount, currency)
  values (
    $1, sys_next_number('fee_receipt', on_date, loc), student, loc, payer, on_date, input ->> 'method', input ->> 'reference', amount, cur)
  returning * into r;
  -- oldest due first, or what the payer chose
  for d in
    select f.id, case when split is null then f.outstanding else (x.part ->> 'amount')::numeric end as most
    from sch_fee_due f
    left join jsonb_array_elements(split) x (part) on (x.part ->> 'due_id')::uuid = f.id
    where f.student_id = student and f.currency = cur and f.outstanding > 0 and sch_on_campus(f.location_id)
      and (split is null or x.part is not null)
    order by f.due_on, f.id
  loop
    exit when remaining <= 0;
    part := least(remaining, d.most);
    insert into sch_fee_alloc (receipt_id, due_id, amount) values (r.id, d.id, part);
    remaining := remaining - part;
  end loop;
  perform sys_emit('school.fee.collected', 'sch_fee_receipt', r.id, on_date, loc, null, amount, cur,
    jsonb_build_array(jsonb_build_object('role', 'money:' || r.method, 'debit', r.amount)) || (
      select jsonb_agg(jsonb_build_object('role', q.income_role, 'credit', q.credit) order by q.income_role)
      from (
        select h.income_role, sum(a.amount) as credit
        from sch_fee_alloc a
        join sch_fee_due f on f.id = a.due_id
        join sch_fee_head h on h.id = f.head_id
        where a.receipt_id = r.id
        group by h.income_role) q));
  return to_jsonb(r);
end $$;
comment on function sch_fee_collect(uuid, jsonb) is 'receives money for the dues of a student';
revoke all on function sch_fee_collect(uuid, jsonb) from public;

-- receipts.cancel
create function sch_fee_cancel(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r sch_fee_receipt;
  reason constant text := btrim(coalesce(input ->> 'reason', ''));
begin
  perform app_require('fees.edit');
  select * into r from sch_fee_receipt where id = $1;
  if r.id is null or not sch_sees(r.student_id) or not sch_on_campus(r.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  -- dues before receipt, as in collecting
  perform from sch_fee_due f where f.student_id = r.student_id order by f.due_on, f.id for update;
  select * into r from sch_fee_receipt where id = $1 for update;
  if r.state <> 'posted' then
    perform app_fail('AP409', 'already_cancelled', 'The receipt is already cancelled.');
  end if;
  if reason = '' then
    perform app_fail('AP422', 'reason', 'must say why it is cancelled', 'reason');
  end if;
  insert into sch_fee_alloc (receipt_id, due_id, amount, reverses)
  select receipt_id, due_id, -amount, id from sch_fee_alloc where receipt_id = r.id and reverses is null order by id;
  update sch_fee_receipt set state = 'cancelled', cancel_reason = reason where id = r.id returning * into r;
  perform sys_emit('school.fee.cancelled', 'sch_fee_receipt', r.id, app_today(), r.location_id, null, r.amount, r.currency, (
    select jsonb_agg(
      case
        when l ? 'debit' then (l - 'debit') || jsonb_build_object('credit', l -> 'debit')
        else (l - 'credit') || jsonb_build_object('debit', l -> 'credit')
      end)
    from sys_event e
    cross join jsonb_array_elements(e.lines) l
    where e.event = 'school.fee.collected' and e.source_type = 'sch_fee_receipt' and e.source_id = r.id));
  return to_jsonb(r);
end $$;
comment on function sch_fee_cancel(uuid, jsonb) is 'cancels a receipt: what it paid is due again';
revoke all on function sch_fee_cancel(uuid, jsonb) from public;

-- fees.waive. Who takes the money must not forgive it, unless the same person runs the school; nobody forgives the own child's.
create function sch_fee_waive(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  d sch_fee_due;
  waived_now constant numeric := sch_money((input ->> 'amount')::numeric, 'amount');
begin
  perform app_require('fees.waive');
  select * into d from sch_fee_due where id = $1 for update;
  if d.id is null or not sch_sees(d.student_id) or not sch_on_campus(d.location_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if d.student_id = any (sch_own_students()) then
    perform app_fail('AP403', 'own_child', 'Nobody waives the fees of the own child.');
  end if;
  if app_has('fees.collect') and not app_has('roles.manage') then
    perform app_fail('AP403', 'separation_of_duties', 'Who collects fees does not waive them.');
  end if;
  if waived_now > d.outstanding then
    perform app_fail('AP422', 'over_waived', 'is more than what is due', 'amount');
  end if;
  insert into sch_fee_waiver (due_id, amount, kind, reason) values (d.id, waived_now, input ->> 'kind', input ->> 'reason');
  update sch_fee_due set waived = waived + waived_now where id = d.id returning * into d;
  return to_jsonb(d);
end $$;
comment on function sch_fee_waive(uuid, jsonb) is 'lets a student off a part of a due, with a reason';
revoke all on function sch_fee_waive(uuid, jsonb) from public;

-- fee_heads.apply_late_fee: one late fee for a due, ever
create function sch_fee_late(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  grace constant int := input ->> 'grace_days';
  flat constant numeric := coalesce((input ->> 'flat')::numeric, 0);
  pct constant numeric := coalesce((input ->> 'percent')::numeric, 0);
  h sch_fee_head;
begin
  perform app_require('fees.edit');
  select * into h from sch_fee_head where id = $1 for update;
  if h.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if grace not between 0 and 366 then
    perform app_fail('AP422', 'grace_days', 'must be from 0 to 366', 'grace_days');
  end if;
  if flat < 0 or flat > 1e12 or pct not between 0 and 100 or flat + pct = 0 then
    perform app_fail('AP422', 'late_fee', 'a flat amount or a percentage up to 100 is needed', 'flat');
  end if;
  insert into sch_fee_due (student_id, head_id, source, for_due_id, amount, currency, note)
  select d.student_id, h.id, 'late_fee', d.id, round(flat + d.outstanding * pct / 100, 2), d.currency, 'late fee'
  from sch_fee_due d
  join sch_student s on s.id = d.student_id and s.state = 'active'
  where d.source <> 'late_fee' and d.outstanding > 0 and d.due_on + grace < app_today()
    and round(flat + d.outstanding * pct / 100, 2) > 0 and sch_on_campus(d.location_id)
  order by d.student_id, d.id
  for share of s
  on conflict (for_due_id) where for_due_id is not null do nothing;
  return to_jsonb(h);
end $$;
comment on function sch_fee_late(uuid, jsonb) is 'makes a late fee for every due that is overdue beyond the days of grace';
revoke all on function sch_fee_late(uuid, jsonb) from public;
