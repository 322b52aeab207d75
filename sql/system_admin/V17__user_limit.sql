-- How many users there may be. The plan says so, the service tells each transaction, and one row counts: who takes a place waits for the
-- row, so that never more are taken than there are.

alter table sys_user drop constraint sys_user_state;
alter table sys_user add constraint sys_user_state check (state in ('invited', 'active', 'disabled'));
comment on constraint sys_user_state on sys_user is 'must be invited, active or disabled';

create table sys_place (
  kind text not null,
  taken int not null,
  constraint sys_place_pk primary key (kind),
  constraint sys_place_taken check (taken >= 0)
);
comment on table sys_place is 'how many there are of what the plan limits, kept by triggers';
insert into sys_place (kind, taken) select 'users', count(*) from sys_user where state <> 'disabled';

create function sys_user_takes_place() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  more constant int := (tg_op <> 'DELETE' and new.state <> 'disabled')::int - (tg_op <> 'INSERT' and old.state <> 'disabled')::int;
  most constant int := nullif(current_setting('app.user_limit', true), '')::int;
begin
  if more = 0 then
    return null;
  end if;
  update sys_place set taken = taken + more where kind = 'users' and (more < 0 or most is null or taken < most);
  if not found then
    perform app_fail('AP403', 'user_limit_reached',
      format('Your plan allows %s users, and there are as many. Deactivate one of them, or choose a larger plan.', most));
  end if;
  return null;
end $$;
comment on function sys_user_takes_place() is 'after a change of state: who is active or invited takes a place, unless none is left';
revoke all on function sys_user_takes_place() from public;
create trigger place after insert or delete or update of state on sys_user
  for each row execute function sys_user_takes_place();
