-- Example data for a trading company that has just been made: a location where everybody works, products with prices and costs, and
-- customers. One transaction, run as the owner of the tables.

do $$
declare
  digits constant text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ';
  boss constant uuid := (
    select ur.user_id from sys_user_role ur join sys_role r on r.id = ur.role_id where r.code = 'owner' limit 1);
  place uuid;
  list uuid;
begin
  if exists (select from com_party) then
    perform app_fail('AP409', 'not_empty', 'Example data goes only into an empty tenant.');
  end if;
  perform set_config('app.user_id', boss::text, true);

  insert into sys_location (code, name, kind, state_code, gstin, address)
  select 'BLR', 'Bengaluru', 'warehouse', '29', '29AABCT1332L1Z' || substr(digits, i, 1), '{"city": "Bengaluru", "pincode": "560001"}'
  from generate_series(1, 36) i
  where com_gstin_ok('29AABCT1332L1Z' || substr(digits, i, 1))
  returning id into place;
  insert into sys_user_location (user_id, location_id, is_default) select id, place, true from sys_user;

  insert into sys_org_edge (user_id, manager_id)
  select s.user_id, m.user_id
  from sys_user_role s join sys_role sr on sr.id = s.role_id and sr.code = 'salesperson'
  cross join sys_user_role m join sys_role mr on mr.id = m.role_id and mr.code = 'manager'
  on conflict do nothing;

  insert into com_item (sku, name, kind, is_stocked, uom, category, hsn_sac, tax_code_id, list_price, weight_g)
  select p.sku, p.name, p.kind, p.kind = 'goods', p.uom, p.category, p.hsn, t.id, p.price, p.weight
  from (values
    ('TEA-250', 'Assam tea 250 g', 'goods', 'NOS', 'Grocery', '0902', 'GST5', 180.00, 260),
    ('COF-500', 'Filter coffee 500 g', 'goods', 'NOS', 'Grocery', '0901', 'GST5', 420.00, 510),
    ('SPC-100', 'Garam masala 100 g', 'goods', 'NOS', 'Grocery', '0910', 'GST5', 95.00, 110),
    ('KET-15L', 'Steel kettle 1.5 l', 'goods', 'NOS', 'Kitchen', '7323', 'GST18', 1249.00, 900),
    ('PAN-24', 'Iron pan 24 cm', 'goods', 'NOS', 'Kitchen', '7323', 'GST18', 899.50, 1400),
    ('KNF-SET', 'Knife set of five', 'goods', 'NOS', 'Kitchen', '8211', 'GST18', 1799.00, 800),
    ('LMP-LED', 'LED desk lamp', 'goods', 'NOS', 'Home', '9405', 'GST18', 1499.00, 650),
    ('TWL-6', 'Cotton towels, six', 'goods', 'NOS', 'Home', '6302', 'GST5', 749.00, 1200),
    ('BAG-JUT', 'Jute bag', 'goods', 'NOS', 'Home', '4202', 'GST18', 249.33, 200),
    ('GFT-WRP', 'Gift wrapping', 'service', 'NOS', 'Service', '9985', 'GST18', 49.00, null))
    p (sku, name, kind, uom, category, hsn, tax, price, weight)
  join com_tax_code t on t.code = p.tax;
  insert into com_item_cost (item_id, standard_cost) select id, round(list_price * 0.62, 2) from com_item where is_stocked;
  insert into com_price_list (code, name) values ('RETAIL', 'Retail') returning id into list;
  insert into com_price (price_list_id, item_id, min_qty, unit_price) select list, id, 1, list_price from com_item;
  insert into com_price (price_list_id, item_id, min_qty, unit_price)
  select list, id, 10, round(list_price * 0.9, 2) from com_item where category = 'Grocery';

  insert into com_party (code, name, is_customer, is_vendor, kind, gst_category, gstin, state_code, email, phone, credit_limit, terms_days)
  select p.code, p.name, p.customer, not p.customer, p.kind, case when g.gstin is null then 'unregistered' else 'regular' end, g.gstin,
    p.state, p.email, '+9180555000' || p.n, p.credit, p.terms
  from (values
    (10, 'C-SHARMA', 'Sharma Stores', true, 'organization', '29AAFCS4567K1Z', '29', 'accounts@sharma.example', 200000, 30),
    (11, 'C-LOTUS', 'Lotus Cafe', true, 'organization', '27AAPFU0939F1Z', '27', 'office@lotus.example', 100000, 15),
    (12, 'C-NOVA', 'Nova Hotels', true, 'organization', '33AADCN7788M1Z', '33', 'purchase@nova.example', 500000, 45),
    (13, 'C-GREEN', 'Green Leaf Traders', true, 'organization', '29AAGCG1122P1Z', '29', 'hello@greenleaf.example', 150000, 30),
    (14, 'C-ANITA', 'Anita Desai', true, 'person', null, '29', 'anita@mail.example', null, 0),
    (15, 'C-RAHUL', 'Rahul Verma', true, 'person', null, '27', 'rahul@mail.example', null, 0),
    (16, 'C-ZOYA', 'Zoya Khan', true, 'person', null, '29', 'zoya@mail.example', null, 0),
    (17, 'V-ASSAM', 'Assam Tea Estates', false, 'organization', '18AACCA9988Q1Z', '18', 'sales@assamtea.example', null, 30),
    (18, 'V-STEEL', 'Deccan Steelware', false, 'organization', '36AAECD5566R1Z', '36', 'sales@deccan.example', null, 30))
    p (n, code, name, customer, kind, body, state, email, credit, terms)
  left join lateral (
    select p.body || substr(digits, i, 1) as gstin from generate_series(1, 36) i where com_gstin_ok(p.body || substr(digits, i, 1))) g on true;
  insert into com_party_address (party_id, kind, line1, city, state_code, pincode, is_default)
  select id, k.kind, '1 Market Road', 'Bengaluru', state_code, '560001', true
  from com_party cross join (values ('billing'), ('shipping')) k (kind)
  where is_customer;

  perform set_config('app.user_id', '', true);
end $$;
