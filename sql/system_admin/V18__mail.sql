-- Letters to users. What is to be sent is written in the transaction of its reason, and sent after it: a crash loses nothing. The secret
-- of a link is made when its letter is written, and only its digest stays here.

create table sys_mail (
  id uuid not null default uuid_v7(),
  kind text not null,
  user_id uuid,
  email text,
  tries int not null default 0,
  due_at timestamptz not null default now(),
  ended_at timestamptz,
  outcome text,
  created_at timestamptz not null default now(),
  created_by uuid default app_uid(),
  constraint sys_mail_pk primary key (id),
  constraint sys_mail_kind check (kind in ('invitation', 'reset', 'password_changed')),
  constraint sys_mail_to check (num_nonnulls(user_id, email) = 1),
  constraint sys_mail_outcome check (outcome in ('sent', 'failed', 'dropped')),
  constraint sys_mail_end check ((ended_at is null) = (outcome is null)),
  constraint sys_mail_user_fk foreign key (user_id) references sys_user on delete cascade
);
comment on table sys_mail is 'letters to users, kept for a week after they were sent; granted to nobody';
comment on column sys_mail.email is 'what somebody typed who asked for a letter; whose it is, is found out when the letter is written';
comment on column sys_mail.due_at is 'when to try next; while somebody tries, when to give him up';
create index sys_mail_due on sys_mail (due_at) where ended_at is null;
create index sys_mail_user on sys_mail (user_id, created_at);
create index sys_mail_ended on sys_mail (ended_at) where ended_at is not null;

create table sys_link (
  token_hash bytea not null,
  kind text not null,
  user_id uuid not null,
  expires_at timestamptz not null,
  constraint sys_link_pk primary key (token_hash),
  constraint sys_link_hash check (octet_length(token_hash) = 32),
  constraint sys_link_kind check (kind in ('invitation', 'reset')),
  constraint sys_link_user_fk foreign key (user_id) references sys_user on delete cascade
);
comment on table sys_link is 'SHA-256 of the tokens in links of letters, each good for one use; granted to nobody';
create index sys_link_user on sys_link (user_id);

create function sys_mail_news() returns trigger
language plpgsql as $$
begin
  perform pg_notify('insula', 'mail:' || tg_table_schema);
  return null;
end $$;
comment on function sys_mail_news() is 'after insert: tells every process that there is something to send';
create trigger zz_news after insert on sys_mail
  for each statement execute function sys_mail_news();

-- Links and letters that are no longer wanted. A letter that says what has happened is always wanted.
create function sys_mail_drop(p_user uuid, p_kinds text[]) returns void
language sql as $$
  update sys_mail set ended_at = now(), outcome = 'dropped' where user_id = p_user and kind = any (p_kinds) and ended_at is null;
  delete from sys_link where user_id = p_user and kind = any (p_kinds)
$$;
comment on function sys_mail_drop(uuid, text[]) is 'internal: voids the links of a user, and letters that would bring him more';
revoke all on function sys_mail_drop(uuid, text[]) from public;

create function sys_user_void_links() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  perform sys_mail_drop(new.id, array['invitation', 'reset']);
  return null;
end $$;
comment on function sys_user_void_links() is 'after another state or address: no link that was sent before counts';
revoke all on function sys_user_void_links() from public;
create trigger links after update of state, email on sys_user
  for each row when ((old.state, old.email) is distinct from (new.state, new.email)) execute function sys_user_void_links();

create function sys_credential_changed() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  insert into sys_mail (kind, user_id)
    select 'password_changed', new.user_id where current_setting('app.mail', true) is distinct from 'off';
  perform sys_mail_drop(new.user_id, array['reset']);
  return null;
end $$;
comment on function sys_credential_changed() is 'after another password: its owner is told, and no link for a new one counts';
revoke all on function sys_credential_changed() from public;
create trigger told after update of password_hash on sys_credential
  for each row when (old.password_hash <> new.password_hash) execute function sys_credential_changed();

-- Writes the same whether there is such a user or not. So many wait at most that nobody can fill the table.
create function sys_reset_ask(p_email text) returns bigint
language sql as $$
  with asked as (
    insert into sys_mail (kind, email)
    select 'reset', p_email
    where (select count(*) from (select from sys_mail where ended_at is null and email is not null limit 1000) w) < 1000
    returning 1)
  select count(*) from asked
