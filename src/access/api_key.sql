select count(*), json_agg(found)::text
from (
  select
    k.id,
    u.id as "user",
    u.email,
    u.first_name,
    u.last_name,
    sys_factor_required() and not exists (
      select from sys_credential c
      where c.user_id = u.id and c.totp_confirmed_at is not null) as factor_missing,
    k.permissions as chosen,
    extract(epoch from k.expires_at - now()) as seconds_left,
    extract(epoch from now() - k.last_used_at) as seconds_unused,
    coalesce((
      select json_agg(r.code order by r.code)
      from sys_user_role ur
      join sys_role r on r.id = ur.role_id
      where ur.user_id = u.id), '[]') as roles,
    coalesce((
      select json_agg(distinct g.permission)
      from sys_user_role ur
      join sys_role_grant g on g.role_id = ur.role_id
      where ur.user_id = u.id), '[]') as held
  from sys_api_key_digest d
  join sys_api_key k on k.id = d.key_id
  join sys_user u on u.id = k.user_id
  where k.revoked_at is null
    and k.expires_at > now()
    and u.state = 'active'
    and d.digest = decode(
