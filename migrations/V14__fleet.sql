-- The fleet: which files of a pack a tenant holds, what came of its migrations and why, and who migrates.

alter table public.tenant_packs add column digests bytea[];
comment on column public.tenant_packs.digests is
  'SHA-256 of every file of the pack in this schema, by version; null = from before they were kept, taken as they are by the next migration';

-- what a process knows of versions it drops within a second
create trigger zz_news after insert or update of version or delete on public.tenant_packs
  for each row execute function public.news_tenant_modules();
create trigger zz_news_truncate after truncate on public.tenant_packs
  for each statement execute function public.news_all_modules();

create table public.tenant_migrations (
  tenant_id     uuid        not null,
  pack          text        not null,
  from_version  integer     not null,
  to_version    integer     not null,
  state         text        not null,
  attempts      integer     not null default 1,
  file          text,
  sqlstate      text,
  message       text,
  blocked_by    integer[]   not null default '{}',
  failing_since timestamptz,
  updated_at    timestamptz not null default now(),
  constraint tenant_migrations_pk primary key (tenant_id, pack),
  constraint tenant_migrations_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint tenant_migrations_state_known check (state in ('done', 'deferred', 'quarantined')),
  constraint tenant_migrations_failure check ((state = 'done') = (failing_since is null)),
  constraint tenant_migrations_attempts_range check (attempts >= 1)
);
create index tenant_migrations_failing_idx on public.tenant_migrations (state) where state <> 'done';
comment on table public.tenant_migrations is 'The last migration of each pack of a tenant, and why it failed where it did';
comment on column public.tenant_migrations.state is
  'deferred: others held what it needs, the next run tries again; quarantined: refused, skipped until it is named or the pack has a newer version';
comment on column public.tenant_migrations.attempts is 'Of the migration that was done, or of all that failed since the last one that was';
comment on column public.tenant_migrations.blocked_by is 'Backends that held locks in the schema when it gave up waiting';

create table public.migration_runs (
  id          uuid        not null,
  actor       text        not null,
  backend     integer     not null,
  total       integer     not null,
  migrated    integer     not null default 0,
  failed      integer     not null default 0,
  outcome     text        not null default 'running',
  started_at  timestamptz not null default now(),
  finished_at timestamptz,
  constraint migration_runs_pk primary key (id),
  constraint migration_runs_actor_present check (btrim(actor) <> ''),
  constraint migration_runs_outcome_known check (outcome in ('running', 'done', 'partly', 'stopped', 'ended')),
  constraint migration_runs_end check ((outcome = 'running') = (finished_at is null))
);
create index migration_runs_started_idx on public.migration_runs (started_at);
comment on table public.migration_runs is 'Migrations of the fleet; who holds the advisory lock of its leader runs the one that is running';
comment on column public.migration_runs.backend is 'Backend that holds the lock of the leader';
comment on column public.migration_runs.outcome is 'stopped: by a signal or by too many failures; ended: its process died, the next run goes on';

revoke all on public.tenant_migrations, public.migration_runs from public;
