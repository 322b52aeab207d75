-- Only a posted payment settles: one that was taken back settled dues again. A reversal writes its mirrored allocations before it ends the
-- payment.
create or replace function com_allocation_apply() returns trigger
language plpgsql as $$
declare
  d com_open_item;
  p com_payment;
  c com_open_item;
begin
  if new.payment_id is not null then
    update com_payment set allocated = allocated + new.amount where id = new.payment_id and state = 'posted' returning * into p;
    if p.id is null then
      perform app_fail('AP409', 'payment_state', 'Only a posted payment settles what is due.', 'payment_id');
    end if;
  else
    update com_open_item set settled = settled + new.amount where id = new.credit_item_id and side = 'credit' returning * into c;
    if c.id is null then
      perform app_fail('AP422', 'not_credit', 'does not name a credit note', 'credit_item_id');
    end if;
  end if;
  update com_open_item set settled = settled + new.amount where id = new.open_item_id and side = 'due' returning * into d;
  if d.id is null then
    perform app_fail('AP422', 'not_due', 'does not name a due', 'open_item_id');
  end if;
  if (d.party_id, d.currency) is distinct from (coalesce(p.party_id, c.party_id), coalesce(p.currency, c.currency)) then
    perform app_fail('AP422', 'party_currency', 'must be of the same party and currency as the payment', 'open_item_id');
  end if;
  if coalesce(case p.direction when 'in' then 'receivable' when 'out' then 'payable' end, c.ledger) <> d.ledger then
    perform app_fail('AP422', 'direction', 'does not fit the direction of the payment', 'open_item_id');
  end if;
  return new;
end $$;
