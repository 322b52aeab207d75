-- Deals. The stage rules stand in triggers on the table, so that board, API, import and SQL meet the same rules.

create table crm_deal (
  id uuid primary key default uuid_v7(),
  title text not null,
  pipeline_id uuid not null default crm_default_pipeline(),
  stage_id uuid not null default crm_default_stage(),
  organization_id uuid,
  contact_id uuid,
  amount numeric(18,2),
  currency char(3) not null default 'INR',
  probability numeric(5,2),
  expected_close date,
  source text,
  owner_id uuid not null default app_uid(),
  closed_at timestamptz,
  lost_reason_id uuid,
  lost_note text,
  party_id uuid,
  stage_entered_at timestamptz not null default now(),
  constraint crm_deal_title check (length(btrim(title)) between 1 and 200),
  constraint crm_deal_subject check (organization_id is not null or contact_id is not null),
  constraint crm_deal_amount check (amount >= 0),
  constraint crm_deal_currency check (currency ~ '^(?!BHD|IQD|JOD|KWD|LYD|OMR|TND|CLF|UYW)[A-Z]{3}$'),
  constraint crm_deal_source check (length(source) <= 100),
  constraint crm_deal_probability check (probability between 0 and 100),
  constraint crm_deal_pipeline_fk foreign key (pipeline_id) references crm_pipeline,
  constraint crm_deal_stage_fk foreign key (stage_id, pipeline_id) references crm_stage (id, pipeline_id),
  constraint crm_deal_organization_fk foreign key (organization_id) references crm_organization,
  constraint crm_deal_contact_fk foreign key (contact_id) references crm_contact,
  constraint crm_deal_lost_reason_fk foreign key (lost_reason_id) references crm_lost_reason,
  constraint crm_deal_owner_fk foreign key (owner_id) references sys_user
);
comment on table crm_deal is 'chances to sell; closed_at is set while the stage is won or lost';
comment on constraint crm_deal_title on crm_deal is 'must have 1 to 200 characters';
comment on constraint crm_deal_subject on crm_deal is 'one of organization and contact is needed';
comment on constraint crm_deal_amount on crm_deal is 'must be at least 0';
comment on constraint crm_deal_currency on crm_deal is 'must be a currency code of three letters with at most two decimals';
comment on constraint crm_deal_source on crm_deal is 'must have at most 100 characters';
comment on constraint crm_deal_probability on crm_deal is 'must be from 0 to 100';
comment on constraint crm_deal_pipeline_fk on crm_deal is 'does not name an existing pipeline | is still used by deals';
comment on constraint crm_deal_stage_fk on crm_deal is 'does not name a stage of this pipeline | is still used by deals';
comment on constraint crm_deal_organization_fk on crm_deal is 'does not name an existing organization | is still used by deals';
comment on constraint crm_deal_contact_fk on crm_deal is 'does not name an existing contact | is still used by deals';
comment on constraint crm_deal_lost_reason_fk on crm_deal is 'does not name an existing reason | is still used by deals';
comment on constraint crm_deal_owner_fk on crm_deal is 'does not name an existing user | still owns deals';
select sys_std('crm_deal');
create index crm_deal_owner on crm_deal (owner_id);
create index crm_deal_open on crm_deal (pipeline_id, stage_id) where closed_at is null;
create index crm_deal_stage on crm_deal (stage_id);
create index crm_deal_organization on crm_deal (organization_id);
create index crm_deal_contact on crm_deal (contact_id);
create index crm_deal_closed on crm_deal (closed_at) where closed_at is not null;

create table crm_deal_stage_log (
  id uuid primary key default uuid_v7(),
  deal_id uuid not null,
  from_stage uuid,
  to_stage uuid not null,
  amount numeric(18,2),
  seconds_in_previous bigint,
  constraint crm_deal_stage_log_deal_fk foreign key (deal_id) references crm_deal on delete cascade,
  constraint crm_deal_stage_log_from_fk foreign key (from_stage) references crm_stage,
  constraint crm_deal_stage_log_to_fk foreign key (to_stage) references crm_stage
);
comment on table crm_deal_stage_log is 'every stage a deal ever entered, append-only; goes only with its deal';
comment on constraint crm_deal_stage_log_from_fk on crm_deal_stage_log is 'does not name an existing stage | is part of the history of deals';
comment on constraint crm_deal_stage_log_to_fk on crm_deal_stage_log is 'does not name an existing stage | is part of the history of deals';
select sys_append_only('crm_deal_stage_log', 'crm_deal', 'deal_id');
create index crm_deal_stage_log_deal on crm_deal_stage_log (deal_id);
create index crm_deal_stage_log_to on crm_deal_stage_log (to_stage);

-- required fields: all of them on entry; later none of them may be emptied
create function crm_deal_check_required(s crm_stage, was jsonb, now_is jsonb) returns void
language plpgsql as $$
declare
  f text;
begin
  foreach f in array s.requires || case when s.kind = 'won' then array['amount'] else '{}' end loop
    if now_is ->> f is null and (was is null or was ->> 'stage_id' <> now_is ->> 'stage_id' or was ->> f is not null) then
      perform app_fail('AP422', 'stage_requires', format('is required in the stage %s', s.name), f);
    end if;
  end loop;
end $$;
comment on function crm_deal_check_required(crm_stage, jsonb, jsonb) is 'refuses a deal without the fields its stage asks for';

