-- Sign-ins of operators, which can be ended, and the tenants' sessions that hang on them.

create table public.operator_sessions (
  id          uuid not null default insula.uuid_v7(),
  operator_id uuid not null,
  created_at  timestamptz not null default now(),
  expires_at  timestamptz not null,
  revoked_at  timestamptz,
  user_agent  text,
  address     inet,
  constraint operator_sessions_pk primary key (id),
  constraint operator_sessions_operator_fk foreign key (operator_id) references public.operators (id) on delete cascade,
  constraint operator_sessions_expires_later check (expires_at > created_at)
);
create index operator_sessions_operator_idx on public.operator_sessions (operator_id);
create index operator_sessions_expires_idx on public.operator_sessions (expires_at);
comment on table public.operator_sessions is 'Sign-ins of operators; one counts until it expires or is revoked';

create table public.operator_refresh_tokens (
  token_hash bytea not null,
  session_id uuid not null,
  created_at timestamptz not null default now(),
  used_at    timestamptz,
  constraint operator_refresh_tokens_pk primary key (token_hash),
  constraint operator_refresh_tokens_hashed check (octet_length(token_hash) = 32),
  constraint operator_refresh_tokens_session_fk foreign key (session_id) references public.operator_sessions (id) on delete cascade
);
create index operator_refresh_tokens_session_idx on public.operator_refresh_tokens (session_id);
comment on table public.operator_refresh_tokens is
  'SHA-256 of the refresh tokens of operators, used ones too: each is good once, a second use ends the session (RFC 9700, 4.14)';

create table public.impersonations (
  session_id          uuid not null,
  operator_session_id uuid not null,
  tenant_id           uuid not null,
  created_at          timestamptz not null default now(),
  expires_at          timestamptz not null,
  constraint impersonations_pk primary key (session_id),
  constraint impersonations_operator_fk foreign key (operator_session_id) references public.operator_sessions (id) on delete cascade,
  constraint impersonations_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint impersonations_life check (expires_at > created_at and expires_at <= created_at + interval '30 minutes')
);
create index impersonations_operator_idx on public.impersonations (operator_session_id);
create index impersonations_tenant_idx on public.impersonations (tenant_id);
comment on table public.impersonations is
  'Sessions of tenants'' users in which an operator works, by the operator''s own session: with that they end';

create function public.operator_refresh(p_old bytea, p_new bytea)
returns table (operator_id uuid, operator_email text, operator_name text, operator_role text, session_id uuid)
language plpgsql as $$
declare
  s public.operator_sessions;
  used timestamptz;
begin
  select os.* into s
    from public.operator_refresh_tokens t
    join public.operator_sessions os on os.id = t.session_id
    join public.operators o on o.id = os.operator_id
    where t.token_hash = p_old and o.state = 'active'
    for update of os;
  if s.id is null or s.revoked_at is not null or s.expires_at <= now() then
    return;
  end if;
  select t.used_at into used from public.operator_refresh_tokens t where t.token_hash = p_old;
  if used is not null then
    update public.operator_sessions set revoked_at = now() where id = s.id;
    return;
  end if;
  update public.operator_refresh_tokens set used_at = now() where token_hash = p_old;
  insert into public.operator_refresh_tokens (token_hash, session_id) values (p_new, s.id);
  return query select o.id, o.email, o.name, o.role, s.id from public.operators o where o.id = s.operator_id;
end $$;
comment on function public.operator_refresh(bytea, bytea) is
  'Takes a refresh token, puts the next in its place, and says whose it is; no row when it is not good, and a second use ends its session';

create function public.operator_change(p_actor uuid, p_id uuid, p_name text, p_role text, p_state text)
returns void
language plpgsql as $$
begin
  -- one after the other: who waits here sees what was done before
  perform pg_advisory_xact_lock(hashtextextended('public.operators', 0));
  if p_actor is not null and not exists (
    select from public.operators where id = p_actor and role = 'owner' and state = 'active') then
    perform insula.app_fail('AP403', 'forbidden', 'Your role does not allow this.');
  end if;
  update public.operators
    set name = coalesce(p_name, name), role = coalesce(p_role, role), state = coalesce(p_state, state)
    where id = p_id;
  if not found then
    perform insula.app_fail('AP404', 'not_found', 'not found');
  end if;
end $$;
comment on function public.operator_change(uuid, uuid, text, text, text) is
  'Changes an operator where a value is given; p_actor is an owner, or null on the command line';

create function public.operators_keep_an_owner() returns trigger
language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('public.operators', 0));
  if not exists (select from public.operators where role = 'owner' and state = 'active') then
    perform insula.app_fail('AP409', 'last_owner', 'The platform needs an active owner.');
  end if;
  return null;
end $$;
comment on function public.operators_keep_an_owner() is 'After changes: refuses to leave the platform without an active owner';
create trigger keep_an_owner after update of role, state on public.operators
  for each row when (old.role = 'owner' and old.state = 'active' and (new.role <> 'owner' or new.state <> 'active'))
  execute function public.operators_keep_an_owner();
create trigger keep_an_owner_gone after delete on public.operators
  for each row when (old.role = 'owner' and old.state = 'active') execute function public.operators_keep_an_owner();

create function public.operators_shut_out() returns trigger
language plpgsql as $$
begin
  update public.operator_sessions set revoked_at = now() where operator_id = new.id and revoked_at is null;
  return null;
end $$;
comment on function public.operators_shut_out() is 'After an operator is disabled or may do something else: signs him out everywhere';
create trigger shut_out after update of role, state on public.operators
  for each row when (new.role <> old.role or new.state = 'disabled' and old.state <> 'disabled')
  execute function public.operators_shut_out();

create function public.news_impersonations() returns trigger
language plpgsql as $$
begin
  perform pg_notify('insula', 'access:' || t.schema_name)
    from public.impersonations i
    join public.tenants t on t.id = i.tenant_id
    where i.operator_session_id = new.id and i.expires_at > now();
  return null;
end $$;
comment on function public.news_impersonations() is 'access:<schema> of every tenant in which the operator works as a user';
create trigger zz_news after update of revoked_at on public.operator_sessions
  for each row when (new.revoked_at is not null and old.revoked_at is null)
  execute function public.news_impersonations();

create function insula.app_impersonator() returns uuid
language sql stable parallel safe as $$
  select nullif(current_setting('app.impersonator', true), '')::uuid
$$;
comment on function insula.app_impersonator() is 'the operator who works as the user of the transaction; null when the user acts himself';
grant execute on function insula.app_impersonator() to public;

select insula.audit_attach('public.operator_sessions', 'operator_sessions', '{expires_at}', 'public.audit_changes');
select insula.audit_attach('public.impersonations', 'impersonations', '{}', 'public.audit_changes');

revoke all on all tables in schema public from public;
revoke all on all routines in schema public from public;
