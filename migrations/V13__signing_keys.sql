-- Keys of access tokens change while everybody stays signed in.

comment on table public.signing_keys is
  'Keys of access tokens; of an audience the one that is not retired signs, a retired one verifies what it signed for two hours more';
comment on column public.signing_keys.retired_at is 'From here on the key signs no more; two hours later it verifies no more, and is removed with the next change';

create function public.news_keys() returns trigger
language plpgsql as $$
begin
  perform pg_notify('insula', 'keys:*');
  return null;
end $$;
comment on function public.news_keys() is 'keys:*, once per statement';
create trigger zz_news after insert or update or delete or truncate on public.signing_keys
  for each statement execute function public.news_keys();
