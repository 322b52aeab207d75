-- Tables, views, functions and constraints of one schema as one JSON document.
select jsonb_build_object(
  'relations', (
    select jsonb_object_agg(c.relname, jsonb_build_object(
      'columns', (
        select jsonb_agg(jsonb_build_object(
          'name', a.attname,
          'type', format_type(a.atttypid, a.atttypmod),
          'category', t.typcategory,
          'nullable', not a.attnotnull,
          'required', a.attnotnull and not a.atthasdef and a.attidentity = '',
          'defaulted', a.atthasdef or a.attidentity <> '',
          'generated', a.attgenerated <> '' or a.attidentity <> '',
          'choices', k.choices,
          'longest', k.longest,
          'comment', col_description(c.oid, a.attnum)) order by a.attnum)
        from pg_attribute a
        join pg_type t on t.oid = a.atttypid
        cross join lateral (
          -- What `check (x in ('a', 'b'))` and `check (length(x) <= 9)` say, as PostgreSQL writes them back.
          select
            coalesce(jsonb_agg(choice.value order by k.conname, choice.ord) filter (where choice.value is not null), '[]') as choices,
            min(substring(k.def from 'length\((?:btrim\()?\w+\)+ <= (\d+)')::int) as longest
          from (
            select conname, pg_get_constraintdef(oid) as def from pg_constraint
            where conrelid = c.oid and contype = 'c' and conkey = array[a.attnum]) k
          left join lateral (
            select replace(m[1], '''''', '''') as value, ord
            from regexp_matches(k.def, '''((?:[^'']|'''')*)''::text', 'g') with ordinality r(m, ord)
            where k.def ~ '^CHECK \(\(\w+ = (ANY \(ARRAY\[)?''') choice on true) k
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      'unique', (
        select coalesce(jsonb_agg(distinct k.names), '[]')
        from pg_index x,
          lateral (
            select jsonb_agg(a.attname order by a.attname) as names
            from unnest(x.indkey) key(num)
            join pg_attribute a on a.attrelid = x.indrelid and a.attnum = key.num) k
        where x.indrelid = c.oid and x.indisunique and x.indimmediate and x.indpred is null and x.indexprs is null
          and x.indnkeyatts = x.indnatts),
      'references', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'target', f.relname,
          'columns', (
            select jsonb_agg(jsonb_build_array(a.attname, b.attname) order by u.ord)
            from unnest(k.conkey, k.confkey) with ordinality u(here, there, ord)
            join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.here
            join pg_attribute b on b.attrelid = k.confrelid and b.attnum = u.there)) order by k.conname), '[]')
        from pg_constraint k
        join pg_class f on f.oid = k.confrelid
        where k.conrelid = c.oid and k.contype = 'f')))
    from pg_class c
    where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm')),
  'functions', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', p.proname,
      'arguments', oidvectortypes(p.proargtypes),
      'names', coalesce(to_jsonb(p.proargnames[1:p.pronargs]), '[]'),
      'optional', p.pronargdefaults,
      'columns', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'name', p.proargnames[u.ord],
          'type', format_type(u.kind, null),
          'category', t.typcategory,
          'nullable', true,
          'required', false,
          'generated', false,
          'defaulted', false,
          'choices', jsonb_build_array(),
          'longest', null,
          'comment', null) order by u.ord), '[]')
        from unnest(p.proallargtypes, p.proargmodes) with ordinality u(kind, mode, ord)
        join pg_type t on t.oid = u.kind
        where u.mode = 't'),
      'result', format_type(p.prorettype, null))), '[]')
    from pg_proc p
    where p.pronamespace = n.oid),
  'constraints', (
    select coalesce(jsonb_object_agg(name, jsonb_build_object('fields', fields, 'sentence', sentence)), '{}')
    from (
      select k.conname as name,
        (select coalesce(jsonb_agg(a.attname order by u.ord), '[]')
         from unnest(k.conkey) with ordinality u(num, ord)
         join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.num) as fields,
        obj_description(k.oid, 'pg_constraint') as sentence
      from pg_constraint k
      where k.connamespace = n.oid and k.conrelid <> 0
      union all
      select i.relname,
        (select coalesce(jsonb_agg(distinct a.attname), '[]')
         from generate_series(1, x.indnkeyatts) key(ord)
         join pg_attribute a on a.attrelid = x.indrelid and a.attnum > 0 and not a.attisdropped
         where pg_get_indexdef(i.oid, key.ord, false) ~ ('\y' || a.attname || '\y')),
        obj_description(i.oid, 'pg_class')
      from pg_index x
      join pg_class i on i.oid = x.indexrelid
      where i.relnamespace = n.oid and x.indisunique
        and not exists (select 1 from pg_constraint k where k.conindid = i.oid)) named))
from pg_namespace n
where n.nspname = $1
