select count(*), max(row_to_json(found)::text)
from (
  select
    u.id,
    u.email,
    u.first_name,
    u.last_name,
    coalesce((
      select json_agg(r.code order by r.code)
      from sys_user_role ur
      join sys_role r on r.id = ur.role_id
      where ur.user_id = u.id), '[]') as roles
  from sys_user u
  where u.state = 'active'
    and 