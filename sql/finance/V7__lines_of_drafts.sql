-- A draft is deleted with its lines.
drop trigger b_freeze on fin_line;
create trigger b_freeze after insert or update on fin_line
  for each row execute function sys_freeze_child('fin_entry', 'entry_id', 'draft', '');
create trigger b_freeze_delete before delete on fin_line
  for each row execute function sys_freeze_line('fin_entry', 'entry_id', 'draft');
