-- `GET /api/v1/settings/schema` is the JSON Schema of settings: a row of that key could not be read.
alter table sys_setting add constraint sys_setting_key_free check (key <> 'schema');
comment on constraint sys_setting_key_free on sys_setting is 'is a word of the API';
