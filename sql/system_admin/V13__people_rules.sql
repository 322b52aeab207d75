-- Who may give whom which rights: nobody gives or takes what he does not hold himself, and an account always has an owner.

create function sys_holds_role(p_role uuid) returns boolean
language sql stable as $$
  select not exists (select from sys_role_grant g where g.role_id = p_role and not sys_holds(g.permission))
$$;
comment on function sys_holds_role(uuid) is 'does the caller hold every permission of a role at this moment';

create function sys_outranks(p_user uuid) returns void
language plpgsql as $$
begin
  if exists (select from sys_user_role ur where ur.user_id = p_user and not sys_holds_role(ur.role_id)) then
    perform app_fail('AP403', 'outranked', 'This user may do more than you.');
  end if;
end $$;
comment on function sys_outranks(uuid) is 'refuses to act on a user who may do more than the caller';

create table sys_gate (
  name text not null,
  passed_at timestamptz not null default now(),
  constraint sys_gate_pk primary key (name)
);
comment on table sys_gate is 'what only one may do at a time; passing writes the row, so that who waited with an old view of things is refused (40001)';
insert into sys_gate (name) values ('rights');

create function sys_change_rights(p text) returns void
language plpgsql as $$
begin
  perform app_require(p);
  update sys_gate set passed_at = clock_timestamp() where name = 'rights';
  if not sys_holds(p) then
    perform app_fail('AP403', 'forbidden', format('This needs the permission %s.', p));
  end if;
end $$;
comment on function sys_change_rights(text)
  is 'first of all changes of rights: one after the other, each by who still has the permission when it is his turn';

create function sys_keep_an_owner() returns void
language plpgsql as $$
begin
  if not exists (
    select from sys_user u
    join sys_user_role ur on ur.user_id = u.id
    join sys_role r on r.id = ur.role_id
    where r.code = 'owner' and u.state = 'active')
  then
    perform app_fail('AP409', 'last_owner', 'The account needs an active owner.');
  end if;
end $$;
comment on function sys_keep_an_owner() is 'refuses to leave the account without an active owner';

-- Packs know their roles by the code; the rest of a role is the tenant's. What the service does by itself is not a user's doing.
create function sys_role_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if app_uid() is null then
    return coalesce(new, old);
  end if;
  if tg_op = 'UPDATE' and new.code <> old.code and old.from_pack is not null then
    perform app_fail('AP409', 'pack_role', 'cannot be changed, because a module brought the role', 'code');
  end if;
  if tg_op = 'DELETE' and old.from_pack is not null then
    perform app_fail('AP409', 'pack_role', 'A role that a module brought cannot be removed.');
  end if;
  if not sys_holds_role(old.id) then
    perform app_fail('AP403', 'not_held', 'This role may do more than you.');
  end if;
  return coalesce(new, old);
end $$;
comment on function sys_role_guard() is 'before update and delete of roles: who may change which, and what stays';
revoke all on function sys_role_guard() from public;
create trigger guard before update or delete on sys_role
  for each row execute function sys_role_guard();
alter table sys_role add constraint sys_role_name check (length(btrim(name)) between 1 and 100);
comment on constraint sys_role_name on sys_role is 'must have 1 to 100 characters';

create function sys_user_guard() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if app_uid() is not null and app_uid() <> old.id then
    perform sys_outranks(old.id);
  end if;
  return new;
end $$;
comment on function sys_user_guard() is 'before update of a user''s names: not of one who may do more';
revoke all on function sys_user_guard() from public;
create trigger guard before update of first_name, last_name on sys_user
  for each row execute function sys_user_guard();

create function sys_role_set_grants(p_role uuid, p_codes text[]) returns jsonb
language plpgsql security definer set search_path from current as $$
declare
  r sys_role;
  strange text;
begin
  perform sys_change_rights('roles.manage');
  select * into r from sys_role where id = p_role for update;
  if r.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if r.code = 'owner' then
    perform app_fail('AP409', 'owner_role', 'The owners always may do everything.');
  end if;
  select c.code into strange
    from (select permission as code from sys_role_grant where role_id = r.id union select unnest(p_codes)) c
    where (c.code = any (p_codes)) <> exists (select from sys_role_grant where role_id = r.id and permission = c.code)
      and not sys_holds(c.code)
    order by c.code
    limit 1;
  if strange is not null then
    perform app_fail('AP403', 'not_held', format('You cannot give or take `%s`, which you do not have.', strange));
  end if;
  delete from sys_role_grant where role_id = r.id and permission <> all (p_codes);
  insert into sys_role_grant (role_id, permission)
    select distinct r.id, c.code from unnest(p_codes) c(code)
    on conflict on constraint sys_role_grant_key do nothing;
  return sys_role_grants(r.id);
end $$;
comment on function sys_role_set_grants(uuid, text[]) is 'makes these the permissions of a role, all of them';
revoke all on function sys_role_set_grants(uuid, text[]) from public;

