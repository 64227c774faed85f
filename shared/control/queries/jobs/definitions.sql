SELECT j.id, j.name, j.active, j.config_hash,
       jsonb_build_object(
           'name', j.name, 'operator', j.operator, 'runtime', j.runtime, 'strategy', j.strategy,
           'always_on', j.always_on, 'config', j.config, 'secrets', j.secrets,
           'input_datasets', to_jsonb(j.input_datasets), 'output_datasets', to_jsonb(j.output_datasets),
           'max_attempts', j.max_attempts, 'max_concurrency', j.max_concurrency,
           'heartbeat_timeout_seconds', j.heartbeat_timeout_seconds, 'run_timeout_seconds', j.run_timeout_seconds,
           'stall_timeout_seconds', j.stall_timeout_seconds, 'priority', j.priority,
           'partition_blocks', j.partition_blocks) AS definition,
       EXISTS (SELECT 1 FROM control.tasks t
                WHERE t.job_id = j.id AND t.always_on AND t.state IN ('queued', 'running')) AS is_running_source
  FROM control.jobs j
 WHERE j.org_id = $1 AND NOT j.of_platform
 ORDER BY j.name
