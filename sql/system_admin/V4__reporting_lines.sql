-- Reporting lines: the "team" scope of crm, hrms and sales_distribution.

create table sys_org_edge (
  user_id uuid primary key,
  manager_id uuid not null,
  constraint sys_org_edge_manager check (user_id <> manager_id),
  constraint sys_org_edge_user_fk foreign key (user_id) references sys_user on delete cascade,
  constraint sys_org_edge_manager_fk foreign key (manager_id) references sys_user
);
comment on table sys_org_edge is 'who reports to whom';
comment on constraint sys_org_edge_pkey on sys_org_edge is 'already has a manager';
comment on constraint sys_org_edge_manager on sys_org_edge is 'cannot be the user himself';
comment on constraint sys_org_edge_user_fk on sys_org_edge is 'does not name an existing user';
comment on constraint sys_org_edge_manager_fk on sys_org_edge is 'does not name an existing user | is still the manager of users';
select sys_std('sys_org_edge');
create index sys_org_edge_manager_id on sys_org_edge (manager_id);

create function sys_team(root uuid) returns table (user_id uuid)
language sql stable as $$
  with recursive team (u) as (
    select root
    union
    select e.user_id from sys_org_edge e join team on e.manager_id = team.u
  )
  select u from team
$$;
comment on function sys_team(uuid) is 'a user and everybody below, at any depth';

-- one lock for the whole tree: two changes at a time could close a loop that neither sees
create function sys_org_acyclic() returns trigger
language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(tg_table_schema || '.sys_org_edge', 0));
  if exists (
    with recursive up (u) as (
      select new.manager_id
      union
      select e.manager_id from sys_org_edge e join up on e.user_id = up.u
    )
    select from up where u = new.user_id) then
    perform app_fail('AP422', 'org_cycle', 'would make the reporting lines a loop', 'manager_id');
  end if;
  return new;
end $$;
comment on function sys_org_acyclic() is 'refuses a reporting line that closes a loop';
create trigger a_cycle before insert or update on sys_org_edge
  for each row execute function sys_org_acyclic();
