-- The second factor: time-based one-time passwords (RFC 6238), codes for who lost his device, and the account's wish that all have one.
-- It stands in the row of the password, so that whoever locks one sees both.

alter table sys_credential
  add column totp_sealed bytea,
  add column totp_confirmed_at timestamptz,
  add column totp_step bigint not null default 0,
  add constraint sys_credential_totp check (totp_confirmed_at is null or totp_sealed is not null);
comment on column sys_credential.totp_sealed is 'encrypted by the service for this user of this tenant';
comment on column sys_credential.totp_confirmed_at is 'from here on the factor counts; null = none, or being set up';
comment on column sys_credential.totp_step is 'the last time step whose code was taken: each is good once';

create table sys_recovery_code (
  user_id uuid not null,
  code_hash bytea not null,
  constraint sys_recovery_code_pk primary key (user_id, code_hash),
  constraint sys_recovery_code_hash check (octet_length(code_hash) = 32),
  constraint sys_recovery_code_user_fk foreign key (user_id) references sys_user on delete cascade
);
comment on table sys_recovery_code is 'SHA-256 of codes in place of the second factor; a used one is gone; granted to nobody';

-- whether somebody has a factor is a question of rights, where the account wants one
create trigger zz_access_factor after update of totp_confirmed_at on sys_credential
  for each statement execute function access_changed();

-- what somebody wrote under this key before it meant anything keeps nobody from the newest version
delete from sys_setting where key = 'security.require_second_factor' and jsonb_typeof(value) <> 'boolean';
alter table sys_setting add constraint sys_setting_require_second_factor
  check (key <> 'security.require_second_factor' or jsonb_typeof(value) = 'boolean');
comment on constraint sys_setting_require_second_factor on sys_setting is 'must be true or false';
create trigger zz_access_made after insert on sys_setting
  for each row when (new.key = 'security.require_second_factor') execute function access_changed();
create trigger zz_access_set after update on sys_setting
  for each row when (old.key = 'security.require_second_factor' or new.key = 'security.require_second_factor')
  execute function access_changed();
create trigger zz_access_gone after delete on sys_setting
  for each row when (old.key = 'security.require_second_factor') execute function access_changed();

create function sys_factor_required() returns boolean
language sql stable as $$
  select exists (select from sys_setting where key = 'security.require_second_factor' and value = 'true')
$$;
comment on function sys_factor_required() is 'does the account want a second factor of everybody';
revoke all on function sys_factor_required() from public;

create function sys_prove(p_user uuid, p_password_hash text, p_step bigint, p_recovery bytea) returns boolean
language plpgsql set search_path from current as $$
declare
  c sys_credential;
begin
  select * into c from sys_credential where user_id = p_user for update;
  if c.user_id is null or c.password_hash <> p_password_hash then
    return false;
  end if;
  if c.totp_confirmed_at is null then
    return p_step is null and p_recovery is null;
  end if;
  if p_step is not null then
    update sys_credential set totp_step = p_step where user_id = p_user and totp_step < p_step;
  else
    delete from sys_recovery_code where user_id = p_user and code_hash = p_recovery;
  end if;
  return found;
end $$;
comment on function sys_prove(uuid, text, bigint, bytea)
  is 'is this still the password, and is the code of this time step, or this recovery code, good; then it is used up';
revoke all on function sys_prove(uuid, text, bigint, bytea) from public;

create function sys_totp_confirm(p_user uuid, p_session uuid, p_sealed bytea, p_step bigint, p_codes bytea[]) returns boolean
language plpgsql set search_path from current as $$
begin
  update sys_credential set totp_confirmed_at = now(), totp_step = p_step
    where user_id = p_user and totp_sealed = p_sealed and totp_confirmed_at is null;
  if not found then
    return false;
  end if;
  perform sys_recovery_codes_set(p_user, p_codes);
  update sys_session set revoked_at = now() where user_id = p_user and id <> p_session and revoked_at is null;
  return true;
end $$;
comment on function sys_totp_confirm(uuid, uuid, bytea, bigint, bytea[])
  is 'makes a factor count that is being set up; sessions that were opened without it end, but for the one that set it up';
revoke all on function sys_totp_confirm(uuid, uuid, bytea, bigint, bytea[]) from public;

create function sys_recovery_codes_set(p_user uuid, p_codes bytea[]) returns void
language plpgsql set search_path from current as $$
begin
  delete from sys_recovery_code where user_id = p_user;
  insert into sys_recovery_code (user_id, code_hash) select p_user, unnest(p_codes);
end $$;
comment on function sys_recovery_codes_set(uuid, bytea[]) is 'makes these the recovery codes of a user, all of them';
revoke all on function sys_recovery_codes_set(uuid, bytea[]) from public;

create function sys_totp_forget(p_user uuid) returns void
language plpgsql set search_path from current as $$
begin
  update sys_credential set totp_sealed = null, totp_confirmed_at = null, totp_step = 0 where user_id = p_user;
  perform sys_recovery_codes_set(p_user, '{}');
end $$;
comment on function sys_totp_forget(uuid) is 'takes the second factor off';
revoke all on function sys_totp_forget(uuid) from public;

create function sys_factor_change(p_user uuid, p_password_hash text, p_step bigint, p_recovery bytea, p_codes bytea[]) returns boolean
language plpgsql set search_path from current as $$
begin
  if num_nonnulls(p_step, p_recovery) <> 1 or not sys_prove(p_user, p_password_hash, p_step, p_recovery) then
    return false;
  end if;
  if p_codes is null then
    perform sys_totp_forget(p_user);
  else
    perform sys_recovery_codes_set(p_user, p_codes);
  end if;
  return true;
end $$;
comment on function sys_factor_change(uuid, text, bigint, bytea, bytea[])
  is 'for who proves his second factor: gives him other recovery codes, or without any takes it off';
revoke all on function sys_factor_change(uuid, text, bigint, bytea, bytea[]) from public;

-- action users.reset_totp
create function sys_user_reset_totp(id uuid, input jsonb) returns jsonb
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
    perform app_fail('AP409', 'own_account', 'Take off your own second factor with your password and a code.');
  end if;
  perform sys_outranks(u.id);
  perform from sys_credential where user_id = u.id and totp_sealed is not null for update;
  if not found then
    perform app_fail('AP409', 'no_second_factor', 'The user has no second factor.');
  end if;
  perform sys_totp_forget(u.id);
  update sys_session set revoked_at = now() where user_id = u.id and revoked_at is null;
  return to_jsonb(u);
end $$;
comment on function sys_user_reset_totp(uuid, jsonb) is 'takes off the second factor of who lost it, and ends his sessions';
revoke all on function sys_user_reset_totp(uuid, jsonb) from public;

-- an operator who works as a user leaves factors, and what the account asks of them, alone
create trigger in_person before insert or update or delete on sys_recovery_code
  for each statement execute function sys_in_person();

create function sys_security_in_person() returns trigger
language plpgsql as $$
begin
  if insula.app_impersonator() is not null and (new.key like 'security.%' or old.key like 'security.%') then
    perform insula.app_fail('AP403', 'not_while_impersonating', 'An operator who works as a user cannot change this.');
  end if;
  return coalesce(new, old);
end $$;
comment on function sys_security_in_person() is 'before each row: refuses operators who work as a user the settings of security';
create trigger in_person before insert or update or delete on sys_setting
  for each row execute function sys_security_in_person();
