-- Who may sign in, and what they may do. The service writes these tables as the owner; each change is news for the caches of rights.

create table sys_user (
  id uuid primary key default uuid_v7(),
  email text not null,
  first_name text not null,
  last_name text,
  state text not null default 'active',
  last_login_at timestamptz,
  constraint sys_user_email check (length(email) <= 254 and email ~ '^[^@\s,;]+@[^@\s,;]+\.[^@\s,;]+$'),
  constraint sys_user_first_name check (length(btrim(first_name)) between 1 and 100),
  constraint sys_user_last_name check (length(last_name) <= 100),
  constraint sys_user_state check (state in ('active', 'disabled'))
);
comment on table sys_user is 'people who can sign in; never removed, only disabled, because records keep their name';
comment on constraint sys_user_email on sys_user is 'must be a valid e-mail address';
comment on constraint sys_user_first_name on sys_user is 'must have 1 to 100 characters';
comment on constraint sys_user_last_name on sys_user is 'must have at most 100 characters';
comment on constraint sys_user_state on sys_user is 'must be active or disabled';
select sys_std('sys_user');
create unique index sys_user_email_key on sys_user (lower(email));
comment on index sys_user_email_key is 'is already used by another user';

create table sys_credential (
  user_id uuid primary key,
  password_hash text not null,
  changed_at timestamptz not null default now(),
  constraint sys_credential_user_fk foreign key (user_id) references sys_user on delete cascade
);
comment on table sys_credential is 'password hashes, apart from the people so that no grant on people reaches them; granted to nobody';

create table sys_role (
  id uuid primary key default uuid_v7(),
  code text not null,
  name text not null,
  from_pack text,
  constraint sys_role_code check (code ~ '^[a-z][a-z0-9_]{0,39}$'),
  constraint sys_role_code_key unique (code)
);
comment on table sys_role is 'named sets of permissions; from_pack says that a pack brought the role';
comment on constraint sys_role_code on sys_role is 'must begin with a small letter and hold only small letters, digits and _';
comment on constraint sys_role_code_key on sys_role is 'is already used by another role';
select sys_std('sys_role');

create table sys_role_grant (
  id uuid primary key default uuid_v7(),
  role_id uuid not null,
  permission text not null,
  constraint sys_role_grant_key unique (role_id, permission),
  constraint sys_role_grant_permission check (permission ~ '^(\*|[a-z][a-z0-9_]*\.(\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*))$'),
  constraint sys_role_grant_role_fk foreign key (role_id) references sys_role on delete cascade
);
comment on table sys_role_grant is 'permissions of a role; * is every one, deals.* every one that begins with deals';
comment on constraint sys_role_grant_key on sys_role_grant is 'is already granted to this role';
comment on constraint sys_role_grant_permission on sys_role_grant is 'must be a permission such as deals.view, deals.* or *';

create table sys_user_role (
  user_id uuid not null,
  role_id uuid not null,
  constraint sys_user_role_pkey primary key (user_id, role_id),
  constraint sys_user_role_user_fk foreign key (user_id) references sys_user on delete cascade,
  constraint sys_user_role_role_fk foreign key (role_id) references sys_role
);
comment on table sys_user_role is 'roles of a user';
comment on constraint sys_user_role_role_fk on sys_user_role is 'does not name an existing role | is still held by users';
create index sys_user_role_role on sys_user_role (role_id);

create table sys_session (
  id uuid primary key default uuid_v7(),
  user_id uuid not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  user_agent text,
  address inet,
  constraint sys_session_expires_at check (expires_at > created_at),
  constraint sys_session_user_fk foreign key (user_id) references sys_user on delete cascade
);
comment on table sys_session is 'sign-ins; a session counts until it expires or is revoked';
create index sys_session_user on sys_session (user_id);
create index sys_session_expires on sys_session (expires_at);

-- last_login_at is left out: a sign-in changes no right
create trigger zz_access after insert or delete or update of email, first_name, last_name, state on sys_user
  for each statement execute function access_changed();
create trigger zz_access after insert or update or delete on sys_role
  for each statement execute function access_changed();
create trigger zz_access after insert or update or delete on sys_role_grant
  for each statement execute function access_changed();
create trigger zz_access after insert or update or delete on sys_user_role
  for each statement execute function access_changed();
create trigger zz_access after update or delete on sys_session
  for each statement execute function access_changed();

create function sys_user_active(p_user uuid) returns boolean
language sql stable as $$
  select exists (select from sys_user where id = p_user and state = 'active')
$$;
comment on function sys_user_active(uuid) is 'may this user be given work';

create function sys_user_name(p_user uuid) returns text
language sql stable as $$
  select concat_ws(' ', first_name, last_name) from sys_user where id = p_user
$$;
comment on function sys_user_name(uuid) is 'the name of a user, for reports of other packs';
