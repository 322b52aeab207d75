-- Pipelines, their stages, and the reasons why deals are lost.

create table crm_pipeline (
  id uuid primary key default uuid_v7(),
  name text not null,
  is_default boolean not null default false,
  active boolean not null default true,
  constraint crm_pipeline_name check (length(btrim(name)) between 1 and 100),
  constraint crm_pipeline_name_key unique (name),
  constraint crm_pipeline_default_active check (active or not is_default)
);
comment on table crm_pipeline is 'ways a deal can go, each with its stages';
comment on constraint crm_pipeline_name on crm_pipeline is 'must have 1 to 100 characters';
comment on constraint crm_pipeline_name_key on crm_pipeline is 'is already used by another pipeline';
comment on constraint crm_pipeline_default_active on crm_pipeline is 'must stay active while it is the default pipeline';
select sys_std('crm_pipeline');
create unique index crm_pipeline_default on crm_pipeline (is_default) where is_default;
comment on index crm_pipeline_default is 'is already set on another pipeline';

-- the new default takes the mark from the old one, so that changing it is one write
create function crm_pipeline_one_default() returns trigger
language plpgsql as $$
begin
  update crm_pipeline set is_default = false where is_default and id <> new.id;
  return new;
end $$;
comment on function crm_pipeline_one_default() is 'there is one default pipeline';
create trigger a_default before insert or update of is_default on crm_pipeline
  for each row when (new.is_default) execute function crm_pipeline_one_default();

create table crm_stage (
  id uuid primary key default uuid_v7(),
  pipeline_id uuid not null,
  name text not null,
  position int not null,
  kind text not null default 'open',
  probability numeric(5,2) not null,
  requires text[] not null default '{}',
  stale_days int not null default 14,
  constraint crm_stage_pipeline_fk foreign key (pipeline_id) references crm_pipeline,
  constraint crm_stage_id_pipeline_key unique (id, pipeline_id),
  constraint crm_stage_name check (length(btrim(name)) between 1 and 100),
  constraint crm_stage_name_key unique (pipeline_id, name),
  constraint crm_stage_position_key unique (pipeline_id, position) deferrable,
  constraint crm_stage_kind check (kind in ('open', 'won', 'lost')),
  constraint crm_stage_probability check (probability between 0 and 100),
  constraint crm_stage_closed_probability check (kind = 'open' or probability = case kind when 'won' then 100 else 0 end),
  constraint crm_stage_requires check (requires <@ array['amount', 'expected_close', 'contact_id', 'organization_id']),
  constraint crm_stage_stale_days check (stale_days > 0)
);
comment on table crm_stage is 'stages of a pipeline; requires names the fields that a deal needs to enter';
comment on constraint crm_stage_pipeline_fk on crm_stage is 'does not name an existing pipeline | still has stages';
comment on constraint crm_stage_name on crm_stage is 'must have 1 to 100 characters';
comment on constraint crm_stage_name_key on crm_stage is 'is already used by another stage of this pipeline';
comment on constraint crm_stage_position_key on crm_stage is 'is already taken by another stage of this pipeline';
comment on constraint crm_stage_kind on crm_stage is 'must be open, won or lost';
comment on constraint crm_stage_probability on crm_stage is 'must be from 0 to 100';
comment on constraint crm_stage_closed_probability on crm_stage is 'must be 100 in a won stage and 0 in a lost one';
comment on constraint crm_stage_requires on crm_stage is 'may name amount, expected_close, contact_id and organization_id';
comment on constraint crm_stage_stale_days on crm_stage is 'must be at least 1';
select sys_std('crm_stage');

create table crm_lost_reason (
  id uuid primary key default uuid_v7(),
  name text not null,
  active boolean not null default true,
  constraint crm_lost_reason_name check (length(btrim(name)) between 1 and 100),
  constraint crm_lost_reason_name_key unique (name)
);
comment on table crm_lost_reason is 'reasons why deals are lost';
comment on constraint crm_lost_reason_name on crm_lost_reason is 'must have 1 to 100 characters';
comment on constraint crm_lost_reason_name_key on crm_lost_reason is 'is already used by another reason';
select sys_std('crm_lost_reason');

create function crm_default_pipeline() returns uuid
language sql stable as $$
  select id from crm_pipeline where is_default
$$;
comment on function crm_default_pipeline() is 'where a deal begins when nobody says';

create function crm_default_stage() returns uuid
language sql stable as $$
  select id from crm_stage where pipeline_id = crm_default_pipeline() and kind = 'open' order by position limit 1
$$;
comment on function crm_default_stage() is 'the first open stage of the default pipeline';

insert into crm_pipeline (name, is_default) values ('Sales', true);
insert into crm_stage (pipeline_id, position, name, kind, probability, requires, stale_days)
select p.id, s.position, s.name, s.kind, s.probability, s.requires::text[], s.stale_days
from crm_pipeline p
cross join (values
  (1, 'New', 'open', 10, '{}', 7),
  (2, 'Qualified', 'open', 25, '{contact_id}', 14),
  (3, 'Proposal', 'open', 50, '{amount,contact_id}', 14),
  (4, 'Negotiation', 'open', 75, '{amount,contact_id,expected_close}', 10),
  (5, 'Won', 'won', 100, '{amount}', 30),
  (6, 'Lost', 'lost', 0, '{}', 30)
) s (position, name, kind, probability, requires, stale_days);
insert into crm_lost_reason (name)
values ('Price too high'), ('Chose a competitor'), ('No budget'), ('No decision'), ('Missing feature'), ('Bad timing');
