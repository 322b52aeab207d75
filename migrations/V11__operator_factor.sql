-- The second factor of operators, as users of tenants have it.

alter table public.operators
  add column totp_sealed bytea,
  add column totp_confirmed_at timestamptz,
  add column totp_step bigint not null default 0,
  add constraint operators_totp_whole check (totp_confirmed_at is null or totp_sealed is not null);
comment on column public.operators.totp_sealed is 'Encrypted secret of the one-time passwords (RFC 6238); associated data = the operator''s key';
comment on column public.operators.totp_confirmed_at is 'From here on signing in needs a code; null = not';
comment on column public.operators.totp_step is 'The last time step whose code was taken: each is good once';

create table public.operator_recovery_codes (
  operator_id uuid  not null,
  code_hash   bytea not null,
  constraint operator_recovery_codes_pk primary key (operator_id, code_hash),
  constraint operator_recovery_codes_hash check (octet_length(code_hash) = 32),
  constraint operator_recovery_codes_operator_fk foreign key (operator_id) references public.operators (id) on delete cascade
);
comment on table public.operator_recovery_codes is 'SHA-256 of codes in place of an operator''s second factor; a used one is gone';

create function public.operator_prove(p_operator uuid, p_password_hash text, p_step bigint, p_recovery bytea) returns boolean
language plpgsql as $$
declare
  o public.operators;
begin
  select * into o from public.operators where id = p_operator for update;
  if o.id is null or o.state <> 'active' or o.password_hash <> p_password_hash then
    return false;
  end if;
  if o.totp_confirmed_at is null then
    return p_step is null and p_recovery is null;
  end if;
  if p_step is not null then
    update public.operators set totp_step = p_step where id = p_operator and totp_step < p_step;
  else
    delete from public.operator_recovery_codes where operator_id = p_operator and code_hash = p_recovery;
  end if;
  return found;
end $$;
comment on function public.operator_prove(uuid, text, bigint, bytea) is
  'Is this still the password, and is the code of this time step, or this recovery code, good; then it is used up';

select insula.audit_attach('public.operators', 'operators', '{last_login_at,totp_step}', 'public.audit_changes');
select insula.audit_attach('public.operator_recovery_codes', 'operator_recovery_codes', '{}', 'public.audit_changes');
