-- Migrations of the fleet are ordered, followed, paused and resumed from any process.

alter table public.migration_runs
  add column ordered         jsonb   not null default '{}',
  add column quarantined     integer not null default 0,
  add column resumes         uuid,
  add column pause_asked_by  text,
  add column halt            text,
  add column error           text,
  drop constraint migration_runs_outcome_known,
  add constraint migration_runs_outcome_known
    check (outcome in ('running', 'done', 'partly', 'paused', 'stopped', 'failed', 'ended')),
  add constraint migration_runs_halt_known check (halt in ('asked', 'canary', 'failures')),
  add constraint migration_runs_halt_stops check ((outcome = 'stopped') or halt is null),
  add constraint migration_runs_resumes_fk foreign key (resumes) references public.migration_runs (id);
create index migration_runs_resumes_idx on public.migration_runs (resumes);
comment on column public.migration_runs.ordered is 'What is meant, and at which pace';
comment on column public.migration_runs.quarantined is 'Tenants left out, because they failed before';
comment on column public.migration_runs.resumes is 'The run that this one goes on from';
comment on column public.migration_runs.pause_asked_by is 'Who wants it to take no further tenant; the process that runs it looks several times a second';
comment on column public.migration_runs.halt is 'Why it stopped: somebody asked the process, a canary failed, too many failed';
comment on column public.migration_runs.error is 'Why it failed as a whole';
comment on column public.migration_runs.outcome is
  'paused: somebody asked for it; stopped: see halt; failed: as a whole; ended: its process died, the next run goes on';

create table public.migration_events (
  run_id    uuid        not null,
  seq       integer     not null,
  tenant_id uuid,
  kind      text        not null,
  detail    jsonb       not null,
  constraint migration_events_pk primary key (run_id, seq),
  constraint migration_events_run_fk foreign key (run_id) references public.migration_runs (id) on delete cascade,
  constraint migration_events_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint migration_events_kind_known check (kind in ('wave', 'migrated', 'failed'))
);
create index migration_events_tenant_idx on public.migration_events (tenant_id);
comment on table public.migration_events is 'What the last runs told while they went on, for whoever follows one from another process';

revoke all on public.migration_events from public;
