-- Business facts: the only way packs talk upwards. One row per fact, in the transaction of the action, exactly once.

create table sys_event (
  seq bigint generated always as identity primary key,
  event text not null,
  source_type text not null,
  source_id uuid not null,
  occurred_on date not null,
  location_id uuid,
  party_id uuid,
  amount numeric(18,2),
  currency char(3),
  lines jsonb not null default '[]',
  constraint sys_event_key unique (event, source_type, source_id),
  constraint sys_event_lines check (jsonb_typeof(lines) = 'array'),
  constraint sys_event_location_fk foreign key (location_id) references sys_location
);
comment on table sys_event is 'business facts, append-only; lines are double entries by role, never by account';
comment on constraint sys_event_key on sys_event is 'has already been recorded';
comment on constraint sys_event_location_fk on sys_event is 'does not name an existing location | is still used by events';
select sys_append_only('sys_event');
create index sys_event_occurred on sys_event (event, occurred_on);
create index sys_event_location on sys_event (location_id, occurred_on);

create function sys_emit(
  p_event text,
  p_type text,
  p_id uuid,
  p_on date,
  p_loc uuid,
  p_party uuid,
  p_amount numeric,
  p_cur text,
  p_lines jsonb default '[]'
) returns void
language sql as $$
  insert into sys_event (event, source_type, source_id, occurred_on, location_id, party_id, amount, currency, lines)
  values (p_event, p_type, p_id, p_on, p_loc, p_party, p_amount, p_cur, p_lines)
$$;
comment on function sys_emit(text, text, uuid, date, uuid, uuid, numeric, text, jsonb)
  is 'internal: records a fact, as the last statement of an action; a second time is an error';
revoke all on function sys_emit(text, text, uuid, date, uuid, uuid, numeric, text, jsonb) from public;

create function sys_emitted(p_event text, p_type text, p_id uuid) returns boolean
language sql stable as $$
  select exists (select from sys_event where event = p_event and source_type = p_type and source_id = p_id)
$$;
comment on function sys_emitted(text, text, uuid) is 'internal: has this fact been recorded';
revoke all on function sys_emitted(text, text, uuid) from public;

-- reads only events, so it works for any set of packs
create view sys_v_location_performance with (security_invoker = true) as
select
  l.id as location_id,
  l.code,
  l.name,
  date_trunc('month', e.occurred_on)::date as month,
  e.currency,
  count(*) filter (where e.event = 'sales.invoice.posted') as invoices,
  coalesce(sum(e.amount) filter (where e.event = 'sales.invoice.posted'), 0)
    - coalesce(sum(e.amount) filter (where e.event = 'sales.credit_note.posted'), 0) as net_sales,
  coalesce(sum(e.amount) filter (where e.event = 'finance.expense.posted'), 0) as expenses,
  coalesce(sum(e.amount) filter (where e.event = 'payment.in.posted'), 0) as collected,
  count(*) filter (where e.event = 'oms.shipment.shipped') as shipments,
  count(*) filter (where e.event = 'oms.return.received') as returns
from sys_event e
join sys_location l on l.id = e.location_id
group by l.id, l.code, l.name, 4, e.currency;
comment on view sys_v_location_performance is 'sales, expenses and shipments of each location by month';
