-- Approval chains for the documents of all packs: rules say which levels an amount needs, approvals are the open and decided steps.

create table sys_approval_rule (
  id uuid primary key default uuid_v7(),
  doc_type text not null,
  level int not null,
  min_amount numeric(18,2) not null default 0,
  permission text not null,
  allow_self boolean not null default false,
  constraint sys_approval_rule_key unique (doc_type, level),
  constraint sys_approval_rule_doc_type check (length(btrim(doc_type)) between 1 and 100),
  constraint sys_approval_rule_level check (level between 1 and 5),
  constraint sys_approval_rule_min_amount check (min_amount >= 0),
  constraint sys_approval_rule_permission check (length(permission) <= 100 and permission ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$')
);
comment on table sys_approval_rule is 'which documents need whose approval, from which amount on';
comment on constraint sys_approval_rule_key on sys_approval_rule is 'already has a rule for this level';
comment on constraint sys_approval_rule_doc_type on sys_approval_rule is 'must have 1 to 100 characters';
comment on constraint sys_approval_rule_level on sys_approval_rule is 'must be from 1 to 5';
comment on constraint sys_approval_rule_min_amount on sys_approval_rule is 'must be at least 0';
comment on constraint sys_approval_rule_permission on sys_approval_rule is 'must be a permission such as invoices.approve';
select sys_std('sys_approval_rule');

create table sys_approval (
  id uuid primary key default uuid_v7(),
  doc_type text not null,
  doc_id uuid not null,
  level int not null,
  round int not null default 1,
  permission text not null,
  requested_by uuid not null,
  requested_at timestamptz not null default now(),
  state text not null default 'pending',
  decided_by uuid,
  decided_at timestamptz,
  comment text,
  constraint sys_approval_key unique (doc_type, doc_id, level, round),
  constraint sys_approval_state check (state in ('pending', 'approved', 'rejected', 'withdrawn')),
  constraint sys_approval_decided check ((state in ('approved', 'rejected')) = (decided_by is not null)),
  constraint sys_approval_requested_by_fk foreign key (requested_by) references sys_user,
  constraint sys_approval_decided_by_fk foreign key (decided_by) references sys_user
);
comment on table sys_approval is 'steps of an approval, one per document, level and round';
comment on constraint sys_approval_key on sys_approval is 'has already been sent for approval';
select sys_std('sys_approval');
create index sys_approval_requested_by on sys_approval (requested_by);
create index sys_approval_pending on sys_approval (permission) where state = 'pending';

-- An unknown amount reaches every level: forgetting it must not be the way round an approval.
create function sys_request_approval(p_type text, p_id uuid, p_amount numeric) returns boolean
language plpgsql as $$
declare
  this_round int;
begin
  perform pg_advisory_xact_lock(hashtextextended(current_schema() || '.sys_approval.' || p_type || p_id, 0));
  if exists (select from sys_approval where doc_type = p_type and doc_id = p_id and state = 'pending') then
    perform app_fail('AP409', 'approval_pending', 'This is already waiting for approval.');
  end if;
  select coalesce(max(round), 0) + 1 into this_round from sys_approval where doc_type = p_type and doc_id = p_id;
  insert into sys_approval (doc_type, doc_id, level, round, permission, requested_by)
  select doc_type, p_id, level, this_round, permission, app_uid()
  from sys_approval_rule
  where doc_type = p_type and (p_amount is null or p_amount >= min_amount);
  return not found;
end $$;
comment on function sys_request_approval(text, uuid, numeric)
  is 'internal: opens one step per level that the amount reaches; true when no approval is needed';
revoke all on function sys_request_approval(text, uuid, numeric) from public;

-- All steps of the round are locked in one order, so two deciders cannot pass each other.
create function sys_decide(p_approval uuid, p_ok boolean, p_comment text default null) returns text
language plpgsql as $$
declare
  a sys_approval;
begin
  select * into a from sys_approval where id = p_approval;
  perform from sys_approval
  where doc_type = a.doc_type and doc_id = a.doc_id and round = a.round order by level for update;
  select * into a from sys_approval where id = p_approval;
  if a.id is null or not (app_has(a.permission) or coalesce(a.requested_by = app_uid(), false)) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform app_require(a.permission);
  if a.state <> 'pending' then
    perform app_fail('AP409', 'decided', format('This is already %s.', a.state));
  end if;
  if app_uid() is null or (a.requested_by = app_uid() and not exists (
    select from sys_approval_rule where doc_type = a.doc_type and level = a.level and allow_self)) then
    perform app_fail('AP403', 'self_approval', 'Who asks for an approval cannot give it.');
  end if;
  if exists (
    select from sys_approval
    where doc_type = a.doc_type and doc_id = a.doc_id and round = a.round and level < a.level and state <> 'approved') then
    perform app_fail('AP409', 'level_order', 'A lower level has not approved yet.');
  end if;
  update sys_approval
  set state = case when p_ok then 'approved' else 'rejected' end, decided_by = app_uid(), decided_at = now(), comment = p_comment
  where id = a.id;
  if not p_ok then
    update sys_approval set state = 'withdrawn'
    where doc_type = a.doc_type and doc_id = a.doc_id and round = a.round and state = 'pending';
    return 'rejected';
  end if;
  if exists (
    select from sys_approval
    where doc_type = a.doc_type and doc_id = a.doc_id and round = a.round and state = 'pending') then
    return 'pending';
  end if;
  return 'approved';
end $$;
comment on function sys_decide(uuid, boolean, text) is 'internal: decides one step; says where the whole document stands';
revoke all on function sys_decide(uuid, boolean, text) from public;

-- action approvals.decide; the answer is the step, with the standing of its document as outcome
create function sys_approval_decide(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  outcome text;
  a sys_approval;
begin
  perform app_require('approvals.decide');
  outcome := sys_decide($1, coalesce((input ->> 'approve')::boolean, false), input ->> 'comment');
  select * into a from sys_approval where id = $1;
  return to_jsonb(a) || jsonb_build_object('outcome', outcome);
end $$;
comment on function sys_approval_decide(uuid, jsonb) is 'approves or rejects a step';
revoke all on function sys_approval_decide(uuid, jsonb) from public;

create view sys_v_approval_ageing with (security_invoker = true) as
select
  a.doc_type,
  a.permission,
  count(*) as pending,
  min(now() - coalesce(prev.decided_at, a.requested_at)) as youngest,
  max(now() - coalesce(prev.decided_at, a.requested_at)) as oldest
from sys_approval a
left join lateral (
  select max(p.decided_at) as decided_at
  from sys_approval p
  where p.doc_type = a.doc_type and p.doc_id = a.doc_id and p.round = a.round and p.level < a.level
) prev on true
where a.state = 'pending'
group by a.doc_type, a.permission;
comment on view sys_v_approval_ageing is 'how long approvals have been waiting';
