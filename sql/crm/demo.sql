-- Example data for a tenant that has just been made, with five users: owner, admin, manager and two salespersons. One transaction, run as
-- the owner of the tables. The same tenant gets the same data; the hash of the schema name makes two tenants differ.

do $$
begin
  if exists (select from crm_contact) then
    perform app_fail('AP409', 'not_empty', 'Example data goes only into an empty tenant.');
  end if;
  if (
    select count(distinct ur.user_id)
    from sys_user_role ur
    join sys_role r on r.id = ur.role_id
    where r.code in ('manager', 'salesperson')) < 3 then
    perform app_fail('AP409', 'no_users', 'Example data needs a manager and two salespersons.');
  end if;
end $$;

create function crm_demo_random(salt text, i bigint) returns float8
language sql stable as $$
  select (hashtextextended(current_schema() || salt, i) & 1048575) / 1048576.0::float8
$$;

-- a key as uuid_v7() would have made it then
create function crm_demo_id(at timestamptz, salt text) returns uuid
language sql stable as $$
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0')
    || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid
  from md5(current_schema() || salt) h
$$;

-- a moment in the working hours of that day, never in the future
create function crm_demo_time(at timestamptz, salt text, i bigint) returns timestamptz
language sql stable as $$
  select least(now() - interval '1 minute', date_trunc('day', at) + interval '4 hours' + interval '8 hours' * crm_demo_random(salt, i))
$$;

-- 1 and 2 are the salespersons, 3 the manager; most work belongs to the first two
create function crm_demo_owner(dice float8) returns uuid
language sql stable as $$
  select u.id
  from sys_user u
  join sys_user_role ur on ur.user_id = u.id
  join sys_role r on r.id = ur.role_id
  where r.code = case when dice < 0.85 then 'salesperson' else 'manager' end
  order by u.email
  offset case when dice between 0.45 and 0.85 then 1 else 0 end
  limit 1
$$;

alter table crm_organization disable trigger user;
alter table crm_contact disable trigger user;
alter table crm_deal disable trigger user;
alter table crm_activity disable trigger user;

insert into sys_org_edge (user_id, manager_id)
select distinct s.user_id, crm_demo_owner(0.9)
from sys_user_role s
join sys_role r on r.id = s.role_id
where r.code = 'salesperson' and s.user_id <> crm_demo_owner(0.9)
on conflict do nothing;

