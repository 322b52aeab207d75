-- An embedded list is limited in bytes too.

create or replace function insula.app_too_many() returns json
language plpgsql stable as $$
begin
  perform insula.app_fail('AP422', 'embed_too_large',
    'An embedded list has more than 1000 rows or 2 MiB. Limit or filter it, choose fewer fields, or list it by itself.');
  return null;
end $$;
