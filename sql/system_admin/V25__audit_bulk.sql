-- A transaction that made many entries seals them by one statement, and sealing no longer compares each entry with itself.

create or replace function sys_audit_seal() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  head sys_audit_head;
  e record;
  ids bigint[] := '{}';
  hashes bytea[] := '{}';
begin
  select * into head from sys_audit_head for update;
  for e in select * from sys_audit_event where seq is null order by id loop
    head.hash := sha256(head.hash || convert_to(jsonb_build_array(head.seq + 1 + cardinality(ids), audit_text(e.at), e.actor_id,
      e.impersonator, e.action, e.through, e.object_type, e.object_id, e.before, e.after, e.request_id, host(e.address))::text, 'UTF8'));
    ids := ids || e.id;
    hashes := hashes || head.hash;
  end loop;
  -- what another statement of the transaction made was numbered with that of the first
  if ids <> '{}' then
    update sys_audit_event u set seq = head.seq + n.place, hash = n.hash
      from unnest(ids, hashes) with ordinality n(id, hash, place) where u.id = n.id and u.seq is null;
    update sys_audit_head set seq = head.seq + cardinality(ids), hash = head.hash;
  end if;
  return null;
end $$;

drop trigger guard on sys_audit_event;
create trigger guard before update on sys_audit_event for each row
  when (old.seq is not null
    or (old.id, old.at, old.actor_id, old.impersonator, old.action, old.through, old.object_type, old.object_id, old.before, old.after,
        old.request_id, old.address, old.line)
      is distinct from
       (new.id, new.at, new.actor_id, new.impersonator, new.action, new.through, new.object_type, new.object_id, new.before, new.after,
        new.request_id, new.address, new.line))
  execute function audit_guard();
create trigger guard_delete before delete on sys_audit_event for each row execute function audit_guard();
