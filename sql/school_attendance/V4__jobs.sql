-- Registers lock by themselves: all before today, or as many days later as the setting register_open_days says.

create function sch_lock_old_registers() returns int
language sql security definer set search_path from current as $$
  select sch_lock_registers(app_today() - coalesce((
    select least((value #>> '{}')::numeric, 366)::int from sys_setting
    where key = 'register_open_days' and jsonb_typeof(value) = 'number' and value >= '0'), 0))
$$;
comment on function sch_lock_old_registers() is 'locks the registers of days gone by; says how many';
revoke all on function sch_lock_old_registers() from public;
