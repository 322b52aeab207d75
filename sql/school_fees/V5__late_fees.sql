-- Late fees by themselves: a fee head says after how many days, and how much.

alter table sch_fee_head
  add column late_grace_days int,
  add column late_flat numeric(18,2),
  add column late_percent numeric(5,2),
  add constraint sch_fee_head_late_grace_days check (late_grace_days between 0 and 366),
  add constraint sch_fee_head_late_flat check (late_flat >= 0 and late_flat < 1e12),
  add constraint sch_fee_head_late_percent check (late_percent between 0 and 100),
  add constraint sch_fee_head_late_whole check ((late_grace_days is not null) = (coalesce(late_flat, 0) + coalesce(late_percent, 0) > 0));
comment on column sch_fee_head.late_grace_days is 'dues that are overdue for more days than this get a fee of this head, by themselves; never when empty';
comment on column sch_fee_head.late_flat is 'the fee for being late';
comment on column sch_fee_head.late_percent is 'the fee for being late in per cent of what is due';
comment on constraint sch_fee_head_late_grace_days on sch_fee_head is 'must be from 0 to 366';
comment on constraint sch_fee_head_late_flat on sch_fee_head is 'must be at least 0';
comment on constraint sch_fee_head_late_percent on sch_fee_head is 'must be from 0 to 100';
comment on constraint sch_fee_head_late_whole on sch_fee_head is 'days of grace and an amount or a percentage come together';

create function sch_late_fees(p_head uuid, p_grace int, p_flat numeric, p_percent numeric) returns int
language sql as $$
  with made as (
    insert into sch_fee_due (student_id, head_id, source, for_due_id, amount, currency, note)
    select d.student_id, p_head, 'late_fee', d.id, round(p_flat + d.outstanding * p_percent / 100, 2), d.currency, 'late fee'
    from sch_fee_due d
    join sch_student s on s.id = d.student_id and s.state = 'active'
    where d.source <> 'late_fee' and d.outstanding > 0 and d.due_on + p_grace < app_today()
      and round(p_flat + d.outstanding * p_percent / 100, 2) > 0 and sch_on_campus(d.location_id)
    order by d.student_id, d.id
    for share of s
    on conflict (for_due_id) where for_due_id is not null do nothing
    returning 1)
  select count(*)::int from made
$$;
comment on function sch_late_fees(uuid, int, numeric, numeric) is 'internal: makes the late fees of a head; says how many';
revoke all on function sch_late_fees(uuid, int, numeric, numeric) from public;

create or replace function sch_fee_late(id uuid, input jsonb) returns jsonb
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
  perform sch_late_fees(h.id, grace, flat, pct);
  return to_jsonb(h);
end $$;

create function sch_apply_late_fees() returns int
language plpgsql security definer set search_path from current as $$
declare
  h sch_fee_head;
  n int := 0;
begin
  for h in select * from sch_fee_head where late_grace_days is not null order by id for update loop
    n := n + sch_late_fees(h.id, h.late_grace_days, coalesce(h.late_flat, 0), coalesce(h.late_percent, 0));
  end loop;
  return n;
end $$;
comment on function sch_apply_late_fees() is 'makes a late fee for every due that is overdue beyond the days of grace of a head; says how many';
revoke all on function sch_apply_late_fees() from public;
