-- What generated reads call. Both run with the caller's rights.

create function insula.app_too_many() returns json
language plpgsql stable as $$
begin
  perform insula.app_fail('AP422', 'embed_too_large',
    'An embedded list has more than 1000 rows. Limit or filter it, or list it by itself.');
  return null;
end $$;
comment on function insula.app_too_many() is 'refuses an embedded list that would be cut off unseen';

-- EXPLAIN is only allowed in a volatile function. The statement is a template of format(), so that the server itself quotes the values
create function insula.app_planned(template text, args text[]) returns bigint
language plpgsql volatile as $$
declare
  plan json;
begin
  execute 'explain (format json) ' || format(template, variadic args) into plan;
  return (plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric::bigint;
end $$;
comment on function insula.app_planned(text, text[]) is 'how many rows the planner expects of a statement';

grant execute on function insula.app_too_many(), insula.app_planned(text, text[]) to public;
