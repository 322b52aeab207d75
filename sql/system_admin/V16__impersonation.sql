-- Operators who work as a user: for half an hour at most, with a reason that the account sees, and never on what decides who may do what.

alter table sys_session
  add impersonated_by uuid,
  add impersonator_email text,
  add impersonation_reason text,
  add constraint sys_session_impersonation check (num_nulls(impersonated_by, impersonator_email, impersonation_reason) in (0, 3)),
  add constraint sys_session_impersonation_reason check (length(btrim(impersonation_reason)) between 10 and 500),
  add constraint sys_session_impersonation_life check (impersonated_by is null or expires_at <= created_at + interval '30 minutes');
comment on column sys_session.impersonated_by is 'the operator of the platform who works as the user; null for the user himself';
comment on column sys_session.impersonator_email is 'his address';
comment on column sys_session.impersonation_reason is 'why he does';
comment on constraint sys_session_impersonation_reason on sys_session is 'must have 10 to 500 characters';
comment on constraint sys_session_impersonation_life on sys_session is 'must end within 30 minutes';

-- names its helpers in full: whoever writes these tables by hand has a search path of his own
create function sys_in_person() returns trigger
language plpgsql as $$
begin
  if insula.app_impersonator() is not null then
    perform insula.app_fail('AP403', 'not_while_impersonating', 'An operator who works as a user cannot change this.');
  end if;
  return null;
end $$;
comment on function sys_in_person() is 'before each statement: refuses operators who work as a user';

-- The gate is passed by every change of rights; the tables are guarded besides, whichever way leads to them.
create trigger in_person before update on sys_gate
  for each statement execute function sys_in_person();
create trigger in_person before update of email, state on sys_user
  for each statement execute function sys_in_person();
create trigger in_person before insert or update or delete on sys_credential
  for each statement execute function sys_in_person();
create trigger in_person before insert or update or delete on sys_role
  for each statement execute function sys_in_person();
create trigger in_person before insert or update or delete on sys_role_grant
  for each statement execute function sys_in_person();
create trigger in_person before insert or update or delete on sys_user_role
  for each statement execute function sys_in_person();
create trigger in_person before insert or update of revoked_at, expires_at or delete on sys_session
  for each statement execute function sys_in_person();
create trigger in_person before insert or update of revoked_at or delete on sys_api_key
  for each statement execute function sys_in_person();
