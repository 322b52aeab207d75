-- Every foreign key has an index: what it names can be removed without reading all that might name it.
create index crm_deal_stage_pipeline on crm_deal (stage_id, pipeline_id);
drop index crm_deal_stage;
create index crm_deal_pipeline on crm_deal (pipeline_id);
create index crm_deal_lost_reason on crm_deal (lost_reason_id) where lost_reason_id is not null;
create index crm_deal_stage_log_from on crm_deal_stage_log (from_stage) where from_stage is not null;
