-- Long work of a user, done after the answer: what it is, how far it has come, how it ended. The tenant's role has no right on the
-- table; a user reaches his own operations through these functions.

create table sys_operation (
  id uuid not null,
  kind text not null,
  resource text not null,
  state text not null default 'running',
  rows_total int not null,
  rows_done int not null default 0,
  trial boolean not null,
  permission text not null,
  session_id uuid not null,
  problem jsonb,
  created_by uuid not null,
  created_at timestamptz not null default now(),
  alive_until timestamptz not null default now() + interval '1 minute',
  finished_at timestamptz,
  constraint sys_operation_pk primary key (id),
  constraint sys_operation_kind check (kind in ('create_many')),
  constraint sys_operation_state check (state in ('running', 'succeeded', 'failed')),
  constraint sys_operation_rows check (rows_done between 0 and rows_total),
  constraint sys_operation_end check ((finished_at is null) = (state = 'running')),
  constraint sys_operation_problem check ((problem is not null) = (state = 'failed'))
);
comment on table sys_operation is 'long work of a user, kept for a week after it began';
comment on column sys_operation.trial is 'whether everything is undone at the end, also when it succeeded';
comment on column sys_operation.permission is 'what its user must still hold when it ends';
comment on column sys_operation.session_id is 'the session that began it; when that is ended, so is the operation';
comment on column sys_operation.alive_until is 'who works on it keeps moving this on; a running operation beyond it was interrupted';
comment on column sys_operation.problem is 'why it failed, as the API tells problems';
create index sys_operation_age on sys_operation (created_at);

-- Asked of the tables and not of app.perms, which was settled before the work began or a lock was waited for.
create function sys_holds(p text) returns boolean
language sql stable as $$
  select app_uid() is null or exists (
    select from sys_user u
    join sys_user_role ur on ur.user_id = u.id
    join sys_role_grant g on g.role_id = ur.role_id
    where u.id = app_uid() and u.state = 'active' and g.permission in ('*', p, split_part(p, '.', 1) || '.*'))
$$;
comment on function sys_holds(text) is 'does the caller hold a permission at this moment';

create function sys_operation_begin(p_id uuid, p_kind text, p_resource text, p_rows int, p_trial boolean, p_permission text, p_session uuid) returns bigint
language plpgsql security definer set search_path from current as $$
begin
  delete from sys_operation where id in (
    select o.id from sys_operation o
    where o.created_at < now() - interval '7 days' order by o.created_at limit 20 for update skip locked);
  insert into sys_operation (id, kind, resource, rows_total, trial, permission, session_id, created_by)
    values (p_id, p_kind, p_resource, p_rows, p_trial, p_permission, p_session, app_uid());
  return 1;
end $$;
comment on function sys_operation_begin(uuid, text, text, int, boolean, text, uuid) is 'writes a new operation of the caller down, and forgets some that are a week old';
revoke all on function sys_operation_begin(uuid, text, text, int, boolean, text, uuid) from public;

create function sys_operation_may_go_on(o sys_operation) returns boolean
language sql as $$
  select o.state = 'running' and o.alive_until > clock_timestamp() and sys_holds(o.permission)
    and exists (select from sys_session s where s.id = o.session_id and s.revoked_at is null)
$$;
comment on function sys_operation_may_go_on(sys_operation)
  is 'somebody works on it, and its user is still signed in and may still do what it does';

create function sys_operation_tell(p_id uuid, p_done int) returns bigint
language plpgsql security definer set search_path from current as $$
begin
  update sys_operation set rows_done = p_done, alive_until = now() + interval '1 minute'
    where id = p_id and created_by = app_uid() and sys_operation_may_go_on(sys_operation);
  if not found then
    perform app_fail('AP409', 'interrupted', 'The operation was interrupted.');
  end if;
  return 1;
end $$;
comment on function sys_operation_tell(uuid, int) is 'how far an operation has come, and that somebody works on it';
revoke all on function sys_operation_tell(uuid, int) from public;

-- Whoever was told that it was interrupted shall not find it done later: an operation that stood still for too long cannot succeed, nor
-- one whose user has signed out or lost the permission meanwhile.
create function sys_operation_end(p_id uuid, p_problem jsonb) returns bigint
language plpgsql security definer set search_path from current as $$
begin
  update sys_operation
    set state = case when p_problem is null then 'succeeded' else 'failed' end,
      rows_done = case when p_problem is null then rows_total else 0 end,
      problem = p_problem,
      finished_at = now()
    where id = p_id and created_by = app_uid() and state = 'running'
      and (p_problem is not null or sys_operation_may_go_on(sys_operation));
  if not found then
    perform app_fail('AP409', 'interrupted', 'The operation was interrupted.');
  end if;
  return 1;
end $$;
comment on function sys_operation_end(uuid, jsonb) is 'ends an operation: without a problem in the transaction of its work, otherwise after that was undone';
revoke all on function sys_operation_end(uuid, jsonb) from public;

create function sys_operation_look(p_id uuid) returns jsonb
language sql stable security definer set search_path from current as $$
  select jsonb_build_object(
    'object', 'operation',
    'id', o.id,
    'kind', o.kind,
    'resource', o.resource,
    'state', case when o.state = 'running' and o.alive_until <= now() then 'failed' else o.state end,
    'trial', o.trial,
    'rows_total', o.rows_total,
    'rows_done', case when o.state = 'running' and o.alive_until <= now() then 0 else o.rows_done end,
    'problem', case
      when o.state = 'running' and o.alive_until <= now() then
        jsonb_build_object('code', 'interrupted', 'hint', null, 'errors', jsonb_build_array(), 'detail', 'The operation was interrupted; nothing of it was done. Send it again, with another Idempotency-Key.')
      else o.problem
    end,
    'created_at', o.created_at,
    'finished_at', coalesce(o.finished_at, case when o.alive_until <= now() then o.alive_until end))
  from sys_operation o
  where o.id = p_id and o.created_by = app_uid()
$$;
comment on function sys_operation_look(uuid) is 'an operation of the caller';
revoke all on function sys_operation_look(uuid) from public;
