-- Lines go with their draft. PostgreSQL puts AFTER triggers of a cascade off to the end of the statement, where they run with the rights of
-- who deleted the draft, to whom it looks hidden: sys_freeze_child refused every draft with lines. A BEFORE trigger runs inside the cascade,
-- as the owner of the table, whom row security does not bind.
create function sys_freeze_line() returns trigger
language plpgsql as $$
declare
  parent constant text := format('%I.%I', tg_table_schema, tg_argv[0]);
  parent_state text;
begin
  execute format('select state from %s where id = $1 for no key update', parent)
    into parent_state using (to_jsonb(old) ->> tg_argv[1])::uuid;
  if parent_state is null and row_security_active(parent) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if parent_state <> all (string_to_array(tg_argv[2], ',')) then
    perform app_fail('AP409', 'parent_frozen', format('The lines cannot be changed once the document is %s.', parent_state));
  end if;
  return old;
end $$;
comment on function sys_freeze_line()
  is 'before delete: lines of a document in a final state stay. Arguments: parent table, foreign key column, states of the parent in which they go';
revoke all on function sys_freeze_line() from public;
