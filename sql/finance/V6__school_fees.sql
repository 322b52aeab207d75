-- Fees that a school collects are income at once, without anybody setting up a rule. What the tenant made itself stays: an account of this
-- code, or a rule for this role.

insert into fin_account (code, name, type) values ('4100', 'School fees', 'income')
on conflict on constraint fin_account_code_key do nothing;

insert into fin_posting_rule (role, account_id)
select 'fee_income', a.id
from fin_account a
where a.code = '4100' and a.type = 'income' and not a.is_group and a.active
on conflict do nothing;
