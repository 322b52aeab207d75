-- Drafts for what other packs have delivered, and quotes whose time is over.

-- Lines: line_id, item_id, qty, unit_price, discount. Prices with tax are divided by the rate of the day of the draft.
create function sls_draft_for(
  p_source text,
  p_id uuid,
  p_party uuid,
  p_location uuid,
  p_currency text,
  p_inclusive boolean,
  p_lines jsonb
) returns uuid
language plpgsql as $$
declare
  made uuid;
begin
  perform app_require('invoices.create');
  if exists (select from sls_invoice where source_type = p_source and source_id = p_id and kind = 'invoice') then
    perform app_fail('AP409', 'already_invoiced', 'This has already been invoiced.');
  end if;
  insert into sls_invoice (party_id, location_id, source_type, source_id, currency)
  values (p_party, p_location, p_source, p_id, p_currency)
  returning id into made;
  insert into sls_invoice_line (invoice_id, line_no, item_id, qty, unit_price, discount, source_line_id)
  select made, n, i.id, (l ->> 'qty')::numeric, x.unit_price,
    least(round((l ->> 'discount')::numeric / x.part, 2), round((l ->> 'qty')::numeric * x.unit_price, 2)), (l ->> 'line_id')::uuid
  from jsonb_array_elements(p_lines) with ordinality y (l, n)
  join com_item i on i.id = (l ->> 'item_id')::uuid
  cross join lateral (
    select case
      when p_inclusive and (select gstin from sys_location where id = p_location) is not null
        then 1 + coalesce(com_tax_rate_on(i.tax_code_id, app_today()), 0) / 100
      else 1
    end as part) r
  cross join lateral (select round((l ->> 'unit_price')::numeric / r.part, 6) as unit_price, r.part) x;
  return made;
end $$;
comment on function sls_draft_for(text, uuid, uuid, uuid, text, boolean, jsonb)
  is 'internal: a draft invoice for packs above, once for each source';
revoke all on function sls_draft_for(text, uuid, uuid, uuid, text, boolean, jsonb) from public;

create function sls_expire_quotes() returns int
language sql security definer set search_path from current as $$
  with over as (
    select id from sls_quote where state = 'sent' and valid_until < app_today() order by id limit 1000 for update skip locked),
  expired as (
    update sls_quote q set state = 'expired' from over where q.id = over.id returning 1)
  select count(*)::int from expired
$$;
comment on function sls_expire_quotes() is 'ends quotes that are no longer valid; says how many';
revoke all on function sls_expire_quotes() from public;
