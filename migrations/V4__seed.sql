-- What a new installation starts with. Prices are paise per month without GST.
-- Later changes of the catalogue are data (`insula plan apply`), not migrations.

insert into public.clusters (id, name, url_sealed) values
  (1, 'primary', null);

-- the ten modules of the price list
insert into public.modules (code, name, description, price_paise) values
  ('system_admin',       'System Administration',              'Users, roles, locations, number series, approvals and settings.',       299900),
  ('oms_fulfillment',    'OMS, WMS & Fulfillment',             'Orders, stock, warehouses, picking, shipping and returns.',            1299900),
  ('procurement',        'Procurement (P2P)',                  'Requisitions, purchase orders, goods receipts and supplier bills.',     699900),
  ('finance',            'Finance & Accounting',               'Ledger, expenses, taxes, bank and financial reports.',                  999900),
  ('crm_service',        'CRM & Service Management',           'Tickets, service levels and field service on top of the CRM.',          699900),
  ('sales_distribution', 'Multi-Channel Sales & Distribution', 'Distributors, price lists, schemes and secondary sales.',               799900),
  ('hrms',               'HRMS',                               'Employees, attendance, leave and payroll.',                             499900),
  ('d2c_storefront',     'D2C E-Commerce Storefront',          'Catalogue, cart and checkout for selling to consumers.',                399900),
  ('scm_ai',             'Supply Chain & AI Insights',         'Demand forecasts, reorder proposals and supply alerts.',                899900),
  ('marketing',          'Marketing & Promotions',             'Campaigns, segments, coupons and loyalty.',                             399900);

-- sold only inside a plan or an edition
insert into public.modules (code, name, description, hidden) values
  ('commerce_base',      'Commerce Base',                      'Parties, items, units and taxes that the commercial modules share.',   true),
  ('crm',                'CRM',                                'Contacts, companies, deals and activities.',                            false),
  ('sales',              'Sales',                              'Quotations, invoices, payments and customer balances.',                 false),
  ('school_core',        'School',                             'Students, guardians, teachers, classes and courses.',                   false),
  ('school_attendance',  'School Attendance',                  'Daily and lesson attendance with notices to guardians.',                false),
  ('school_marks',       'School Marks',                       'Examinations, grading and report cards.',                               false),
  ('school_fees',        'School Fees',                        'Fee structures, invoices, concessions and receipts.',                   false);

-- direct dependencies; hidden modules come along unasked and are not listed
insert into public.module_dependencies (module_code, requires_code)
select d.code,
       unnest(string_to_array(d.requires, ' '))
  from (values
    ('oms_fulfillment',    'system_admin'),
    ('d2c_storefront',     'oms_fulfillment'),
    ('marketing',          'd2c_storefront'),
    ('procurement',        'oms_fulfillment'),
    ('scm_ai',             'oms_fulfillment'),
    ('sales',              'system_admin'),
    ('sales_distribution', 'sales oms_fulfillment'),
    ('finance',            'system_admin'),
    ('crm',                'system_admin'),
    ('crm_service',        'crm'),
    ('hrms',               'system_admin'),
    ('school_core',        'system_admin'),
    ('school_attendance',  'school_core'),
    ('school_marks',       'school_core'),
    ('school_fees',        'school_core')
  ) as d (code, requires);

-- storage is given in GiB here and kept in bytes
insert into public.plans (code, name, kind, price_paise, limits)
select p.code,
       p.name,
       p.kind,
       p.price_paise,
       jsonb_build_object('users', p.users, 'locations', p.locations, 'storage_bytes', p.storage_gib * 1073741824,
         'api_requests', p.api_requests)
  from (values
    ('starter',         'Starter',         'plan',    1999900::bigint,  10,  1,   10::bigint,   500000::bigint),
    ('growth',          'Growth',          'plan',    3999900,          25,  3,   50,          2000000),
    ('professional',    'Professional',    'plan',    5999900,          75, 10,  200,         10000000),
    ('enterprise',      'Enterprise',      'plan',    7999900,         250, 50, 1024,         50000000),
    ('crm',             'CRM',             'edition',    null,          15,  3,   10,           500000),
    ('sales',           'Sales',           'edition',    null,          10,  5,   10,           500000),
    ('school_basic',    'School Basic',    'edition',    null,          30,  1,   10,           500000),
    ('school_plus',     'School Plus',     'edition',    null,          60,  2,   25,          1000000),
    ('school_complete', 'School Complete', 'edition',    null,         120,  5,  100,          3000000)
  ) as p (code, name, kind, price_paise, users, locations, storage_gib, api_requests);

-- hidden dependencies (commerce_base) come along by the pack manifests
insert into public.plan_modules (plan_code, module_code)
select p.code,
       unnest(string_to_array(p.modules, ' '))
  from (values
    ('starter',         'system_admin oms_fulfillment d2c_storefront'),
    ('growth',          'system_admin oms_fulfillment d2c_storefront sales marketing crm crm_service'),
    ('professional',    'system_admin oms_fulfillment d2c_storefront sales marketing crm crm_service'
                        ' procurement finance sales_distribution hrms'),
    ('enterprise',      'system_admin oms_fulfillment d2c_storefront sales marketing crm crm_service'
                        ' procurement finance sales_distribution hrms scm_ai'),
    ('crm',             'system_admin crm'),
    ('sales',           'system_admin sales finance'),
    ('school_basic',    'system_admin school_core school_attendance'),
    ('school_plus',     'system_admin school_core school_attendance school_marks school_fees'),
    ('school_complete', 'system_admin school_core school_attendance school_marks school_fees finance hrms')
  ) as p (code, modules);

-- names that a customer must not speak under: the platform's hosts, mail and proxy discovery, certificates' mail addresses, words of trust
insert into public.reserved_subdomains (subdomain)
select unnest(string_to_array(words, ' '))
  from (values
    ('admin administrator api app apps www www1 www2 web docs doc status'
     ' mail static assets cdn media files images img download downloads upload uploads'),
    ('auth login logout signin signup signout register sso oauth oauth2'
     ' oidc saml account accounts identity password reset session sessions token tokens'),
    ('console dashboard portal operator operators platform insula tenant tenants'
     ' workspace system sys root superuser internal private public template'),
    ('billing payment payments pay invoice invoices checkout pricing'
     ' plans subscribe subscription subscriptions webhook webhooks hook hooks callback'),
    ('help helpdesk support contact about blog news press jobs careers'
     ' legal privacy terms security trust abuse compliance partners community forum'),
    ('smtp imap pop pop3 mta mx1 mx2 email webmail'
     ' newsletter bounce bounces postmaster hostmaster webmaster noreply no-reply mailer-daemon'),
    ('autoconfig autodiscover wpad isatap localhost localdomain broadcasthost dns dns1 dns2'
     ' ns1 ns2 ns3 ftp sftp ssh vpn proxy gateway router'),
    ('graphql rest rpc grpc websocket sockets events stream openapi'
     ' swagger redoc schema schemas sandbox staging production prod preview canary'),
    ('metrics health healthz ready live monitor monitoring grafana prometheus'
     ' logs log tracing alerts backup backups database postgres redis cache'),
    ('git github gitlab build release releases developer developers dev devs'
     ' sdk cli registry package packages ca crl ocsp acme-challenge pki'),
    ('null nil none undefined true false default example invalid anonymous everyone'
     ' nobody me self user users you guest owner official verify verified')
  ) as reserved (words);
