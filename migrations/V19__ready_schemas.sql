-- Schemas made in advance, so that a new tenant does not wait for hundreds of statements.

create table public.ready_schemas (
  id          uuid        not null,
  plan_code   text        not null,
  bucket_id   integer     not null,
  schema_name text        not null,
  role_name   text        not null,
  recipe      bytea       not null,
  made_at     timestamptz not null default now(),
  constraint ready_schemas_pk primary key (id),
  constraint ready_schemas_plan_fk foreign key (plan_code) references public.plans (code),
  constraint ready_schemas_bucket_fk foreign key (bucket_id) references public.buckets (id),
  constraint ready_schemas_schema_unique unique (schema_name),
  constraint ready_schemas_role_unique unique (role_name),
  constraint ready_schemas_name_format check (schema_name ~ '^ready_[0-9a-f]{12}$'),
  constraint ready_schemas_recipe_sha256 check (octet_length(recipe) = 32)
);
create index ready_schemas_claim_idx on public.ready_schemas (plan_code, recipe, made_at);
create index ready_schemas_bucket_idx on public.ready_schemas (bucket_id);
comment on table public.ready_schemas is
  'Schemas with the packs of a plan and no owner yet, counted in their bucket; the next tenant of the plan takes one over under its own name';
comment on column public.ready_schemas.id is 'Key of the tenant that takes it over';
comment on column public.ready_schemas.recipe is 'SHA-256 of the statements that made it: one of another recipe is not taken, and dropped';
revoke all on public.ready_schemas from public;
