-- A trading company: 1,000 products that lie in ten bins each, orders of three products of which one row does not suffice, and a ledger
-- of four lines an entry over two years.
set session_replication_role = replica;
insert into sys_location (code, name, kind) values ('BENCH', 'Warehouse', 'warehouse');
insert into oms_zone (location_id, code, kind, pick_sequence)
select l.id, 'Z' || n, 'storage', n from sys_location l, generate_series(1, 10) n;
insert into oms_bin (zone_id, code, pick_sequence)
select z.id, 'B' || n, n from oms_zone z, generate_series(1, {stock} / 100) n;
insert into com_item (sku, name) select 'ITEM-' || n, 'Product ' || n from generate_series(1, {stock} / 10) n;
insert into oms_stock (location_id, bin_id, item_id, on_hand, avg_cost)
select z.location_id, b.id, i.id, 5, 60
from (select id, zone_id, row_number() over (partition by zone_id order by id) as n from oms_bin) b
join oms_zone z on z.id = b.zone_id
join (select id, row_number() over (order by id) as n from com_item) i on i.n % ({stock} / 100) = b.n - 1;
insert into oms_order (location_id) select l.id from sys_location l, generate_series(1, {orders}) n;
insert into oms_order_line (order_id, line_no, item_id, qty, unit_price)
select o.id, p.n, i.id, 7, 100
from (select id, row_number() over (order by id) as n from oms_order) o
cross join generate_series(1, 3) p (n)
join (select id, row_number() over (order by id) as n from com_item) i on i.n = 1 + (o.n * 3 + p.n) % ({stock} / 10);

insert into fin_entry (entry_date, period_id, number, state, posted_at, chain_no)
select d.day, (select id from fin_period where span @> d.day), 'B' || n, 'posted', now(), n
from generate_series(1, {lines} / 4) n
cross join lateral (select current_date - (n % 365) as day) d;
insert into fin_line (entry_id, line_no, account_id, location_id, debit, credit)
select e.id, p.n, a.id, l.id, case when p.n <= 2 then 100 else 0 end, case when p.n > 2 then 100 else 0 end
from fin_entry e
cross join sys_location l
cross join generate_series(1, 4) p (n)
join (select id, row_number() over (order by code) as n, count(*) over () as of_all from fin_account where not is_group) a
  on a.n = 1 + (e.chain_no * 7 + p.n * 5) % a.of_all;
set session_replication_role = origin;
analyze;