create function sys_role_grants(p_role uuid) returns jsonb
language sql stable security definer set search_path from current as $$
  select jsonb_build_object(
    'role', jsonb_build_object('id', r.id, 'code', r.code, 'name', r.name),
    'grants', coalesce((select jsonb_agg(g.permission order by g.permission) from sys_role_grant g where g.role_id = r.id), '[]'))
  from sys_role r
  where r.id = p_role and app_has('roles.manage')
$$;
comment on function sys_role_grants(uuid) is 'a role and its permissions';
revoke all on function sys_role_grants(uuid) from public;

-- action users.set_roles
create function sys_user_set_roles(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  u sys_user;
  codes text[];
  strange text;
begin
  perform sys_change_rights('users.manage');
  select * into u from sys_user where id = $1 for update;
  if u.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if jsonb_typeof(input -> 'roles') <> 'array' or jsonb_path_exists(input, '$.roles[*] ? (@.type() != "string")') then
    perform app_fail('AP422', 'invalid_type', 'must be a list of codes of roles', 'roles');
  end if;
  codes := array(select jsonb_array_elements_text(input -> 'roles'));
  select c.code into strange from unnest(codes) c(code) where not exists (select from sys_role r where r.code = c.code) limit 1;
  if strange is not null then
    perform app_fail('AP422', 'unknown_reference', format('names no role: `%s`', strange), 'roles');
  end if;
  select r.code into strange
    from sys_role r
    where (r.code = any (codes)) <> exists (select from sys_user_role ur where ur.user_id = u.id and ur.role_id = r.id)
      and not sys_holds_role(r.id)
    order by r.code
    limit 1;
  if strange is not null then
    perform app_fail('AP403', 'not_held', format('You cannot give or take the role `%s`, which may do more than you.', strange));
  end if;
  delete from sys_user_role ur using sys_role r where ur.user_id = u.id and r.id = ur.role_id and r.code <> all (codes);
  insert into sys_user_role (user_id, role_id)
    select u.id, r.id from sys_role r where r.code = any (codes)
    on conflict on constraint sys_user_role_pkey do nothing;
  perform sys_keep_an_owner();
  return to_jsonb(u);
end $$;
comment on function sys_user_set_roles(uuid, jsonb) is 'makes these the roles of a user, all of them';
revoke all on function sys_user_set_roles(uuid, jsonb) from public;

-- action users.deactivate
create function sys_user_deactivate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  u sys_user;
begin
  perform sys_change_rights('users.manage');
  select * into u from sys_user where id = $1 for update;
  if u.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if u.id = app_uid() then
    perform app_fail('AP409', 'own_account', 'You cannot deactivate yourself.');
  end if;
  if u.state = 'disabled' then
    perform app_fail('AP409', 'inactive', 'The user is already inactive.');
  end if;
  perform sys_outranks(u.id);
  update sys_user set state = 'disabled' where id = u.id returning * into u;
  update sys_session set revoked_at = now() where user_id = u.id and revoked_at is null;
  perform sys_keep_an_owner();
  return to_jsonb(u);
end $$;
comment on function sys_user_deactivate(uuid, jsonb) is 'shuts a user out at once; records keep his name';
revoke all on function sys_user_deactivate(uuid, jsonb) from public;

-- action users.reactivate
create function sys_user_reactivate(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  u sys_user;
begin
  perform sys_change_rights('users.manage');
  select * into u from sys_user where id = $1 for update;
  if u.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if u.state <> 'disabled' then
    perform app_fail('AP409', 'active', 'The user is already active.');
  end if;
  perform sys_outranks(u.id);
  update sys_user set state = 'active' where id = u.id returning * into u;
  return to_jsonb(u);
end $$;
comment on function sys_user_reactivate(uuid, jsonb) is 'lets a user in again, with the roles that he had';
revoke all on function sys_user_reactivate(uuid, jsonb) from public;

-- action users.transfer_ownership: the caller, an owner, becomes an administrator
create function sys_user_transfer_ownership(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  u sys_user;
  owner uuid := (select r.id from sys_role r where r.code = 'owner');
begin
  perform sys_change_rights('users.manage');
  if not exists (select from sys_user_role ur where ur.user_id = app_uid() and ur.role_id = owner) then
    perform app_fail('AP403', 'not_owner', 'Only an owner can transfer the ownership.');
  end if;
  select * into u from sys_user where id = $1 for update;
  if u.id is null then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if u.id = app_uid() then
    perform app_fail('AP409', 'own_account', 'You are the owner already.');
  end if;
  if u.state <> 'active' then
    perform app_fail('AP409', 'inactive', 'The user is inactive.');
  end if;
  insert into sys_user_role (user_id, role_id) values (u.id, owner) on conflict on constraint sys_user_role_pkey do nothing;
  delete from sys_user_role where user_id = app_uid() and role_id = owner;
  insert into sys_user_role (user_id, role_id)
    select app_uid(), r.id from sys_role r where r.code = 'admin'
    on conflict on constraint sys_user_role_pkey do nothing;
  return to_jsonb(u);
end $$;
comment on function sys_user_transfer_ownership(uuid, jsonb) is 'makes another user the owner in place of the caller';
revoke all on function sys_user_transfer_ownership(uuid, jsonb) from public;
