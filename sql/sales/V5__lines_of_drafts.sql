-- A draft is deleted with its lines.
drop trigger b_freeze on sls_quote_line;
create trigger b_freeze after insert or update on sls_quote_line
  for each row execute function sys_freeze_child('sls_quote', 'quote_id', 'draft', '');
create trigger b_freeze_delete before delete on sls_quote_line
  for each row execute function sys_freeze_line('sls_quote', 'quote_id', 'draft');
drop trigger b_freeze on sls_invoice_line;
create trigger b_freeze after insert or update on sls_invoice_line
  for each row execute function sys_freeze_child('sls_invoice', 'invoice_id', 'draft', '');
create trigger b_freeze_delete before delete on sls_invoice_line
  for each row execute function sys_freeze_line('sls_invoice', 'invoice_id', 'draft');