insert into crm_organization (id, name, domain, industry, size, phone, country, city, owner_id, created_at, updated_at, created_by)
select crm_demo_id(at, domain), name, domain, industry, size, phone, country, city, owner_id, at, at, owner_id
from (
  select
    o.*,
    crm_demo_time(now() - interval '1 day' * (366 + 60 * crm_demo_random('org-age' || name, 1)), 'org-hour' || name, 1) as at,
    crm_demo_owner(crm_demo_random('org-owner' || name, 1)) as owner_id,
    lower(regexp_replace(name, '[^A-Za-z]+', '-', 'g')) || '.example' as domain,
    case country when 'IN' then '+9180' when 'US' then '+1415555' when 'GB' then '+44207946' when 'SG' then '+656' else '+97144' end
      || lpad((crm_demo_random('org-phone' || name, 1) * 9999)::int::text, case country when 'IN' then 8 when 'SG' then 7 else 4 end, '4') as phone,
    row_number() over (partition by country = 'IN' order by crm_demo_random('org' || name, 1)) as place
  from (values
    ('Saffron Foods', 'Food', '201-500', 'IN', 'Pune'),
    ('Deccan Steel Works', 'Manufacturing', '501-1000', 'IN', 'Hyderabad'),
    ('Malabar Spices', 'Food', '51-200', 'IN', 'Kochi'),
    ('Lotus Diagnostics', 'Health', '51-200', 'IN', 'Chennai'),
    ('Ganga Logistics', 'Transport', '201-500', 'IN', 'Kanpur'),
    ('Indus Textiles', 'Textiles', '1000+', 'IN', 'Surat'),
    ('Nilgiri Tea Estates', 'Food', '201-500', 'IN', 'Coimbatore'),
    ('Konkan Marine Exports', 'Food', '51-200', 'IN', 'Ratnagiri'),
    ('Vindhya Cements', 'Building', '1000+', 'IN', 'Satna'),
    ('Aravalli Marble', 'Building', '11-50', 'IN', 'Udaipur'),
    ('Brahmaputra Energy', 'Energy', '501-1000', 'IN', 'Guwahati'),
    ('Chandni Jewellers', 'Retail', '11-50', 'IN', 'Delhi'),
    ('Kaveri Agro', 'Agriculture', '51-200', 'IN', 'Mysuru'),
    ('Sahyadri Hospitals', 'Health', '501-1000', 'IN', 'Nashik'),
    ('Blue Peacock Hotels', 'Hospitality', '201-500', 'IN', 'Jaipur'),
    ('Shakti Auto Components', 'Manufacturing', '201-500', 'IN', 'Ludhiana'),
    ('Monsoon Apparel', 'Textiles', '51-200', 'IN', 'Tiruppur'),
    ('Narmada Paper Mills', 'Manufacturing', '201-500', 'IN', 'Vadodara'),
    ('Vidya Public Schools', 'Education', '201-500', 'IN', 'Lucknow'),
    ('Cardamom Kitchens', 'Hospitality', '11-50', 'IN', 'Bengaluru'),
    ('Ashoka Packaging', 'Manufacturing', '51-200', 'IN', 'Indore'),
    ('Tamarind Software', 'Software', '51-200', 'IN', 'Bengaluru'),
    ('Rann Solar', 'Energy', '11-50', 'IN', 'Bhuj'),
    ('Himalaya Outdoor Gear', 'Retail', '11-50', 'IN', 'Dehradun'),
    ('Coromandel Ports', 'Transport', '501-1000', 'IN', 'Visakhapatnam'),
    ('Banyan Finance', 'Finance', '201-500', 'IN', 'Mumbai'),
    ('Mango Tree Media', 'Media', '11-50', 'IN', 'Mumbai'),
    ('Sutra Pharma', 'Health', '501-1000', 'IN', 'Ahmedabad'),
    ('Riverside Robotics', 'Manufacturing', '51-200', 'US', 'San Francisco'),
    ('Harbor Lane Coffee', 'Food', '51-200', 'US', 'Seattle'),
    ('Northwind Analytics', 'Software', '11-50', 'US', 'Austin'),
    ('Prairie Seed Company', 'Agriculture', '201-500', 'US', 'Omaha'),
    ('Thistle and Rowe', 'Retail', '11-50', 'GB', 'Edinburgh'),
    ('Kingsway Legal', 'Services', '51-200', 'GB', 'London'),
    ('Pennine Rail Services', 'Transport', '501-1000', 'GB', 'Leeds'),
    ('Merlion Freight', 'Transport', '201-500', 'SG', 'Singapore'),
    ('Orchid Biotech', 'Health', '51-200', 'SG', 'Singapore'),
    ('Dune Contracting', 'Building', '501-1000', 'AE', 'Dubai'),
    ('Pearl Coast Trading', 'Retail', '51-200', 'AE', 'Sharjah')
  ) o (name, industry, size, country, city)
) o
where place <= case country when 'IN' then 21 else 9 end;

