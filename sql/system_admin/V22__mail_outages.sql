-- A mail server that is down for a night loses no invitation: only what it refuses, and what would come too late, is given up soon.

drop function sys_mail_end(uuid, boolean);
create function sys_mail_end(p_id uuid, p_sent boolean, p_refused boolean) returns text
language sql as $$
  with ended as (
    update sys_mail
    set outcome = case when p_sent then 'sent' when over then 'failed' end,
      ended_at = case when p_sent or over then now() end,
      due_at = clock_timestamp() + least(interval '10 seconds' * (5 ^ least(tries - 1, 9)), interval '1 hour')
    from (
      select m.id as letter, m.tries >= case when p_refused or m.kind = 'reset' then 5 else 28 end as over
      from sys_mail m
      where m.id = p_id) tried
    where id = letter and ended_at is null
    returning outcome)
  select outcome from ended
$$;
comment on function sys_mail_end(uuid, boolean, boolean)
  is 'internal: a letter was sent, or is tried again; given up after five tries, half an hour, or a day when nobody refuses it';
revoke all on function sys_mail_end(uuid, boolean, boolean) from public;
