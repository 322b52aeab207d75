-- Waits that grow with wrong passwords and codes: how long, for tenants too, and the counts of operators' sign-ins.

create function insula.app_wait(wrong int, free int, longest int) returns interval
language sql immutable parallel safe as $$
  select case
    when wrong < free then interval '0'
    else make_interval(secs => least(longest, 2 ^ least(wrong - free, 20)))
  end
$$;
comment on function insula.app_wait(int, int, int)
  is 'how long nobody may try again after so many wrong attempts: not at all, then 1, 2, 4, … seconds up to the longest';

create function insula.app_wrong(wrong int, last_at timestamptz) returns int
language sql volatile as $$
  select case when last_at < clock_timestamp() - interval '1 day' then 1 else least(wrong, 1000000) + 1 end
$$;
comment on function insula.app_wrong(int, timestamptz) is 'the count with one more; a day of rest forgives all';

grant execute on function insula.app_wait(int, int, int), insula.app_wrong(int, timestamptz) to public;

create table public.operator_devices (
  token_hash   bytea       not null,
  operator_id  uuid        not null,
  created_at   timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  constraint operator_devices_pk primary key (token_hash),
  constraint operator_devices_hash check (octet_length(token_hash) = 32),
  constraint operator_devices_operator_fk foreign key (operator_id) references public.operators (id) on delete cascade
);
create index operator_devices_operator_idx on public.operator_devices (operator_id, last_used_at);
comment on table public.operator_devices is 'SHA-256 of the tokens of devices from which operators have signed in; good for 90 days';

create table public.operator_attempts (
  key     bytea       not null,
  wrong   integer     not null,
  last_at timestamptz not null,
  free_at timestamptz not null,
  constraint operator_attempts_pk primary key (key),
  constraint operator_attempts_key check (octet_length(key) = 32)
);
create index operator_attempts_last_idx on public.operator_attempts (last_at);
comment on table public.operator_attempts is
  'Wrong attempts of operators to sign in by digest of account or device, and when the next is looked at; forgotten after a day';

create function public.operator_sign_in_count(p_email text, p_device bytea, p_hold int, p_free int, p_longest int) returns jsonb
language plpgsql as $$
declare
  known constant boolean := exists (
    select from public.operator_devices d
    join public.operators o on o.id = d.operator_id
    where d.token_hash = p_device and lower(o.email) = p_email and d.last_used_at > now() - interval '90 days');
  digest constant bytea := sha256(convert_to(
    case when known then 'device:' || encode(p_device, 'hex') else 'account:' || p_email end, 'UTF8'));
  counted int;
  wait interval := '0';
begin
  if p_hold > 0 and not known then
    return jsonb_build_object('key', '', 'wait', p_hold);
  end if;
  insert into public.operator_attempts as a (key, wrong, last_at, free_at)
    values (digest, 1, clock_timestamp(), clock_timestamp() + insula.app_wait(1, p_free, p_longest))
    on conflict (key) do update set
      wrong = insula.app_wrong(a.wrong, a.last_at),
      last_at = clock_timestamp(),
      free_at = clock_timestamp() + insula.app_wait(insula.app_wrong(a.wrong, a.last_at), p_free, p_longest)
    where a.free_at <= clock_timestamp()
    returning a.wrong into counted;
  if counted is null then
    select free_at - clock_timestamp() into wait from public.operator_attempts where key = digest;
  end if;
  delete from public.operator_attempts where key in (
    select key from public.operator_attempts
    where last_at < now() - interval '1 day' order by last_at limit 10 for update skip locked);
  return jsonb_build_object('key', encode(digest, 'hex'), 'wrong', counted, 'known', known,
    'wait', greatest(ceil(extract(epoch from wait)), case when counted is null then 1 else 0 end)::int);
end $$;
comment on function public.operator_sign_in_count(text, bytea, int, int, int) is
  'Counts an attempt to sign in, of a known device, else of the account, or says in how many seconds the next is looked at; '
  'strangers on hold must wait so many seconds';

create function public.operator_attempt_take_back(p_key bytea, p_wrong int) returns void
language sql as $$
  update public.operator_attempts
    set wrong = wrong - 1, free_at = case when wrong = p_wrong then clock_timestamp() else free_at end
    where key = p_key and wrong > 0
$$;
comment on function public.operator_attempt_take_back(bytea, int) is
  'An attempt was not wrong, and not the end of it either: it does not count';

create function public.operator_signed_in(p_operator uuid, p_attempt bytea, p_device bytea) returns void
language plpgsql as $$
begin
  update public.operators set last_login_at = now() where id = p_operator;
  delete from public.operator_attempts where key = p_attempt;
  insert into public.operator_devices as d (token_hash, operator_id) values (p_device, p_operator)
    on conflict (token_hash) do update set last_used_at = now() where d.operator_id = p_operator;
  delete from public.operator_devices where token_hash in (
    select token_hash from public.operator_devices where operator_id = p_operator order by last_used_at desc offset 20);
  delete from public.operator_devices where operator_id = p_operator and last_used_at < now() - interval '90 days';
end $$;
comment on function public.operator_signed_in(uuid, bytea, bytea) is
  'What a sign-in leaves behind: its moment, no count, and the device, of each operator the last 20';