-- part of the guard: what is true of a deal on entering a stage
create function crm_deal_enter(s crm_stage, d crm_deal) returns crm_deal
language plpgsql as $$
begin
  if s.kind <> 'lost' then
    d.lost_reason_id := null;
    d.lost_note := null;
  elsif not exists (select from crm_lost_reason where id = d.lost_reason_id and active) then
    perform app_fail('AP422', 'lost_reason', 'an active reason is needed when a deal is lost', 'lost_reason_id');
  end if;
  d.probability := s.probability;
  d.stage_entered_at := now();
  d.closed_at := case when s.kind <> 'open' then now() end;
  return d;
end $$;
comment on function crm_deal_enter(crm_stage, crm_deal) is 'a deal that has just entered a stage';

-- part of the guard: what may not change while a deal stays in its stage
create function crm_deal_stay(s crm_stage, was crm_deal, d crm_deal) returns crm_deal
language plpgsql as $$
begin
  if s.kind <> 'open' and d.probability is distinct from s.probability then
    perform app_fail('AP409', 'closed', 'A closed deal keeps its probability.', 'probability');
  end if;
  if s.kind = 'lost' and d.lost_reason_id is null then
    perform app_fail('AP422', 'lost_reason', 'a lost deal needs a reason', 'lost_reason_id');
  end if;
  if s.kind <> 'lost' and num_nonnulls(d.lost_reason_id, d.lost_note) > 0 then
    perform app_fail('AP422', 'not_lost', 'is only for a lost deal',
      case when d.lost_reason_id is null then 'lost_note' else 'lost_reason_id' end);
  end if;
  d.probability := coalesce(d.probability, s.probability);
  d.stage_entered_at := was.stage_entered_at;
  d.closed_at := was.closed_at;
  return d;
end $$;
comment on function crm_deal_stay(crm_stage, crm_deal, crm_deal) is 'a deal that changes inside its stage';

create function crm_deal_guard() returns trigger
language plpgsql as $$
declare
  s crm_stage;
  moves constant boolean := tg_op = 'INSERT' or new.stage_id is distinct from old.stage_id;
begin
  select * into s from crm_stage where id = new.stage_id;
  if s.pipeline_id is distinct from new.pipeline_id then
    perform app_fail('AP422', 'wrong_pipeline', 'does not name a stage of this pipeline', 'stage_id');
  end if;
  if (tg_op = 'INSERT' or new.pipeline_id <> old.pipeline_id)
    and not exists (select from crm_pipeline where id = new.pipeline_id and active) then
    perform app_fail('AP422', 'pipeline_inactive', 'does not name an active pipeline', 'pipeline_id');
  end if;
  if tg_op = 'UPDATE' and moves then
    perform app_require('deals.move');
  end if;
  if tg_op = 'UPDATE' and old.closed_at is not null and s.kind <> 'open'
    and (new.amount, new.currency, new.pipeline_id) is distinct from (old.amount, old.currency, old.pipeline_id) then
    perform app_fail('AP409', 'closed', 'A closed deal keeps amount, currency and pipeline; reopen it first.');
  end if;
  perform crm_deal_check_required(s, to_jsonb(old), to_jsonb(new));
  if tg_op = 'INSERT' then
    new.party_id := null;
  end if;
  if moves then
    return crm_deal_enter(s, new);
  end if;
  return crm_deal_stay(s, old, new);
end $$;
comment on function crm_deal_guard() is 'the stage rules';
create trigger a_owner before insert or update of owner_id on crm_deal
  for each row execute function crm_owner_guard('deals.reassign');
create trigger b_reference before insert or update of organization_id, contact_id on crm_deal
  for each row execute function crm_reference_guard();
create trigger c_action_only before update of party_id on crm_deal
  for each row execute function sys_action_only('party_id');
create trigger d_stage before insert or update on crm_deal
  for each row execute function crm_deal_guard();

-- runs as the owner of the tables: nobody may write the log or the events himself
create function crm_deal_log() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if tg_op = 'UPDATE' and new.stage_id = old.stage_id then
    return null;
  end if;
  insert into crm_deal_stage_log (deal_id, from_stage, to_stage, amount, seconds_in_previous)
  values (new.id, old.stage_id, new.stage_id, new.amount, extract(epoch from now() - old.stage_entered_at)::bigint);
  if exists (select from crm_stage where id = new.stage_id and kind = 'won') and not sys_emitted('crm.deal.won', 'crm_deal', new.id) then
    perform sys_emit('crm.deal.won', 'crm_deal', new.id, app_today(), null, new.party_id, new.amount, new.currency);
  end if;
  return null;
end $$;
comment on function crm_deal_log() is 'writes the stage log; the first time a deal is won is an event';
revoke all on function crm_deal_log() from public;
create trigger e_log after insert or update of stage_id on crm_deal
  for each row execute function crm_deal_log();

create function crm_deal_keep_closed() returns trigger
language plpgsql as $$
begin
  perform app_fail('AP409', 'closed', 'A closed deal cannot be deleted; reopen it first.');
  return null;
end $$;
comment on function crm_deal_keep_closed() is 'reports over the past do not change by deletion';
create trigger f_keep_closed before delete on crm_deal
  for each row when (old.closed_at is not null) execute function crm_deal_keep_closed();

-- Changing what a stage means would break the rules for the deals inside. The table lock waits for deals on their way into it.
create function crm_stage_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  lock table crm_deal in share row exclusive mode;
  if exists (select from crm_deal where stage_id = old.id) then
    perform app_fail('AP409', 'in_use', 'A stage that holds deals keeps its kind and pipeline.', 'kind');
  end if;
  return new;
end $$;
comment on function crm_stage_guard() is 'a stage that holds deals keeps its meaning';
revoke all on function crm_stage_guard() from public;
create trigger a_in_use before update of kind, pipeline_id on crm_stage
  for each row when ((old.kind, old.pipeline_id) is distinct from (new.kind, new.pipeline_id)) execute function crm_stage_guard();
