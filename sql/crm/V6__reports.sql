-- Reports. All run with the caller's rights, so each user gets them over the rows he sees.

create view crm_v_pipeline with (security_invoker = true) as
select
  d.pipeline_id,
  p.name as pipeline,
  s.position,
  s.name as stage,
  d.owner_id,
  sys_user_name(d.owner_id) as owner,
  d.currency,
  count(*) as deals,
  coalesce(sum(d.amount), 0) as amount,
  round(coalesce(sum(d.amount * d.probability / 100), 0), 2) as weighted,
  round(avg(extract(epoch from now() - d.stage_entered_at) / 86400), 1) as avg_days_in_stage
from crm_deal d
join crm_stage s on s.id = d.stage_id
join crm_pipeline p on p.id = d.pipeline_id
where s.kind = 'open'
group by d.pipeline_id, p.name, s.position, s.name, d.owner_id, d.currency;
comment on view crm_v_pipeline is 'open deals by stage and owner';

-- a won deal counts in the month it was won, an open one in the month it is expected
create view crm_v_forecast with (security_invoker = true) as
select
  date_trunc('month', coalesce(app_date(d.closed_at), d.expected_close))::date as month,
  d.owner_id,
  sys_user_name(d.owner_id) as owner,
  d.currency,
  coalesce(sum(d.amount) filter (where s.kind = 'won'), 0) as won,
  coalesce(sum(d.amount) filter (where s.kind = 'open'), 0) as open_amount,
  round(coalesce(sum(d.amount * d.probability / 100) filter (where s.kind = 'open'), 0), 2) as weighted,
  count(*) filter (where s.kind = 'open' and d.expected_close < app_today()) as overdue_deals
from crm_deal d
join crm_stage s on s.id = d.stage_id
where s.kind <> 'lost' and (d.expected_close is not null or d.closed_at is not null)
group by 1, d.owner_id, d.currency;
comment on view crm_v_forecast is 'won and expected amounts by month';

create view crm_v_win_rate with (security_invoker = true) as
select
  date_trunc('month', app_date(d.closed_at))::date as month,
  d.owner_id,
  sys_user_name(d.owner_id) as owner,
  d.pipeline_id,
  d.currency,
  count(*) filter (where s.kind = 'won') as won,
  count(*) filter (where s.kind = 'lost') as lost,
  round(count(*) filter (where s.kind = 'won') * 100.0 / count(*), 1) as win_pct,
  coalesce(sum(d.amount) filter (where s.kind = 'won'), 0) as won_amount,
  round(avg(extract(epoch from d.closed_at - d.created_at) / 86400) filter (where s.kind = 'won'), 1) as avg_cycle_days
from crm_deal d
join crm_stage s on s.id = d.stage_id
where d.closed_at is not null
group by 1, d.owner_id, d.pipeline_id, d.currency;
comment on view crm_v_win_rate is 'closed deals: how many were won, and how long it took';

-- from real history: of the deals that ever entered a stage, how many were won later
create view crm_v_stage_conversion with (security_invoker = true) as
select
  st.pipeline_id,
  st.position,
  st.name,
  count(*) as entered,
  count(*) filter (where ds.kind = 'won') as won,
  count(*) filter (where ds.kind = 'lost') as lost,
  round(count(*) filter (where ds.kind = 'won') * 100.0 / nullif(count(*) filter (where ds.kind <> 'open'), 0), 1) as observed_win_pct,
  st.probability as configured_pct
from (select distinct deal_id, to_stage from crm_deal_stage_log) e
join crm_stage st on st.id = e.to_stage
join crm_deal d on d.id = e.deal_id
join crm_stage ds on ds.id = d.stage_id
where st.kind = 'open'
group by st.pipeline_id, st.position, st.name, st.probability;
comment on view crm_v_stage_conversion is 'configured probability of each stage beside the observed one';

create view crm_v_lost_reasons with (security_invoker = true) as
select
  date_trunc('month', app_date(d.closed_at))::date as month,
  r.name as reason,
  d.currency,
  count(*) as deals,
  coalesce(sum(d.amount), 0) as amount
from crm_deal d
join crm_lost_reason r on r.id = d.lost_reason_id
group by 1, r.name, d.currency;
comment on view crm_v_lost_reasons is 'why deals were lost, by month';

create view crm_v_stale_deals with (security_invoker = true) as
select
  d.id,
  d.title,
  d.owner_id,
  sys_user_name(d.owner_id) as owner,
  s.name as stage,
  d.amount,
  d.currency,
  greatest(d.stage_entered_at, a.last_done) as last_touch,
  a.next_due
from crm_deal d
join crm_stage s on s.id = d.stage_id and s.kind = 'open'
cross join lateral (
  select max(done_at) as last_done, min(due_at) filter (where done_at is null) as next_due
  from crm_activity
  where deal_id = d.id
) a
where greatest(d.stage_entered_at, a.last_done) < now() - make_interval(days => s.stale_days) or a.next_due is null;
comment on view crm_v_stale_deals is 'open deals that nobody touched for long, or with nothing planned';

create view crm_v_activity_summary with (security_invoker = true) as
select
  date_trunc('week', app_date(coalesce(done_at, due_at, created_at)))::date as week,
  owner_id,
  sys_user_name(owner_id) as owner,
  kind,
  count(*) filter (where done_at is not null) as done,
  count(*) filter (where done_at is null and due_at < now()) as overdue,
  count(*) filter (where done_at is null and (due_at is null or due_at >= now())) as open
from crm_activity
group by 1, owner_id, kind;
comment on view crm_v_activity_summary is 'activities by week: done, overdue, open';

create view crm_v_duplicates with (security_invoker = true) as
select
  'phone' as matched_on,
  phone as value,
  array_agg(id order by id) as contact_ids,
  count(*) as contacts
from crm_contact
where state = 'active' and phone is not null
group by phone
having count(*) > 1
union all
select
  'name and organization',
  lower(concat_ws(' ', c.first_name, c.last_name)) || ', ' || o.name,
  array_agg(c.id order by c.id),
  count(*)
from crm_contact c
join crm_organization o on o.id = c.organization_id
where c.state = 'active'
group by lower(concat_ws(' ', c.first_name, c.last_name)), o.id, o.name
having count(*) > 1;
comment on view crm_v_duplicates is 'contacts that may be the same person';
