select count(*), json_agg(found)::text
from (
  select
    u.id as "user",
    u.email,
    u.first_name,
    u.last_name,
    s.impersonated_by is null and sys_factor_required() and not exists (
      select from sys_credential c
      where c.user_id = u.id and c.totp_confirmed_at is not null) as factor_missing,
    extract(epoch from s.expires_at - now()) as seconds_left,
    coalesce((
      select json_agg(r.code order by r.code)
      from sys_user_role ur
      join sys_role r on r.id = ur.role_id
      where ur.user_id = u.id), '[]') as roles,
    coalesce((
      select json_agg(distinct g.permission)
      from sys_user_role ur
      join sys_role_grant g on g.role_id = ur.role_id
      where ur.user_id = u.id), '[]') as permissions,
    case
      when s.impersonated_by is not null
        then json_build_object('id', s.impersonated_by, 'email', s.impersonator_email, 'reason', s.impersonation_reason)
    end as impersonator
  from sys_session s
  join sys_user u on u.id = s.user_id
  where s.revoked_at is null
    and s.expires_at > now()
    and u.state = 'active'
    and s.id = 