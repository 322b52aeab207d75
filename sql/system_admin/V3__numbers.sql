-- Document numbers without gaps. Period key '*' is the template that people edit; every period gets a counter row of its own on first
-- use, so that a document dated into the old year continues the old counter.

create table sys_number_series (
  id uuid primary key default uuid_v7(),
  code text not null,
  location_id uuid,
  period_key text not null default '*',
  pattern text not null,
  width int not null default 5,
  reset text not null default 'fy',
  max_len int not null default 16,
  last_value bigint not null default 0,
  constraint sys_number_series_key unique nulls not distinct (code, location_id, period_key),
  constraint sys_number_series_code check (code ~ '^[a-z][a-z0-9_.]{0,62}$'),
  constraint sys_number_series_pattern check (pattern like '%{SEQ}%' and length(pattern) <= 60),
  constraint sys_number_series_width check (width between 1 and 10),
  constraint sys_number_series_reset check (reset in ('fy', 'cy', 'never')),
  constraint sys_number_series_max_len check (max_len between 1 and 60),
  constraint sys_number_series_last_value check (last_value >= 0),
  constraint sys_number_series_location_fk foreign key (location_id) references sys_location
);
comment on table sys_number_series is 'number series: templates (period *) and their counters per period';
comment on column sys_number_series.pattern is 'text with {SEQ}, and if wanted {FY}, {YYYY}, {LOC}';
comment on constraint sys_number_series_key on sys_number_series is 'is already used by another series of this location';
comment on constraint sys_number_series_code on sys_number_series is 'must begin with a small letter and hold only small letters, digits, dots and _';
comment on constraint sys_number_series_pattern on sys_number_series is 'must contain {SEQ} and have at most 60 characters';
comment on constraint sys_number_series_width on sys_number_series is 'must be from 1 to 10';
comment on constraint sys_number_series_reset on sys_number_series is 'must be fy, cy or never';
comment on constraint sys_number_series_max_len on sys_number_series is 'must be from 1 to 60';
comment on constraint sys_number_series_last_value on sys_number_series is 'must be at least 0';
comment on constraint sys_number_series_location_fk on sys_number_series is 'does not name an existing location | is still used by number series';
select sys_std('sys_number_series');
create index sys_number_series_location on sys_number_series (location_id);

-- a counter that has given numbers away must neither go nor become another one, or a number would be given twice
create function sys_number_series_guard() returns trigger
language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    if (new.period_key, new.last_value) <> ('*', 0) and coalesce(current_setting('app.action', true), '') = '' then
      perform app_fail('AP403', 'action_only', 'Counters are made by the first document of a period.', 'period_key');
    end if;
    return new;
  end if;
  if old.last_value > 0 then
    if tg_op = 'DELETE' then
      perform app_fail('AP409', 'in_use', 'A counter that has given numbers cannot be deleted.');
    end if;
    if (new.code, new.location_id) is distinct from (old.code, old.location_id) then
      perform app_fail('AP409', 'in_use', 'A counter that has given numbers cannot be renamed.');
    end if;
  end if;
  return coalesce(new, old);
end $$;
comment on function sys_number_series_guard() is 'people edit templates; counters belong to sys_next_number';
create trigger a_guard before insert or update or delete on sys_number_series
  for each row execute function sys_number_series_guard();
create trigger b_action_only before update on sys_number_series
  for each row execute function sys_action_only('period_key,last_value');

create function sys_fy(d date) returns text
language sql stable as $$
  select case
    when m = 1 then to_char(d, 'YYYY')
    when extract(month from d) >= m then to_char(d, 'YYYY') || '-' || to_char(d + interval '1 year', 'YY')
    else to_char(d - interval '1 year', 'YYYY') || '-' || to_char(d, 'YY')
  end
  from (select coalesce((select (value #>> '{}')::int from sys_setting where key = 'fy_start_month'), 4)) s (m)
$$;
comment on function sys_fy(date) is 'the fiscal year of a day, such as 2026-27';

-- The counter row stays locked to the end of the posting transaction; a rollback gives the number back. One statement makes or moves the
-- counter, so two first documents of a year cannot both make it. A series of the location is preferred to the general one.
create function sys_next_number(p_code text, p_on date, p_loc uuid default null) returns text
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
    t.location_id,
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
comment on function sys_next_number(text, date, uuid) is 'internal: the next number of a series, given at posting';
revoke all on function sys_next_number(text, date, uuid) from public;