$$;
comment on function sys_reset_ask(text) is 'internal: notes that somebody asked for a new password';
revoke all on function sys_reset_ask(text) from public;

-- Whether a letter that somebody asked for is written: an account is sent three an hour, and a newer one voids those before.
create function sys_mail_claim(p_id uuid, p_user uuid, p_kind text) returns boolean
language plpgsql as $$
begin
  if p_user is null or (
    select count(*) from sys_mail where user_id = p_user and kind = p_kind and created_at > now() - interval '1 hour') >= 3 then
    delete from sys_mail where id = p_id;
    return false;
  end if;
  perform sys_mail_drop(p_user, array[p_kind]);
  update sys_mail set user_id = p_user, email = null where id = p_id;
  return true;
end $$;
comment on function sys_mail_claim(uuid, uuid, text) is 'internal: makes a letter that of a user; false when there is to be none';
revoke all on function sys_mail_claim(uuid, uuid, text) from public;

-- One letter to write, for one process at a time: it has until due_at, then the letter is another's. The user is locked before the
-- letter, as in all that voids letters.
create function sys_mail_take(p_token bytea) returns jsonb
language plpgsql as $$
declare
  letter uuid;
  m sys_mail;
  u sys_user;
begin
  loop
    select * into m from sys_mail where ended_at is null and due_at <= clock_timestamp() order by due_at limit 1;
    exit when m.id is null;
    letter := m.id;
    select * into u from sys_user
      where id = coalesce(m.user_id, (select f.id from sys_user f where lower(f.email) = m.email and f.state = 'active'))
      for no key update;
    select * into m from sys_mail where id = letter and ended_at is null and due_at <= clock_timestamp() for update;
    continue when m.id is null or (m.user_id is null and not sys_mail_claim(m.id, u.id, m.kind));
    if u.state <> (case m.kind when 'invitation' then 'invited' else 'active' end) then
      update sys_mail set ended_at = now(), outcome = 'dropped' where id = m.id;
      continue;
    end if;
    if m.kind <> 'password_changed' then
      insert into sys_link (token_hash, kind, user_id, expires_at) values (
        p_token, m.kind, u.id, now() + case m.kind when 'invitation' then interval '7 days' else interval '30 minutes' end);
    end if;
    update sys_mail set tries = tries + 1, due_at = clock_timestamp() + interval '2 minutes' where id = m.id;
    return jsonb_build_object(
      'id', m.id,
      'kind', m.kind,
      'email', u.email,
      'name', concat_ws(' ', u.first_name, u.last_name),
      'by', sys_user_name(m.created_by),
      'at', to_char(m.created_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'));
  end loop;
  delete from sys_link where token_hash in (
    select token_hash from sys_link where expires_at < now() order by expires_at limit 100 for update skip locked);
  delete from sys_mail where id in (
    select id from sys_mail where ended_at < now() - interval '7 days' order by ended_at limit 100 for update skip locked);
  return null;
end $$;
comment on function sys_mail_take(bytea) is 'internal: the next letter, with the digest of the token for its link; null when none is due';
revoke all on function sys_mail_take(bytea) from public;

create function sys_mail_next() returns double precision
language sql stable as $$
  select extract(epoch from min(due_at) - clock_timestamp()) from sys_mail where ended_at is null
$$;
comment on function sys_mail_next() is 'internal: seconds until the next letter is due';
revoke all on function sys_mail_next() from public;

-- After five tries a letter is given up: half an hour and more has passed.
create function sys_mail_end(p_id uuid, p_sent boolean) returns text
language sql as $$
  with ended as (
    update sys_mail
    set outcome = case when p_sent then 'sent' when tries >= 5 then 'failed' end,
      ended_at = case when p_sent or tries >= 5 then now() end,
      due_at = clock_timestamp() + interval '10 seconds' * (5 ^ (tries - 1))
    where id = p_id and ended_at is null
    returning outcome)
  select outcome from ended
$$;
comment on function sys_mail_end(uuid, boolean) is 'internal: a letter was sent, or it was not and is tried again later';
revoke all on function sys_mail_end(uuid, boolean) from public;
