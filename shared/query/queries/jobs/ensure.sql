-- $1 organisation, $2 name, $3 operator. No row: there is an active job of this name already.
INSERT INTO control.jobs AS j (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
                               output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds,
                               run_timeout_seconds, config_hash, of_platform)
VALUES ($1, $2, $3, 'fargate', 'bulk', false, '{}', '{"DATABASE_URL": "isotherm/database"}', '{}', '{}', 3, 2, 30,
        -- The longest query, and an upload.
        4500, decode(repeat('00', 32), 'hex'), true)
ON CONFLICT (org_id, name) DO UPDATE SET active = true, updated_at = now()
 WHERE NOT j.active AND j.operator = $3
RETURNING id
