-- Example data: two more stores, two months of invoices with payments, credit notes, and quotes in every state.

do $$
declare
  digits constant text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ';
  boss constant uuid := (
    select ur.user_id from sys_user_role ur join sys_role r on r.id = ur.role_id where r.code = 'owner' limit 1);
  first_day constant date := (date_trunc('month', app_today()) - interval '2 months')::date;
  sellers uuid[];
  stores uuid[];
  made uuid;
  paid uuid;
  row jsonb;
  v sls_invoice;
begin
  perform set_config('app.user_id', boss::text, true);
  perform set_config('app.perms', '*', true);
  perform set_config('app.action', 'demo', true);

  insert into sys_location (code, name, kind, state_code, gstin, address)
  select s.code, s.name, 'store', left(s.body, 2), s.body || substr(digits, i, 1), jsonb_build_object('city', s.name)
  from (values ('MUM', 'Mumbai', '27AABCT1332L1Z'), ('CHN', 'Chennai', '33AABCT1332L1Z')) s (code, name, body)
  cross join generate_series(1, 36) i
  where com_gstin_ok(s.body || substr(digits, i, 1));
  stores := array(select id from sys_location where kind in ('store', 'warehouse') order by code);
  -- everybody works where the first location is; managers everywhere, the second seller in Mumbai only
  insert into sys_user_location (user_id, location_id)
  select ur.user_id, l.id
  from sys_user_role ur join sys_role r on r.id = ur.role_id and r.code in ('manager', 'accountant')
  cross join sys_location l
  where l.code <> 'BLR'
  on conflict do nothing;
  sellers := array(
    select ur.user_id from sys_user_role ur join sys_role r on r.id = ur.role_id and r.code = 'salesperson'
    join sys_user u on u.id = ur.user_id order by u.email);
  update sys_user_location set location_id = (select id from sys_location where code = 'MUM') where user_id = sellers[2];

  for n in 0 .. 29 loop
    insert into sls_invoice (party_id, location_id, invoice_date, owner_id)
    select p.id, stores[1 + n % 3], least(first_day + n * 2, app_today()),
      case when stores[1 + n % 3] = (select id from sys_location where code = 'MUM') then sellers[2] else sellers[1] end
    from com_party p where p.is_customer order by p.code offset n % 7 limit 1
    returning id into made;
    insert into sls_invoice_line (invoice_id, line_no, item_id, qty, discount)
    select made, row_number() over (order by i.sku), i.id, 1 + (n + length(i.sku)) % 5, case when n % 5 = 0 then 10.50 else 0 end
    from (select * from com_item order by sku offset n % 8 limit 2 + n % 2) i;
    -- the last two are still drafts
    continue when n > 27;
    perform sls_invoice_post(made, '{}');
    select * into v from sls_invoice where id = made;
    continue when n % 3 = 2;
    insert into com_payment (direction, party_id, location_id, paid_on, method, reference, amount)
    values ('in', v.party_id, v.location_id, least(v.invoice_date + 5, app_today()), case when n % 2 = 0 then 'upi' else 'bank' end,
      'TXN' || (880000 + n), case when n % 4 = 1 then round(v.total / 2, 2) else v.total end)
    returning id into paid;
    perform com_payment_post(paid, '{}');
    perform com_allocate(uuid_v7(), jsonb_build_object('payment_id', paid, 'open_item_id', (
      select o.id from com_open_item o where o.doc_id = v.id), 'amount', (select p.amount from com_payment p where p.id = paid)));
  end loop;

  -- two credit notes, of invoices that are not paid
  for v in
    select x.* from sls_invoice x join com_open_item o on o.doc_id = x.id and o.settled = 0 order by x.invoice_date desc, x.number limit 2
  loop
    row := sls_invoice_credit(v.id, '{"reason": "Goods came back damaged"}');
    made := (row ->> 'id')::uuid;
    delete from sls_invoice_line l where l.invoice_id = made and l.line_no > 1;
    perform sls_invoice_post(made, '{}');
    perform com_allocate(uuid_v7(), jsonb_build_object('credit_item_id', c.id, 'open_item_id', o.id, 'amount', c.amount))
    from com_open_item c, com_open_item o where c.doc_id = made and o.doc_id = v.id;
  end loop;

  for n in 0 .. 4 loop
    insert into sls_quote (party_id, location_id, price_list_id, quoted_on, valid_until, owner_id)
    select p.id, stores[1 + n % 3], (select id from com_price_list where code = 'RETAIL'), app_today() - 20,
      case n when 3 then app_today() - 1 else app_today() + 10 end,
      case when stores[1 + n % 3] = (select id from sys_location where code = 'MUM') then sellers[2] else sellers[1] end
    from com_party p where p.is_customer order by p.code offset n limit 1
    returning id into made;
    insert into sls_quote_line (quote_id, line_no, item_id, qty, discount_pct)
    select made, row_number() over (order by i.sku), i.id, 10, 5 from (select * from com_item order by sku offset n limit 2) i;
    continue when n = 0;
    perform sls_quote_send(made, '{}');
    case n
      when 2 then perform sls_quote_lose(made, '{"reason": "Too expensive"}');
      when 3 then perform sls_quote_expire(made, '{}');
      when 4 then perform sls_quote_to_invoice(made, '{}');
      else null;
    end case;
  end loop;

  perform set_config('app.user_id', '', true);
  perform set_config('app.perms', '', true);
  perform set_config('app.action', '', true);
end $$;
