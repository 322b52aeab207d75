-- What packs have brought to roles, so that newer versions bring new grants only.
create table sys_role_offer (
  pack text not null,
  role text not null,
  permission text not null,
  constraint sys_role_offer_pkey primary key (pack, role, permission)
);
comment on table sys_role_offer is 'grants that a pack has brought to a role; none of them is brought a second time, so what was taken away stays away';
