SELECT j.org_id AS org_id, j.id, j.name, j.operator, j.runtime, j.strategy, j.always_on, j.config,
       to_jsonb(j.input_datasets) AS input_datasets, to_jsonb(j.output_datasets) AS output_datasets, j.max_attempts,
       j.max_concurrency, j.heartbeat_timeout_seconds, j.run_timeout_seconds, j.stall_timeout_seconds, j.priority,
       j.partition_blocks, j.active, j.paused, j.created_at, j.updated_at
  FROM control.jobs j
