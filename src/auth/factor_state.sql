select count(*), max(json_build_object(
  'object', 'second_factor',
  'enabled', c.totp_confirmed_at is not null,
  'pending', c.totp_sealed is not null and c.totp_confirmed_at is null,
  'required', sys_factor_required(),
  'recovery_codes_left', (select count(*) from sys_recovery_code r where r.user_id = u.id))::text)
from sys_user u
left join sys_credential c on c.user_id = u.id
where u.id = 