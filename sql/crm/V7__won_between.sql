-- What was won in a period, by owner: the first report that is asked with dates.
create function crm_won_between(p_from date, p_to date, p_pipeline_id uuid default null)
returns table (owner_id uuid, owner text, currency char(3), deals bigint, amount numeric, average numeric)
language plpgsql stable as $$
begin
  if p_to < p_from then
    perform app_fail('AP422', 'period', 'The period must not end before it begins.');
  end if;
  return query
    select d.owner_id, sys_user_name(d.owner_id), d.currency::char(3), count(*), coalesce(sum(d.amount), 0), round(avg(d.amount), 2)
    from crm_deal d
    join crm_stage s on s.id = d.stage_id
    where s.kind = 'won'
      and app_date(d.closed_at) between p_from and p_to
      and (p_pipeline_id is null or d.pipeline_id = p_pipeline_id)
    group by d.owner_id, d.currency;
end $$;
comment on function crm_won_between(date, date, uuid) is 'deals won from a day to a day, both included, by owner and currency';
revoke execute on function crm_won_between(date, date, uuid) from public;
