-- What packs do by themselves: when each job of a tenant is due. Every process looks; who moves the time on runs the job.

create table public.tenant_jobs (
  tenant_id    uuid        not null,
  pack         text        not null,
  job          text        not null,
  due_at       timestamptz not null,
  claim        bigint      not null default 1,
  started_at   timestamptz not null default now(),
  ended_at     timestamptz,
  did          bigint,
  failures     integer     not null default 0,
  sqlstate     text,
  message      text,
  constraint tenant_jobs_pk primary key (tenant_id, pack, job),
  constraint tenant_jobs_tenant_fk foreign key (tenant_id) references public.tenants (id) on delete cascade,
  constraint tenant_jobs_failures_range check (failures >= 0),
  constraint tenant_jobs_failure_told check ((failures > 0) = (message is not null))
);
comment on table public.tenant_jobs is 'What packs do by themselves, by tenant: when it is due, and how it went the last time';
comment on column public.tenant_jobs.due_at is 'While it runs: when it counts as given up and another process may run it';
comment on column public.tenant_jobs.claim is 'Counts the runs; who was overtaken by another run writes nothing down';
comment on column public.tenant_jobs.did is 'What the function of the last run that did not fail gave back';
comment on column public.tenant_jobs.failures is 'In a row, until one does not fail';

revoke all on public.tenant_jobs from public;
