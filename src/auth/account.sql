select count(*), max(row_to_json(found)::text)
from (
  select
    u.id,
    u.email,
    u.first_name,
    u.last_name,
    c.password_hash,
    encode(c.totp_sealed, 'hex') as totp_sealed,
    c.totp_confirmed_at is not null as totp_confirmed
  from sys_user u
  join sys_credential c on c.user_id = u.id
  where u.state = 'active'
    and lower(u.email) = 