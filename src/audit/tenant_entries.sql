select e.seq, coalesce(e.hash, ''), jsonb_build_array(e.seq, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), e.actor_id,
  e.impersonator, e.action, e.through, e.object_type, e.object_id, e.before, e.after, e.request_id, host(e.address))::text
from sys_audit_event e
where e.seq > $1
order by e.seq
limit $2
