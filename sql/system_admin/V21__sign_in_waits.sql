-- Waits that grow with wrong passwords and codes. An attempt is counted before it is looked at, and forgiven when it was right: of many
-- at once only the free ones get through. Strangers count together on the account, each known device counts for itself, so that no
-- stranger can make it wait. An account is its address's digest, whether there is such a user or not.

create table sys_device (
  token_hash bytea not null,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  constraint sys_device_pk primary key (token_hash),
  constraint sys_device_hash check (octet_length(token_hash) = 32),
  constraint sys_device_user_fk foreign key (user_id) references sys_user on delete cascade
);
comment on table sys_device is 'SHA-256 of the tokens of devices from which users have signed in; good for 90 days; granted to nobody';
create index sys_device_user on sys_device (user_id, last_used_at);

create table sys_attempt (
  key bytea not null,
  wrong int not null,
  last_at timestamptz not null,
  free_at timestamptz not null,
  constraint sys_attempt_pk primary key (key),
  constraint sys_attempt_key check (octet_length(key) = 32)
);
comment on table sys_attempt is 'wrong attempts to sign in by digest of account or device, and when the next is looked at; forgotten after a day; granted to nobody';
create index sys_attempt_last_at on sys_attempt (last_at);

create function sys_attempt_count(p_name text, p_free int, p_longest int) returns jsonb
language plpgsql set search_path from current as $$
declare
  digest constant bytea := sha256(convert_to(p_name, 'UTF8'));
  counted int;
  wait interval := '0';
begin
  insert into sys_attempt as a (key, wrong, last_at, free_at)
    values (digest, 1, clock_timestamp(), clock_timestamp() + app_wait(1, p_free, p_longest))
    on conflict (key) do update set
      wrong = app_wrong(a.wrong, a.last_at),
      last_at = clock_timestamp(),
      free_at = clock_timestamp() + app_wait(app_wrong(a.wrong, a.last_at), p_free, p_longest)
    where a.free_at <= clock_timestamp()
    returning a.wrong into counted;
  if counted is null then
    select free_at - clock_timestamp() into wait from sys_attempt where key = digest;
  end if;
  delete from sys_attempt where key in (
    select key from sys_attempt where last_at < now() - interval '1 day' order by last_at limit 10 for update skip locked);
  return jsonb_build_object('key', encode(digest, 'hex'), 'wrong', counted,
    'wait', greatest(ceil(extract(epoch from wait)), case when counted is null then 1 else 0 end)::int);
end $$;
comment on function sys_attempt_count(text, int, int) is 'counts an attempt, or says in how many seconds the next is looked at';
revoke all on function sys_attempt_count(text, int, int) from public;

create function sys_sign_in_count(p_email text, p_device bytea, p_hold int, p_free int, p_longest int) returns jsonb
language plpgsql set search_path from current as $$
declare
  known constant boolean := exists (
    select from sys_device d
    join sys_user u on u.id = d.user_id
    where d.token_hash = p_device and lower(u.email) = p_email and d.last_used_at > now() - interval '90 days');
begin
  if p_hold > 0 and not known then
    return jsonb_build_object('key', '', 'wait', p_hold);
  end if;
  return sys_attempt_count(case when known then 'device:' || encode(p_device, 'hex') else 'account:' || p_email end, p_free, p_longest)
    || jsonb_build_object('known', known);
end $$;
comment on function sys_sign_in_count(text, bytea, int, int, int)
  is 'counts an attempt to sign in: of a known device, else of the account; strangers on hold must wait so many seconds';
revoke all on function sys_sign_in_count(text, bytea, int, int, int) from public;

create function sys_attempt_take_back(p_key bytea, p_wrong int) returns void
language sql set search_path from current as $$
  update sys_attempt
    set wrong = wrong - 1, free_at = case when wrong = p_wrong then clock_timestamp() else free_at end
    where key = p_key and wrong > 0
$$;
comment on function sys_attempt_take_back(bytea, int) is 'an attempt was not wrong, and not the end of it either: it does not count';
revoke all on function sys_attempt_take_back(bytea, int) from public;
