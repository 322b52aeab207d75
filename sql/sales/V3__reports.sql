-- Reports. All run with the caller's rights.

create view sls_v_register with (security_invoker = true) as
select
  v.id,
  v.kind,
  v.number,
  v.invoice_date,
  v.location_id,
  v.party_id,
  c.name as customer,
  v.customer_gstin,
  v.pos_state,
  v.taxable,
  v.cgst,
  v.sgst,
  v.igst,
  v.round_off,
  v.total,
  o.outstanding,
  case when o.settled = 0 then 'unpaid' when o.outstanding = 0 then 'paid' when o.settled > 0 then 'partly_paid' end as payment_state,
  o.side = 'due' and o.outstanding > 0 and v.due_date < app_today() as overdue
from sls_invoice v
left join com_party c on c.id = v.party_id
left join com_open_item o on o.doc_type = 'sls_invoice' and o.doc_id = v.id
where v.state = 'posted';
comment on view sls_v_register is 'posted documents, and what of them is paid';

-- The limit of B2CL is a setting because law changes it: 2.5 lakh until July 2024, 1 lakh after (notification 12/2024).
create view sls_v_gstr1 with (security_invoker = true) as
select
  date_trunc('month', v.invoice_date)::date as month,
  v.supplier_gstin,
  case
    when v.kind = 'credit_note' and v.customer_gstin is not null then 'CDNR'
    when v.kind = 'credit_note' and (o.inter_state and o.total > s.b2cl or v.gst_category = 'overseas') then 'CDNUR'
    when v.gst_category = 'overseas' then 'EXP'
    when v.customer_gstin is not null then 'B2B'
    when v.inter_state and v.kind = 'invoice' and v.total > s.b2cl then 'B2CL'
    else 'B2CS'
  end as section,
  v.number,
  v.invoice_date,
  v.customer_gstin,
  v.pos_state,
  l.tax_rate,
  sum(l.taxable * s.sign) as taxable,
  sum(l.cgst * s.sign) as cgst,
  sum(l.sgst * s.sign) as sgst,
  sum(l.igst * s.sign) as igst
from sls_invoice v
join sls_invoice_line l on l.invoice_id = v.id
left join sls_invoice o on o.id = v.against_id
cross join lateral (
  select
    case v.kind when 'invoice' then 1 else -1 end as sign,
    coalesce((select (value #>> '{}')::numeric from sys_setting where key = 'gstr1_b2cl_limit'), 100000) as b2cl) s
where v.state = 'posted'
group by v.id, o.id, s.b2cl, l.tax_rate, s.sign;
comment on view sls_v_gstr1 is 'the section of GSTR-1 of every document, by rate; credit notes are negative';

create view sls_v_hsn with (security_invoker = true) as
select
  date_trunc('month', v.invoice_date)::date as month,
  v.supplier_gstin,
  l.hsn_sac,
  i.uom,
  l.tax_rate,
  sum(l.qty * s.sign) as qty,
  sum(l.taxable * s.sign) as taxable,
  sum(l.igst * s.sign) as igst,
  sum(l.cgst * s.sign) as cgst,
  sum(l.sgst * s.sign) as sgst
from sls_invoice v
join sls_invoice_line l on l.invoice_id = v.id
join com_item i on i.id = l.item_id
cross join lateral (select case v.kind when 'invoice' then 1 else -1 end as sign) s
where v.state = 'posted'
group by 1, 2, 3, 4, 5;
comment on view sls_v_hsn is 'quantities and taxes by HSN or SAC and month';

-- the margin is empty for who may not see costs
create view sls_v_revenue with (security_invoker = true) as
select
  date_trunc('month', v.invoice_date)::date as month,
  v.location_id,
  v.party_id,
  l.item_id,
  i.category,
  v.owner_id,
  sum(l.qty * s.sign) as qty,
  sum(l.taxable * s.sign) as revenue,
  sum((l.taxable - round(l.qty * c.standard_cost, 2)) * s.sign) as margin_at_standard
from sls_invoice v
join sls_invoice_line l on l.invoice_id = v.id
join com_item i on i.id = l.item_id
left join com_item_cost c on c.item_id = i.id
cross join lateral (select case v.kind when 'invoice' then 1 else -1 end as sign) s
where v.state = 'posted'
group by 1, 2, 3, 4, 5, 6;
comment on view sls_v_revenue is 'revenue by month, location, customer, product and owner';