-- every person goes to an organization of his part of the world; the last two are entered twice, as happens
with people as (
  select name, indian, row_number() over (partition by indian order by crm_demo_random('person' || name, 1)) as place
  from (
    select name, true
    from unnest(string_to_array('Aarav Sharma,Priya Nair,Rohan Mehta,Ananya Iyer,Vikram Singh,Kavya Reddy,Arjun Patel,Sneha Kulkarni,'
      'Rahul Verma,Meera Krishnan,Aditya Joshi,Pooja Desai,Karthik Subramanian,Neha Gupta,Siddharth Rao,Divya Menon,Manish Agarwal,'
      'Ritu Chawla,Suresh Babu,Lakshmi Narayanan,Imran Qureshi,Fatima Sheikh,Harpreet Kaur,Gurdeep Singh,Nikhil Bhatt,Shreya Ghosh,'
      'Debashish Sen,Ishita Banerjee,Tenzin Dorje,Mary Thomas,Joseph Mathew,Anil Kapadia,Swati Pawar,Ganesh Patil,Deepa Shetty,'
      'Varun Malhotra,Nandini Hegde,Ashwin Pillai,Tara Bhandari,Zoya Khan,Omkar Jadhav,Revathi Sundaram,Pranav Kamath,Jyoti Mishra,'
      'Sanjay Trivedi,Bhavna Shah,Yash Goyal,Radhika Saxena,Mohan Das,Farhan Ali,Charu Bansal,Vivek Tiwari,Usha Rani,Kabir Anand,'
      'Leela Varghese,Dinesh Chauhan,Amrita Bose,Prakash Hebbar,Sonal Thakkar,Ramesh Yadav', ',')) name
    union all
    select name, false
    from unnest(string_to_array('Emma Clarke,James Whitfield,Olivia Grant,Daniel Okafor,Sofia Alvarez,Liam Murphy,Chloe Bennett,Noah Fischer,'
      'Grace Lim,Wei Jie Tan,Hui Min Goh,Omar Haddad,Layla Rahman,Yusuf Al Amiri,Isabella Rossi,Ethan Brooks,Hannah Schmidt,Lucas Moreau,'
      'Amelia Hughes,Samuel Adeyemi,Mia Johansson,Benjamin Cole,Nora Lindqvist,Oscar Nowak,Zoe Papadakis,Thomas Reid', ',')) name
  ) p (name, indian)
), placed as (
  select o.*, row_number() over (partition by country = 'IN' order by domain) as place, count(*) over (partition by country = 'IN') as places
  from crm_organization o
), chosen as (
  select
    split_part(p.name, ' ', 1) as first_name,
    substr(p.name, strpos(p.name, ' ') + 1) as last_name,
    o.id as organization_id,
    o.owner_id,
    o.domain,
    o.country,
    hashtextextended(p.name, 7) as dice,
    crm_demo_time(greatest(o.created_at, now() - interval '1 day' * (366 + 30 * crm_demo_random('since' || p.name, 1))), p.name, 2) as at,
    generate_series(1, case when p.indian and p.place in (5, 12) then 2 else 1 end) as copy
  from people p
  join placed o on (o.country = 'IN') = p.indian and o.place = 1 + p.place % o.places
  where p.place <= case when p.indian then 56 else 22 end
)
insert into crm_contact
  (id, first_name, last_name, email, phone, title, organization_id, source, owner_id, do_not_contact, created_at, updated_at, created_by)
select
  crm_demo_id(at + interval '1 day' * (copy - 1), first_name || last_name || copy),
  first_name,
  case copy when 1 then last_name else left(last_name, 1) || '.' end,
  case copy when 1 then lower(first_name || '.' || replace(last_name, ' ', '')) || '@' || domain end,
  case country
    when 'IN' then '+9170000' || lpad((crm_demo_random('phone', dice) * 99999)::int::text, 5, '0')
    when 'US' then '+1415555' || lpad((crm_demo_random('phone', dice) * 9999)::int::text, 4, '0')
    when 'GB' then '+447700900' || lpad((crm_demo_random('phone', dice) * 999)::int::text, 3, '0')
    when 'SG' then '+659000' || lpad((crm_demo_random('phone', dice) * 9999)::int::text, 4, '0')
    else '+97150000' || lpad((crm_demo_random('phone', dice) * 9999)::int::text, 4, '0')
  end,
  (array['Managing Director', 'Head of Purchasing', 'Operations Manager', 'Finance Manager', 'IT Manager', 'Plant Manager',
    'Office Manager', 'Head of Sales', 'Project Lead'])[1 + (crm_demo_random('title', dice) * 8.99)::int % 9],
  organization_id,
  (array['Website', 'Referral', 'Trade fair', 'Cold call', 'Partner', 'LinkedIn'])[1 + (crm_demo_random('source', dice) * 5.99)::int % 6],
  owner_id,
  copy = 1 and crm_demo_random('no', dice) > 0.95,
  at + interval '1 day' * (copy - 1),
  at + interval '1 day' * (copy - 1),
  owner_id
from chosen;

