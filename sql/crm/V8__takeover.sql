-- Who sees a record only through a contact or a deal does not make it his own, and a stage asks for a field once.

-- The old owner is asked about only where somebody names a new one himself: open activities follow their deal by a trigger, also those
-- of people whom the giver of the deal does not see.
create or replace function crm_owner_guard() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.owner_id = old.owner_id then
    return new;
  end if;
  if tg_op = 'UPDATE' and tg_nargs > 0 then
    perform app_require(tg_argv[0]);
  end if;
  if tg_op = 'UPDATE' and pg_trigger_depth() = 1 and not crm_sees(old.owner_id) then
    perform app_fail('AP403', 'outside_scope', 'Only who sees the records of the owner may name another one.', 'owner_id');
  end if;
  if not crm_sees(new.owner_id) then
    perform app_fail('AP403', 'outside_scope', 'The owner must be you or somebody whose records you see.', 'owner_id');
  end if;
  if not sys_user_active(new.owner_id) then
    perform app_fail('AP422', 'owner_inactive', 'does not name an active user', 'owner_id');
  end if;
  return new;
end $$;
comment on function crm_owner_guard() is 'the owner of a record, old and new, is inside the scope of the writer, and the new one is active';

update crm_stage
set requires = (select array_agg(distinct field) from unnest(requires) field)
where cardinality(requires) > (select count(distinct field) from unnest(requires) field);

alter table crm_stage add constraint crm_stage_requires_once check (
  cardinality(requires) = ('amount' = any (requires))::int + ('expected_close' = any (requires))::int
    + ('contact_id' = any (requires))::int + ('organization_id' = any (requires))::int);
comment on constraint crm_stage_requires_once on crm_stage is 'may name each field once';
