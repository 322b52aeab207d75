-- Rules of dues and receipts, whoever writes.

-- A due belongs to the place of the student's class, and to students who are there.
create function sch_fee_due_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if tg_op = 'INSERT' then
    perform from sch_student where id = new.student_id and state = 'active' for share;
    if not found then
      perform app_fail('AP422', 'not_found', 'does not name a student who is there', 'student_id');
    end if;
    select c.location_id into new.location_id
    from sch_enrollment e
    join sch_class c on c.id = e.class_id
    where e.student_id = new.student_id
    order by e.span @> app_today() desc, lower(e.span) desc
    limit 1;
    if new.location_id is null then
      perform app_fail('AP422', 'not_enrolled', 'has never been in a class', 'student_id');
    end if;
    return new;
  end if;
  if tg_op = 'DELETE' then
    if old.source <> 'adhoc' then
      perform app_fail('AP409', 'fixed', 'Only a due that was made by hand can be deleted.');
    end if;
    return old;
  end if;
  if (new.student_id, new.head_id, new.currency) is distinct from (old.student_id, old.head_id, old.currency) then
    perform app_fail('AP409', 'fixed', 'A due keeps student, fee head and currency.');
  end if;
  if (new.amount, new.due_on) is distinct from (old.amount, old.due_on) and (old.source <> 'adhoc' or old.waived + old.paid > 0) then
    perform app_fail('AP409', 'fixed', 'Only a due that was made by hand, and of which nothing is paid or waived, changes its amount and day.');
  end if;
  return new;
end $$;
comment on function sch_fee_due_guard() is 'dues are placed, of active students, and stay what they are once somebody has paid';
revoke all on function sch_fee_due_guard() from public;
create trigger a_guard before insert or update or delete on sch_fee_due
  for each row execute function sch_fee_due_guard();
create trigger b_action_only before update of waived, paid, location_id, source, plan_line_id, for_due_id on sch_fee_due
  for each row execute function sys_action_only('waived,paid,location_id,source,plan_line_id,for_due_id');

create function sch_fee_alloc_apply() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  update sch_fee_due d
  set paid = d.paid + new.amount
  from sch_fee_receipt r
  where d.id = new.due_id and r.id = new.receipt_id and r.student_id = d.student_id and r.currency = d.currency;
  if not found then
    perform app_fail('AP422', 'wrong_student', 'belongs to another student or currency than the receipt', 'due_id');
  end if;
  return new;
end $$;
comment on function sch_fee_alloc_apply() is 'what is allocated counts as paid';
revoke all on function sch_fee_alloc_apply() from public;
create trigger a_apply before insert on sch_fee_alloc for each row execute function sch_fee_alloc_apply();

-- whatever wrote it: a posted receipt is fully allocated when the transaction commits, a cancelled one not at all
create function sch_fee_receipt_allocated() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  r sch_fee_receipt;
  allocated numeric;
begin
  select * into r from sch_fee_receipt where id = new.id;
  select coalesce(sum(amount), 0) into allocated from sch_fee_alloc where receipt_id = new.id;
  if allocated <> (case r.state when 'posted' then r.amount else 0 end) then
    perform app_fail('AP422', 'not_allocated', format('Of the receipt %s, %s of %s are allocated.', r.number, allocated, r.amount));
  end if;
  return null;
end $$;
comment on function sch_fee_receipt_allocated() is 'at commit: a receipt says exactly what it paid';
revoke all on function sch_fee_receipt_allocated() from public;
create constraint trigger c_allocated after insert or update on sch_fee_receipt deferrable initially deferred
  for each row execute function sch_fee_receipt_allocated();

-- called by school_core, if it is there, before a student leaves
create function sch_assert_no_dues(p_student uuid) returns void
language plpgsql as $$
begin
  if exists (select from sch_fee_due where student_id = p_student and outstanding > 0) then
    perform app_fail('AP409', 'fees_due', 'The student still has fees to pay.');
  end if;
end $$;
comment on function sch_assert_no_dues(uuid) is 'internal: refuses while fees of a student are outstanding';
revoke all on function sch_assert_no_dues(uuid) from public;

create function sch_on_campus(p_location uuid) returns boolean
language sql stable as $$
  select app_has('locations.all')
    or exists (select from sys_user_location l where l.location_id = p_location and l.user_id = app_uid())
$$;
comment on function sch_on_campus(uuid) is 'internal: does the caller work with the fees of this place';
revoke all on function sch_on_campus(uuid) from public;
