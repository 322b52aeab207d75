-- The list of time zones costs PostgreSQL a look into six hundred files; to try one costs nothing. What has no slash is no place but UTC,
-- and without digits PostgreSQL takes nothing for a zone that it does not know.
create or replace function sys_location_guard() returns trigger
language plpgsql as $$
begin
  if new.timezone is distinct from old.timezone then
    if new.timezone !~ '^([A-Z][A-Za-z_-]*(/[A-Z][A-Za-z_-]*)+|Etc/GMT[+-][0-9]{1,2}|UTC)$' then
      perform app_fail('AP422', 'timezone', 'must be a time zone such as Asia/Kolkata', 'timezone');
    end if;
    perform now() at time zone new.timezone;
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
exception
  when invalid_parameter_value then
    perform app_fail('AP422', 'timezone', 'must be a time zone such as Asia/Kolkata', 'timezone');
    return null;
end $$;
