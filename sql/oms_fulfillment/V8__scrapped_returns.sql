-- What comes back at one cost and is thrown away from a bin where the same product lies at another leaves at the average of both: the event
-- says so, or the inventory of the ledger would differ from the stock.
create or replace function oms_return_receive(id uuid, input jsonb) returns jsonb
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
declare
  r oms_return;
  l oms_order_line;
  bin constant uuid := (input ->> 'bin_id')::uuid;
  loc constant uuid := oms_need_bin((input ->> 'bin_id')::uuid, 'bin_id');
  way constant text := input ->> 'disposition';
  lot constant text := coalesce(input ->> 'lot', '');
  kind text;
  cost numeric;
  value numeric;
  thrown uuid;
  lost numeric := 0;
begin
  perform app_require('oms.returns.receive');
  r := oms_return_locked($1);
  perform com_need_state(r.state, 'approved');
  if way not in ('restock', 'quarantine', 'scrap') then
    perform app_fail('AP422', 'disposition', 'must be restock, quarantine or scrap', 'disposition');
  end if;
  select z.kind into kind from oms_bin b join oms_zone z on z.id = b.zone_id where b.id = bin;
  if (way = 'restock') <> (kind in ('storage', 'picking', 'returns')) then
    perform app_fail('AP422', 'bin', format('is in a zone for %s, which does not fit %s', kind, way), 'bin_id');
  end if;
  update oms_order_line set qty_returned = qty_returned + r.qty where id = r.order_line_id returning * into l;
  select coalesce(sum(m.qty * m.unit_cost) / nullif(sum(m.qty), 0), 0) into cost
  from oms_stock_move m
  join oms_reservation x on m.source_type = 'oms_reservation' and x.id = m.source_id
  where x.order_line_id = l.id and m.reason = 'shipment';
  perform oms_move(l.item_id, lot, null, bin, r.qty, cost, 'return', 'oms_return', r.id);
  value := round(r.qty * cost, 2);
  if way = 'scrap' then
    thrown := oms_move(l.item_id, lot, bin, null, r.qty, null, 'scrap', 'oms_return', r.id, 'returned and scrapped');
    lost := (select round(r.qty * unit_cost, 2) from oms_stock_move where id = thrown);
  end if;
  update oms_return
  set
    state = 'received',
    disposition = way,
    to_bin = bin,
    received_at = now(),
    number = sys_next_number('return', app_today(), loc)
  where id = r.id
  returning * into r;
  perform sys_emit('oms.return.received', 'oms_return', r.id, app_today(), loc, null, value, com_base(), (
    select coalesce(jsonb_agg(jsonb_build_object('role', role, case when d > 0 then 'debit' else 'credit' end, abs(d)) order by n), '[]')
    from (values (1, 'stock_loss', lost), (2, 'inventory', value - lost), (3, 'cogs', -value)) x (n, role, d)
    where d <> 0));
  return to_jsonb(r);
end $$;
