-- Quotes on their way, and posting by GST rules.

create function sls_quote_send(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  q sls_quote;
begin
  perform app_require('quotes.send');
  select * into q from sls_quote where id = $1 for update;
  if q.id is null or not sls_sees(q.location_id, q.owner_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(q.state, 'draft');
  if not exists (select from sls_quote_line where quote_id = q.id) then
    perform app_fail('AP422', 'no_lines', 'The quote has no lines.');
  end if;
  update sls_quote set state = 'sent', number = sys_next_number('quote', quoted_on, location_id) where id = q.id returning * into q;
  return to_jsonb(q);
end $$;
comment on function sls_quote_send(uuid, jsonb) is 'gives a quote its number; its lines are fixed from then on';
revoke all on function sls_quote_send(uuid, jsonb) from public;

create function sls_quote_lose(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  q sls_quote;
begin
  perform app_require('quotes.send');
  select * into q from sls_quote where id = $1 for update;
  if q.id is null or not sls_sees(q.location_id, q.owner_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(q.state, 'sent');
  if length(btrim(input ->> 'reason')) = 0 then
    perform app_fail('AP422', 'reason', 'is needed for a lost quote', 'reason');
  end if;
  update sls_quote set state = 'lost', lost_reason = input ->> 'reason' where id = q.id returning * into q;
  return to_jsonb(q);
end $$;
comment on function sls_quote_lose(uuid, jsonb) is 'the customer does not buy';
revoke all on function sls_quote_lose(uuid, jsonb) from public;

create function sls_quote_expire(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  q sls_quote;
begin
  perform app_require('quotes.send');
  select * into q from sls_quote where id = $1 for update;
  if q.id is null or not sls_sees(q.location_id, q.owner_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(q.state, 'sent');
  if q.valid_until >= app_today() then
    perform app_fail('AP409', 'still_valid', format('The quote is valid until %s.', q.valid_until));
  end if;
  update sls_quote set state = 'expired' where id = q.id returning * into q;
  return to_jsonb(q);
end $$;
comment on function sls_quote_expire(uuid, jsonb) is 'the day until which the quote was valid is over';
revoke all on function sls_quote_expire(uuid, jsonb) from public;

create function sls_quote_to_invoice(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  q sls_quote;
  v sls_invoice;
  day constant date := coalesce((input ->> 'invoice_date')::date, app_today());
begin
  perform app_require('invoices.create');
  select * into q from sls_quote where id = $1 for update;
  if q.id is null or not sls_sees(q.location_id, q.owner_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(q.state, 'sent', 'accepted');
  if q.valid_until < day then
    perform app_fail('AP422', 'expired', format('The quote was valid until %s.', q.valid_until), 'invoice_date');
  end if;
  if exists (select from sls_invoice where source_type = 'sls_quote' and source_id = q.id and kind = 'invoice') then
    perform app_fail('AP409', 'already_invoiced', 'The quote has already been invoiced.');
  end if;
  insert into sls_invoice (party_id, location_id, quote_id, source_type, source_id, invoice_date, currency, owner_id)
  values (q.party_id, q.location_id, q.id, 'sls_quote', q.id, day, q.currency, q.owner_id)
  returning * into v;
  insert into sls_invoice_line (invoice_id, line_no, item_id, description, qty, unit_price, discount)
  select v.id, l.line_no, l.item_id, l.description, l.qty, l.unit_price, round(l.qty * l.unit_price, 2) - l.amount
  from sls_quote_line l
  where l.quote_id = q.id;
  update sls_quote set state = 'accepted' where id = q.id;
  return to_jsonb(v);
end $$;
comment on function sls_quote_to_invoice(uuid, jsonb) is 'makes a draft invoice of a quote, once';
revoke all on function sls_quote_to_invoice(uuid, jsonb) from public;

create function sls_invoice_credit(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  o sls_invoice;
  v sls_invoice;
begin
  perform app_require('invoices.create');
  select * into o from sls_invoice where id = $1 for update;
  if o.id is null or not sls_sees(o.location_id, o.owner_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  if o.kind <> 'invoice' or o.state <> 'posted' then
    perform app_fail('AP409', 'wrong_state', 'Only a posted invoice is credited.');
  end if;
  insert into sls_invoice (kind, against_id, reason, party_id, location_id, currency, owner_id)
  values ('credit_note', o.id, input ->> 'reason', o.party_id, o.location_id, o.currency, o.owner_id)
  returning * into v;
  insert into sls_invoice_line (invoice_id, line_no, item_id, description, qty, unit_price, discount, original_line_id)
  select v.id, l.line_no, l.item_id, l.description, l.qty - l.credited, l.unit_price,
    least(round(l.discount * (l.qty - l.credited) / l.qty, 2), round((l.qty - l.credited) * l.unit_price, 2)), l.id
  from (
    select ol.*, coalesce((
      select sum(c.qty) from sls_invoice_line c join sls_invoice n on n.id = c.invoice_id and n.state = 'posted'
      where c.original_line_id = ol.id), 0) as credited
    from sls_invoice_line ol
    where ol.invoice_id = o.id) l
  where l.qty > l.credited;
  if not found then
    perform app_fail('AP422', 'over_credit', 'Everything has already been credited.');
  end if;
  return to_jsonb(v);
end $$;
comment on function sls_invoice_credit(uuid, jsonb) is 'makes a draft credit note of what has not been credited yet';
revoke all on function sls_invoice_credit(uuid, jsonb) from public;

create function sls_flag(p_key text) returns boolean
language sql stable as $$
  select coalesce((select value = 'true' from sys_setting where key = p_key), false)
$$;
comment on function sls_flag(text) is 'internal: a setting that is true or false';
revoke all on function sls_flag(text) from public;

-- A credit note takes rate, code and place from the original, and credits no more of a line than was invoiced.
create function sls_credit_lines(v sls_invoice, o sls_invoice) returns void
language plpgsql as $$
declare
  bad int;
begin
  select min(x.line_no) into bad
  from (
    select l.line_no, l.item_id, l.unit_price, l.original_line_id,
      sum(l.qty) over w as qty, sum(l.taxable) over w as taxable
    from sls_invoice_line l
    where l.invoice_id = v.id
    window w as (partition by l.original_line_id)) x
  left join sls_invoice_line ol on ol.id = x.original_line_id and ol.invoice_id = o.id and ol.item_id = x.item_id
  cross join lateral (
    select coalesce(sum(y.qty), 0) as qty, coalesce(sum(y.taxable), 0) as taxable
    from sls_invoice_line y
    join sls_invoice yi on yi.id = y.invoice_id and yi.state = 'posted'
    where y.original_line_id = ol.id) was
  where ol.id is null or x.qty + was.qty > ol.qty or x.taxable + was.taxable > ol.taxable or x.unit_price > ol.unit_price;
  if bad is not null then
    perform app_fail('AP422', 'over_credit', format('Line %s credits more than was invoiced.', bad));
  end if;
  update sls_invoice_line x
  set tax_rate = ol.tax_rate, hsn_sac = ol.hsn_sac, inter_state = o.inter_state
  from sls_invoice_line ol
  where x.invoice_id = v.id and ol.id = x.original_line_id;
end $$;
comment on function sls_credit_lines(sls_invoice, sls_invoice) is 'internal: prepares the lines of a credit note';
revoke all on function sls_credit_lines(sls_invoice, sls_invoice) from public;

create function sls_lines(v sls_invoice) returns jsonb
language sql immutable as $$
  select jsonb_agg(jsonb_build_object(
    'role', role,
    'party', role = 'receivable',
    case when (amount > 0) = (v.kind = 'invoice') then side when side = 'debit' then 'credit' else 'debit' end, abs(amount))
    order by n)
  from (values
    (1, 'receivable', 'debit', v.total),
    (2, 'sales', 'credit', v.taxable),
    (3, 'output_cgst', 'credit', v.cgst),
    (4, 'output_sgst', 'credit', v.sgst),
    (5, 'output_igst', 'credit', v.igst),
    (6, 'rounding', 'credit', v.round_off)) q (n, role, side, amount)
  where amount <> 0
$$;
comment on function sls_lines(sls_invoice) is 'internal: the double entry of an invoice by role, mirrored for a credit note';
revoke all on function sls_lines(sls_invoice) from public;

create function sls_need_credit(c com_party, p_total numeric) returns void
language plpgsql as $$
declare
  exposure numeric;
begin
  if c.credit_limit is null or app_has('sales.credit_override') then
    return;
  end if;
  select coalesce(sum(case side when 'due' then outstanding else -outstanding end), 0) + p_total into exposure
  from com_open_item
  where party_id = c.id and ledger = 'receivable';
  if exposure > c.credit_limit then
    perform app_fail('AP422', 'credit_limit', format('The customer would owe %s, more than the limit of %s.', exposure, c.credit_limit));
  end if;
end $$;
comment on function sls_need_credit(com_party, numeric) is 'internal: refuses what would take a customer beyond his credit limit';
revoke all on function sls_need_credit(com_party, numeric) from public;

-- Sections 8 and 12 of the IGST Act: a supply to another state, to a special economic zone or abroad bears IGST, any other one CGST and
-- SGST in halves. A seller without GSTIN charges none. One lock per series: numbers follow dates.
create function sls_invoice_post(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  v sls_invoice;
  c com_party;
  l sys_location;
  o sls_invoice;
  t record;
  rounding numeric := 0;
begin
  perform app_require('invoices.post');
  select * into v from sls_invoice where id = $1 for update;
  if v.id is null or not sls_sees(v.location_id, v.owner_id) then
    perform app_fail('AP404', 'not_found', 'not found');
  end if;
  perform com_need_state(v.state, 'draft');
  perform pg_advisory_xact_lock(hashtextextended(current_schema() || '.sls_series.' || v.kind || v.location_id, 0));
  select * into c from com_party where id = v.party_id for update;
  select * into l from sys_location where id = v.location_id;
  if not c.is_customer or c.state <> 'active' then
    perform app_fail('AP422', 'customer', format('names a customer who is %s', c.state), 'party_id');
  end if;
  if v.invoice_date > app_today() then
    perform app_fail('AP422', 'future_date', 'must not be in the future', 'invoice_date');
  end if;
  if exists (
    select from sls_invoice x
    where x.location_id = v.location_id and x.kind = v.kind and x.state = 'posted' and x.invoice_date > v.invoice_date
      and sys_fy(x.invoice_date) = sys_fy(v.invoice_date)) then
    perform app_fail('AP422', 'backdated', 'is before a document of this series that has been posted', 'invoice_date');
  end if;
  v.pos_state := coalesce(v.pos_state, c.state_code, l.state_code);
  v.inter_state := l.gstin is not null and (c.gst_category in ('sez', 'overseas') or v.pos_state is distinct from l.state_code);
  if v.kind = 'credit_note' then
    select * into o from sls_invoice x
    where x.id = v.against_id and x.state = 'posted' and x.kind = 'invoice' and x.party_id = v.party_id for update;
    if o.id is null then
      perform app_fail('AP422', 'against', 'must name a posted invoice of the same customer', 'against_id');
    end if;
    v.pos_state := o.pos_state;
    v.inter_state := o.inter_state;
    perform sls_credit_lines(v, o);
  else
    update sls_invoice_line x
    set
      inter_state = v.inter_state,
      hsn_sac = coalesce(x.hsn_sac, i.hsn_sac),
      tax_rate = case when l.gstin is null then 0 else coalesce(com_tax_rate_on(i.tax_code_id, v.invoice_date), x.tax_rate) end
    from com_item i
    where x.invoice_id = v.id and i.id = x.item_id;
    if l.gstin is not null and exists (select from sls_invoice_line x where x.invoice_id = v.id and x.hsn_sac is null) then
      perform app_fail('AP422', 'hsn', 'Every line of a tax invoice needs an HSN or SAC.');
    end if;
  end if;
  select coalesce(sum(x.taxable), 0) as taxable, coalesce(sum(x.cgst), 0) as cgst, coalesce(sum(x.sgst), 0) as sgst,
    coalesce(sum(x.igst), 0) as igst, coalesce(sum(x.taxable + x.cgst + x.sgst + x.igst), 0) as total
  into t
  from sls_invoice_line x
  where x.invoice_id = v.id;
  if t.taxable <= 0 then
    perform app_fail('AP422', 'no_lines', 'There is nothing to invoice.');
  end if;
  if sls_flag('round_invoice_total') then
    rounding := round(t.total) - t.total;
  end if;
  if v.kind = 'invoice' then
    perform sls_need_credit(c, t.total + rounding);
  end if;
  update sls_invoice x
  set
    pos_state = v.pos_state,
    inter_state = v.inter_state,
    supplier_gstin = l.gstin,
    customer_gstin = case when o.id is null then c.gstin else o.customer_gstin end,
    gst_category = case when o.id is null then c.gst_category else o.gst_category end,
    taxable = t.taxable,
    cgst = t.cgst,
    sgst = t.sgst,
    igst = t.igst,
    round_off = rounding,
    total = t.total + rounding,
    due_date = coalesce(x.due_date, x.invoice_date + c.terms_days),
    number = sys_next_number(x.kind, x.invoice_date, x.location_id),
    state = 'posted',
    posted_at = now()
  where x.id = v.id
  returning * into v;
  insert into com_open_item (party_id, ledger, side, doc_type, doc_id, number, location_id, doc_date, due_date, currency, amount)
  values (v.party_id, 'receivable', case v.kind when 'invoice' then 'due' else 'credit' end, 'sls_invoice', v.id, v.number,
    v.location_id, v.invoice_date, v.due_date, v.currency, v.total);
  perform sys_emit('sales.' || v.kind || '.posted', 'sls_invoice', v.id, v.invoice_date, v.location_id, v.party_id, v.total, v.currency,
    sls_lines(v));
  return to_jsonb(v);
end $$;
comment on function sls_invoice_post(uuid, jsonb) is 'works out the tax, gives the number, and makes what is owed';
revoke all on function sls_invoice_post(uuid, jsonb) from public;
