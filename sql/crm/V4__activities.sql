-- Calls, meetings, e-mails, tasks and notes.

create table crm_activity (
  id uuid primary key default uuid_v7(),
  kind text not null,
  subject text not null,
  body text,
  due_at timestamptz,
  done_at timestamptz,
  outcome text,
  owner_id uuid not null default app_uid(),
  deal_id uuid,
  contact_id uuid,
  organization_id uuid,
  constraint crm_activity_kind check (kind in ('call', 'meeting', 'email', 'task', 'note')),
  constraint crm_activity_subject check (length(btrim(subject)) between 1 and 200),
  constraint crm_activity_about check (num_nonnulls(deal_id, contact_id, organization_id) >= 1),
  constraint crm_activity_outcome check (done_at is null or kind not in ('call', 'meeting') or outcome is not null),
  constraint crm_activity_note check (kind <> 'note' or done_at is not null),
  constraint crm_activity_task check (kind <> 'task' or due_at is not null),
  constraint crm_activity_deal_fk foreign key (deal_id) references crm_deal,
  constraint crm_activity_contact_fk foreign key (contact_id) references crm_contact,
  constraint crm_activity_organization_fk foreign key (organization_id) references crm_organization,
  constraint crm_activity_owner_fk foreign key (owner_id) references sys_user
);
comment on table crm_activity is 'what was done and what is to do; done_at is empty while it is open';
comment on constraint crm_activity_kind on crm_activity is 'must be call, meeting, email, task or note';
comment on constraint crm_activity_subject on crm_activity is 'must have 1 to 200 characters';
comment on constraint crm_activity_about on crm_activity is 'one of deal, contact and organization is needed';
comment on constraint crm_activity_outcome on crm_activity is 'is needed when a call or meeting is done';
comment on constraint crm_activity_note on crm_activity is 'is always set on a note';
comment on constraint crm_activity_task on crm_activity is 'is needed for a task';
comment on constraint crm_activity_deal_fk on crm_activity is 'does not name an existing deal | is still used by activities';
comment on constraint crm_activity_contact_fk on crm_activity is 'does not name an existing contact | is still used by activities';
comment on constraint crm_activity_organization_fk on crm_activity is 'does not name an existing organization | is still used by activities';
comment on constraint crm_activity_owner_fk on crm_activity is 'does not name an existing user | still owns activities';
select sys_std('crm_activity');
create index crm_activity_open on crm_activity (owner_id, due_at) where done_at is null;
create index crm_activity_owner on crm_activity (owner_id);
create index crm_activity_deal on crm_activity (deal_id);
create index crm_activity_contact on crm_activity (contact_id);
create index crm_activity_organization on crm_activity (organization_id);

create function crm_activity_note() returns trigger
language plpgsql as $$
begin
  new.done_at := now();
  return new;
end $$;
comment on function crm_activity_note() is 'a note is done when it is written';
create trigger a_owner before insert or update of owner_id on crm_activity
  for each row execute function crm_owner_guard();
create trigger b_reference before insert or update of deal_id, contact_id, organization_id on crm_activity
  for each row execute function crm_reference_guard();
create trigger c_note before insert or update on crm_activity
  for each row when (new.kind = 'note' and new.done_at is null) execute function crm_activity_note();

-- runs as the owner of the tables: open work goes along also when the giver of the deal does not see all of it
create function crm_deal_handover() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  update crm_activity set owner_id = new.owner_id where deal_id = new.id and done_at is null and owner_id <> new.owner_id;
  return null;
end $$;
comment on function crm_deal_handover() is 'open activities follow their deal to its new owner';
revoke all on function crm_deal_handover() from public;
create trigger g_handover after update of owner_id on crm_deal
  for each row when (old.owner_id <> new.owner_id) execute function crm_deal_handover();