-- Older deals are mostly decided, young ones mostly open. A decided deal took 12 to 72 days.
with dealt as (
  select
    i,
    c.id as contact_id,
    o.id as organization_id,
    o.name,
    o.country,
    365 * (i - 0.5) / 70 as age,
    crm_demo_random('fate', i) as fate,
    crm_demo_random('pace', i) as pace,
    c.owner_id,
    (array['Annual licence', 'Pilot project', 'Support renewal', 'Branch rollout', 'Data migration', 'Team training', 'Premium upgrade',
      'System integration', 'Second site', 'Consulting days'])[1 + (crm_demo_random('offer', i) * 9.99)::int % 10] as offer
  from generate_series(1, 70) i
  join (
    select c.*, row_number() over (order by crm_demo_random('deal-of' || first_name || last_name, 1)) as place
    from crm_contact c
    where email is not null
  ) c on c.place = 1 + (i * 29) % 73
  join crm_organization o on o.id = c.organization_id
), decided as (
  select
    d.*,
    case
      when age < 15 then 'open'
      when fate < case when age > 75 then 0.36 else 0.16 end then 'won'
      when fate < case when age > 75 then 0.64 else 0.26 end then 'lost'
      else 'open'
    end as kind,
    crm_demo_time(now() - interval '1 day' * age, 'born', i) as at
  from dealt d
), dated as (
  select
    d.*,
    case kind when 'open' then 1 + least(3, floor(age / 6), floor(pace * 4)) when 'won' then 5 else 6 end as position,
    case
      when kind <> 'open' then crm_demo_time(at + interval '1 day' * least(age * 0.95, 12 + 60 * pace), 'end', i)
      when least(floor(age / 6), floor(pace * 4)) < 1 then at
      else crm_demo_time(at + interval '1 day' * age * (0.5 + 0.45 * crm_demo_random('last', i)), 'end', i)
    end as entered
  from decided d
)
insert into crm_deal (
  id, title, pipeline_id, stage_id, organization_id, contact_id, amount, currency, probability, expected_close, source, owner_id,
  closed_at, lost_reason_id, lost_note, stage_entered_at, created_at, updated_at, created_by)
select
  crm_demo_id(d.at, 'deal' || d.i),
  d.offer || ' for ' || d.name,
  s.pipeline_id,
  s.id,
  d.organization_id,
  d.contact_id,
  case when s.position > 1 or d.pace > 0.3
    then round((25000 * exp(2.8 * crm_demo_random('amount', d.i)))::numeric / case d.country when 'IN' then 1 else 60 end, -2) end,
  case d.country when 'IN' then 'INR' else 'USD' end,
  s.probability,
  case when s.kind = 'open' then app_today() + (80 * crm_demo_random('close', d.i))::int - 10
    else app_date(d.entered) + (20 * crm_demo_random('close', d.i))::int - 8 end,
  (array['Website', 'Referral', 'Trade fair', 'Cold call', 'Partner'])[1 + (crm_demo_random('source', d.i) * 4.99)::int % 5],
  d.owner_id,
  case when s.kind <> 'open' then d.entered end,
  r.id,
  case when s.kind = 'lost' and d.pace > 0.6 then 'They will look at it again next year.' end,
  d.entered,
  d.at,
  d.entered,
  d.owner_id
from dated d
join crm_stage s on s.pipeline_id = crm_default_pipeline() and s.position = d.position
left join (
  select id, row_number() over (order by name) as place, count(*) over () as places from crm_lost_reason
) r on s.kind = 'lost' and r.place = 1 + floor(crm_demo_random('reason', d.i) * r.places);

-- The way each deal went: through all open stages to its own; a lost deal left from any of them.
with deals as (
  select d.*, s.kind, s.position, row_number() over (order by d.id) as i
  from crm_deal d
  join crm_stage s on s.id = d.stage_id
), ways as (
  select
    d.*,
    case kind
      when 'open' then array(select generate_series(1, position))
      when 'won' then '{1,2,3,4,5}'
      else array(select generate_series(1, 1 + floor(4 * crm_demo_random('left', i))::int)) || 6
    end as way
  from deals d
), steps as (
  select
    w.id as deal_id,
    w.owner_id,
    w.amount,
    lag(s.id) over by_deal as from_stage,
    s.id as to_stage,
    j,
    case
      when j = 1 then w.created_at
      when j = cardinality(w.way) then w.stage_entered_at
      else crm_demo_time(w.created_at + (w.stage_entered_at - w.created_at) * (j - 1) / (cardinality(w.way) - 1), 'step' || i, j)
    end as at
  from ways w
  cross join unnest(w.way) with ordinality step (position, j)
  join crm_stage s on s.pipeline_id = w.pipeline_id and s.position = step.position
  window by_deal as (partition by w.id order by j)
)
insert into crm_deal_stage_log (id, deal_id, from_stage, to_stage, amount, seconds_in_previous, created_at, created_by)
select
  crm_demo_id(at, deal_id::text || j),
  deal_id,
  from_stage,
  to_stage,
  amount,
  extract(epoch from at - lag(at) over (partition by deal_id order by j))::bigint,
  at,
  owner_id
