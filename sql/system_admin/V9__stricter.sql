-- Months that are whole numbers, time zones that are places, indexes for all references, and sessions that end quietly.

-- jsonb equals 4.0 and 4, but what reads the setting casts its text to an integer
update sys_setting
set value = to_jsonb((value #>> '{}')::numeric::int)
where key = 'fy_start_month' and value::text !~ '^[0-9]+$';
alter table sys_setting drop constraint sys_setting_fy_start_month;
alter table sys_setting add constraint sys_setting_fy_start_month
  check (key <> 'fy_start_month' or value::text ~ '^([1-9]|1[0-2])$');
comment on constraint sys_setting_fy_start_month on sys_setting is 'must be a month from 1 to 12';

-- PostgreSQL takes any made-up name with an offset for a time zone, and POSIX counts it the other way round. The list of names is read
-- only when the zone changes.
create or replace function sys_location_guard() returns trigger
language plpgsql as $$
begin
  if new.timezone is distinct from old.timezone
    and not exists (select from pg_timezone_names where name = new.timezone) then
    perform app_fail('AP422', 'timezone', 'must be a time zone such as Asia/Kolkata', 'timezone');
  end if;
  if new.parent_id is null or (new.parent_id, new.active) is not distinct from (old.parent_id, old.active) then
    return new;
  end if;
  perform pg_advisory_xact_lock(hashtextextended(tg_table_schema || '.sys_location', 0));
  if exists (
    with recursive up (id) as (
      select new.parent_id
      union
      select l.parent_id from sys_location l join up using (id)
    )
    select from up where id = new.id) then
    perform app_fail('AP422', 'location_cycle', 'would make the location part of itself', 'parent_id');
  end if;
  if new.active and exists (select from sys_location where id = new.parent_id and not active) then
    perform app_fail('AP409', 'parent_inactive', 'An active location cannot be under an inactive one.', 'parent_id');
  end if;
  return new;
end $$;

-- who was signed in and is no longer changes no right: clearing away expired sessions makes nobody forget anything
drop trigger zz_access on sys_session;
create trigger zz_access after update on sys_session
  for each statement execute function access_changed();
create trigger zz_access_gone after delete on sys_session
  for each row when (old.expires_at > now() and old.revoked_at is null) execute function access_changed();

create index sys_approval_decided_by on sys_approval (decided_by) where decided_by is not null;
