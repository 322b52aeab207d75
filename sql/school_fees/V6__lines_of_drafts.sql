-- A draft is deleted with its lines.
drop trigger b_freeze on sch_fee_plan_line;
create trigger b_freeze after insert or update on sch_fee_plan_line
  for each row execute function sys_freeze_child('sch_fee_plan', 'plan_id', 'draft', '');
create trigger b_freeze_delete before delete on sch_fee_plan_line
  for each row execute function sys_freeze_line('sch_fee_plan', 'plan_id', 'draft');