from steps;

select sys_emit('crm.deal.won', 'crm_deal', d.id, app_date(d.closed_at), null, null, d.amount, d.currency)
from crm_deal d
join crm_stage s on s.id = d.stage_id
where s.kind = 'won'
order by d.closed_at;

-- what was done: one or two things for each deal, between its beginning and its last step or today
with deals as (
  select
    d.*,
    o.name as organization,
    row_number() over (order by d.id) as i,
    coalesce(d.closed_at, now()) - d.created_at as life
  from crm_deal d
  join crm_organization o on o.id = d.organization_id
), done as (
  select
    d.*,
    k,
    1 + floor(5 * crm_demo_random('kind' || k, i))::int as kind,
    1 + floor(3 * crm_demo_random('words' || k, i))::int as words,
    greatest(created_at, least(coalesce(closed_at, now()), crm_demo_time(created_at + life * (k - 0.3) / 2, 'done' || k, i))) as at
  from deals d
  cross join generate_series(1, 2) k
  where k = 1 or crm_demo_random('second', i) < 0.75
)
insert into crm_activity
  (id, kind, subject, body, due_at, done_at, outcome, owner_id, deal_id, contact_id, organization_id, created_at, updated_at, created_by)
select
  crm_demo_id(at, 'done' || i || '-' || k),
  (array['call', 'meeting', 'email', 'task', 'note'])[kind],
  case kind
    when 1 then (array['First call', 'Call about the offer', 'Follow-up call'])[words]
    when 2 then (array['Demonstration at ' || organization, 'Visit to ' || organization, 'Video meeting'])[words]
    when 3 then (array['Sent the proposal', 'Sent references', 'Answered questions'])[words]
    when 4 then (array['Prepare the quotation', 'Clarify delivery dates', 'Check the contract'])[words]
    else (array['Budget is confirmed', 'A competitor is in the race', 'Decision in the next board meeting'])[words]
  end,
  case when kind = 5 then 'Said on the phone by the contact.' end,
  case when kind = 4 then at + interval '1 day' end,
  at,
  case kind
    when 1 then (array['Interested, wants a quotation', 'Asked to call again next week', 'Needs the approval of finance'])[words]
    when 2 then (array['Liked the demonstration', 'Open questions about delivery', 'Decision maker took part'])[words]
  end,
  owner_id,
  id,
  contact_id,
  organization_id,
  at,
  at,
  owner_id
from done;

-- what is planned: something for four of five open deals, some of it overdue
insert into crm_activity (id, kind, subject, due_at, owner_id, deal_id, contact_id, organization_id, created_at, updated_at, created_by)
select
  crm_demo_id(at, 'plan' || i),
  (array['call', 'meeting', 'task'])[1 + (i % 3)],
  (array['Call about the decision', 'Present the offer', 'Send the revised quotation'])[1 + (i % 3)],
  greatest(at + interval '3 hours', date_trunc('day', now()) + interval '1 day' * (floor(18 * crm_demo_random('due', i)) - 3) + interval '6 hours'),
  owner_id,
  id,
  contact_id,
  organization_id,
  at,
  at,
  owner_id
from (
  select d.*, row_number() over (order by d.id) as i, greatest(d.stage_entered_at, now() - interval '4 days') as at
  from crm_deal d
  where closed_at is null
) d
where crm_demo_random('planned', i) < 0.8;

alter table crm_organization enable trigger user;
alter table crm_contact enable trigger user;
alter table crm_deal enable trigger user;
alter table crm_activity enable trigger user;

drop function crm_demo_random(text, bigint);
drop function crm_demo_id(timestamptz, text);
drop function crm_demo_time(timestamptz, text, bigint);
drop function crm_demo_owner(float8);
