INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
                          output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds,
                          run_timeout_seconds, config_hash, stall_timeout_seconds, priority, partition_blocks)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::bigint::integer, $12::bigint::integer, $13, $14, $15, $16, $17, $18)
ON CONFLICT (org_id, name) DO UPDATE
   SET operator = EXCLUDED.operator, runtime = EXCLUDED.runtime, strategy = EXCLUDED.strategy,
       always_on = EXCLUDED.always_on, config = EXCLUDED.config, secrets = EXCLUDED.secrets,
       input_datasets = EXCLUDED.input_datasets, output_datasets = EXCLUDED.output_datasets,
       max_attempts = EXCLUDED.max_attempts, max_concurrency = EXCLUDED.max_concurrency,
       heartbeat_timeout_seconds = EXCLUDED.heartbeat_timeout_seconds,
       run_timeout_seconds = EXCLUDED.run_timeout_seconds, config_hash = EXCLUDED.config_hash,
       stall_timeout_seconds = EXCLUDED.stall_timeout_seconds, priority = EXCLUDED.priority,
       partition_blocks = EXCLUDED.partition_blocks,
       active = true, of_platform = false, updated_at = now()
RETURNING id
