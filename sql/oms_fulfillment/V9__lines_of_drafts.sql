-- A draft is deleted with its lines.
drop trigger b_freeze on oms_order_line;
create trigger b_freeze after insert or update on oms_order_line
  for each row execute function sys_freeze_child('oms_order', 'order_id', 'draft,held',
    'qty_reserved,qty_shipped,qty_cancelled,qty_returned,qty_invoiced,qty_open');
create trigger b_freeze_delete before delete on oms_order_line
  for each row execute function sys_freeze_line('oms_order', 'order_id', 'draft,held');
