-- Example data: a warehouse with stock in bins, and orders in every state. All of it by the functions that people use.

do $$
declare
  boss constant uuid := (
    select ur.user_id from sys_user_role ur join sys_role r on r.id = ur.role_id where r.code = 'owner' limit 1);
  place constant uuid := (select id from sys_location where code = 'BLR');
  zone record;
  item record;
  bin uuid;
  made uuid;
  shipment uuid;
  back uuid;
  r record;
  -- how far each order goes
  ways constant text[] := array['draft', 'confirmed', 'delivered', 'picking', 'packed', 'shipped', 'delivered', 'returned', 'partly_shipped',
    'cancelled', 'delivered', 'shipped', 'confirmed', 'backorder'];
begin
  perform set_config('app.user_id', boss::text, true);
  perform set_config('app.perms', '*', true);
  perform set_config('app.action', 'demo', true);

  insert into oms_zone (location_id, code, kind, pick_sequence) values
    (place, 'RECV', 'receiving', 10), (place, 'PICK', 'picking', 20), (place, 'STORE', 'storage', 30), (place, 'PACK', 'packing', 40),
    (place, 'RET', 'returns', 50), (place, 'QUAR', 'quarantine', 60);
  for zone in select id, code from oms_zone order by pick_sequence loop
    insert into oms_bin (zone_id, code, pick_sequence) select zone.id, zone.code || '-' || lpad(i::text, 2, '0'), i from generate_series(1, 4) i;
  end loop;

  for item in
    select i.id, i.category, c.standard_cost, row_number() over (order by i.sku) as n
    from com_item i join com_item_cost c on c.item_id = i.id order by i.sku
  loop
    for zone in select z.code, z.id from oms_zone z where z.kind in ('picking', 'storage') order by z.code loop
      select b.id into bin from oms_bin b where b.zone_id = zone.id order by b.code offset item.n % 4 limit 1;
      perform oms_bin_open(bin, jsonb_build_object(
        'item_id', item.id,
        'lot', case when item.category = 'Grocery' then 'L' || item.n || left(zone.code, 1) else '' end,
        'qty', case zone.code when 'PICK' then 12 + item.n else 60 end,
        'unit_cost', item.standard_cost,
        'expires_on', case when item.category = 'Grocery' then app_today() + 120 + item.n::int * 10 end));
    end loop;
  end loop;

  for n in 1 .. cardinality(ways) loop
    insert into oms_order (channel, external_ref, party_id, location_id, promised_on, ordered_on)
    select case when n % 3 = 0 then 'phone' else 'office' end, 'PO-' || (4000 + n), p.id, place, app_today() + (n % 4), app_today() - 1
    from com_party p where p.is_customer order by p.code offset n % 7 limit 1
    returning id into made;
    insert into oms_order_line (order_id, line_no, item_id, qty, unit_price, tax_rate)
    select made, row_number() over (order by i.sku), i.id, case when ways[n] = 'backorder' then 200 else 1 + n % 4 end, i.list_price,
      com_tax_rate_on(i.tax_code_id, app_today())
    from (
      select * from com_item where is_stocked order by sku
      offset case ways[n] when 'backorder' then 0 else n % 6 end limit case ways[n] when 'backorder' then 1 else 2 end) i;
    continue when ways[n] = 'draft';
    perform oms_order_confirm(made, jsonb_build_object('allow_backorder', ways[n] = 'backorder'));
    if ways[n] = 'cancelled' then
      perform oms_order_cancel(made, '{"reason": "The customer changed his mind"}');
    end if;
    continue when ways[n] in ('confirmed', 'backorder', 'cancelled');
    insert into oms_shipment (order_id, location_id) values (made, place) returning id into shipment;
    for r in
      select x.id, l.line_no from oms_reservation x join oms_order_line l on l.id = x.order_line_id
      where l.order_id = made and x.state = 'reserved' order by l.line_no, x.id
    loop
      continue when ways[n] = 'partly_shipped' and r.line_no > 1;
      perform oms_reservation_pick(r.id, jsonb_build_object('shipment_id', shipment));
    end loop;
    continue when ways[n] = 'picking';
    perform oms_shipment_pack(shipment, '{"weight_g": 1500}');
    continue when ways[n] = 'packed';
    perform oms_shipment_ship(shipment, jsonb_build_object('carrier', 'Blue Parcel', 'tracking_no', 'BP' || (700000 + n)));
    continue when ways[n] not in ('delivered', 'returned');
    perform oms_shipment_deliver(shipment, '{}');
    if ways[n] = 'returned' then
      insert into oms_return (order_line_id, qty, reason)
      select l.id, 1, 'The wrong colour' from oms_order_line l where l.order_id = made order by l.line_no limit 1
      returning id into back;
      perform oms_return_approve(back, '{}');
      select b.id into bin from oms_bin b join oms_zone z on z.id = b.zone_id and z.kind = 'returns' order by b.code limit 1;
      perform oms_return_receive(back, jsonb_build_object('disposition', 'restock', 'bin_id', bin));
    end if;
  end loop;
  insert into oms_return (order_line_id, qty, reason)
  select l.id, 1, 'Arrived too late' from oms_order_line l join oms_order o on o.id = l.order_id and o.state = 'delivered'
  where l.qty_returned = 0 order by o.number, l.line_no limit 1;

  perform set_config('app.user_id', '', true);
  perform set_config('app.perms', '', true);
  perform set_config('app.action', '', true);
end $$;
