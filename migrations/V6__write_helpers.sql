-- What the statements of writes call: merge patches, and counts that refuse.

create function insula.app_merge(target jsonb, patch jsonb) returns jsonb
language plpgsql immutable parallel safe as $$
declare
  merged jsonb := case when jsonb_typeof(target) = 'object' then target else '{}' end;
  k text;
  v jsonb;
begin
  if jsonb_typeof(patch) is distinct from 'object' then
    return patch;
  end if;
  for k, v in select key, value from jsonb_each(patch) loop
    if jsonb_typeof(v) = 'null' then
      merged := merged - k;
    else
      merged := merged || jsonb_build_object(k, insula.app_merge(merged -> k, v));
    end if;
  end loop;
  return merged;
end $$;
comment on function insula.app_merge(jsonb, jsonb) is 'a JSON Merge Patch applied to a document (RFC 7396)';

create function insula.app_found(n bigint) returns bigint
language plpgsql as $$
begin
  if n = 0 then
    perform insula.app_fail('AP404', 'not_found', 'not found');
  end if;
  return n;
end $$;
comment on function insula.app_found(bigint) is 'refuses when no row was found: undoes a transaction of several changes';

create function insula.app_at_most(n bigint, most bigint) returns bigint
language plpgsql as $$
begin
  if n > most then
    perform insula.app_fail('AP422', 'max_affected_exceeded',
      format('This is about %s rows, more than the %s that the request allows. Nothing was changed.', n, most));
  end if;
  return n;
end $$;
comment on function insula.app_at_most(bigint, bigint) is 'refuses when more rows were changed than the caller expects';

grant execute on function insula.app_merge(jsonb, jsonb), insula.app_found(bigint), insula.app_at_most(bigint, bigint) to public;
