-- Answers to requests with an Idempotency-Key, kept for a day: a request that comes again gets the answer and changes nothing.
-- The tenant's role has no right on the table; it reaches the answers of its own user through these functions.

create table sys_idempotency (
  actor uuid not null,
  request text not null,
  fingerprint text not null,
  status int not null,
  version bigint,
  location text,
  applied text,
  body text,
  expires_at timestamptz not null default now() + interval '24 hours',
  constraint sys_idempotency_pk primary key (actor, request)
);
comment on table sys_idempotency is 'what was answered to a request that may come again; request is a digest of method, path and key, fingerprint one of the body';
create index sys_idempotency_expiry on sys_idempotency (expires_at);

create function sys_once_begin(p_request text, p_fingerprint text) returns bigint
language plpgsql security definer set search_path from current as $$
declare
  known text;
begin
  if not pg_try_advisory_xact_lock(hashtextextended(concat_ws('/', current_schema(), app_uid(), p_request), 0)) then
    perform app_fail('AP409', 'idempotency_in_progress', 'A request with this Idempotency-Key is still running.');
  end if;
  select i.fingerprint into known from sys_idempotency i
    where i.actor = app_uid() and i.request = p_request and i.expires_at > now();
  if known = p_fingerprint then
    perform app_fail('AP409', 'idempotency_replay', 'answered before');
  elsif known is not null then
    perform app_fail('AP422', 'idempotency_key_reused', 'This Idempotency-Key was used for another body.');
  end if;
  return 1;
end $$;
comment on function sys_once_begin(text, text) is 'first of a transaction with an Idempotency-Key: refuses unless the request is new';
revoke all on function sys_once_begin(text, text) from public;

-- an answer that has expired makes room; small batches, so that nobody waits
create function sys_once_keep(
  p_request text,
  p_fingerprint text,
  p_status int,
  p_version bigint,
  p_location text,
  p_applied text,
  p_body text
) returns bigint
language plpgsql security definer set search_path from current as $$
begin
  delete from sys_idempotency where (actor, request) in (
    select i.actor, i.request from sys_idempotency i
    where i.expires_at <= now() order by i.expires_at limit 20 for update skip locked);
  insert into sys_idempotency as i (actor, request, fingerprint, status, version, location, applied, body)
    values (app_uid(), p_request, p_fingerprint, p_status, p_version, p_location, p_applied, p_body)
    on conflict on constraint sys_idempotency_pk do update
      set fingerprint = excluded.fingerprint, status = excluded.status, version = excluded.version,
        location = excluded.location, applied = excluded.applied, body = excluded.body, expires_at = excluded.expires_at
      where i.expires_at <= now();
  if not found then
    perform app_fail('AP409', 'idempotency_replay', 'answered before');
  end if;
  return 1;
end $$;
comment on function sys_once_keep(text, text, int, bigint, text, text, text)
  is 'last of a transaction with an Idempotency-Key: keeps the answer for a day';
revoke all on function sys_once_keep(text, text, int, bigint, text, text, text) from public;

create function sys_once_recall(p_request text) returns jsonb
language sql stable security definer set search_path from current as $$
  select jsonb_build_object('status', i.status, 'version', i.version, 'location', i.location, 'applied', i.applied, 'body', i.body)
  from sys_idempotency i
  where i.actor = app_uid() and i.request = p_request and i.expires_at > now()
$$;
comment on function sys_once_recall(text) is 'the answer that was kept';
revoke all on function sys_once_recall(text) from public;
