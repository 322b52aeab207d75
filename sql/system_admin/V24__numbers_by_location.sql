-- A pattern that names the location counts by location: otherwise the numbers of one location would have gaps.
create or replace function sys_next_number(p_code text, p_on date, p_loc uuid default null) returns text
language plpgsql as $$
declare
  action constant text := coalesce(current_setting('app.action', true), '');
  t sys_number_series;
  n bigint;
  num text;
begin
  select * into t
  from sys_number_series
  where code = p_code and period_key = '*' and (location_id = p_loc or location_id is null)
  order by location_id nulls last
  limit 1;
  if t.id is null then
    perform app_fail('AP422', 'no_series', format('There is no number series %s.', p_code));
  end if;
  perform set_config('app.action', 'sys_next_number', true);
  insert into sys_number_series as s (code, location_id, period_key, pattern, width, reset, max_len, last_value)
  values (
    t.code,
    case when t.pattern like '%{LOC}%' then p_loc else t.location_id end,
    case t.reset when 'fy' then sys_fy(p_on) when 'cy' then to_char(p_on, 'YYYY') else 'all' end,
    t.pattern, t.width, t.reset, t.max_len, 1)
  on conflict on constraint sys_number_series_key do update set last_value = s.last_value + 1
  returning last_value into n;
  perform set_config('app.action', action, true);
  num := replace(t.pattern, '{SEQ}', lpad(n::text, greatest(t.width, length(n::text)), '0'));
  num := replace(num, '{FY}', replace(substr(sys_fy(p_on), 3), '-', ''));
  num := replace(num, '{YYYY}', to_char(p_on, 'YYYY'));
  num := replace(num, '{LOC}', coalesce((select code from sys_location where id = p_loc), ''));
  if length(num) > t.max_len then
    perform app_fail('AP422', 'number_too_long', format('The number %s is longer than %s characters.', num, t.max_len));
  end if;
  return num;
end $$;
