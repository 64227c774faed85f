-- @count rows of organisation @org in every table that has rows of organisations; each of them says @mark, or is about @chain.
INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets, output_datasets,
                          max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
SELECT @org, '@mark-' || n, 'noop', 'fargate', 'per_update', false, '{"note": "@mark"}', '{}', '{@chain/blocks}', '{}', 3, 1, 20,
       decode(repeat('00', 32), 'hex')
  FROM generate_series(1, @count) AS n;
INSERT INTO control.triggers (org_id, job_id, name, kind, config, input, config_hash)
SELECT org_id, id, name, 'cron', '{}', '{"note": "@mark"}', config_hash FROM control.jobs WHERE org_id = @org;
INSERT INTO control.trigger_fires (trigger_id, fire_key, org_id, outcome, reason)
SELECT id, name, org_id, 'missed', '@mark' FROM control.triggers WHERE org_id = @org;
INSERT INTO control.events (kind, body, org_id)
SELECT 'task_failed', jsonb_build_object('kind', 'task_failed', 'note', name), org_id FROM control.jobs WHERE org_id = @org;
INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, attempts_left, progress_done)
SELECT org_id, id, name, '{"note": "@mark", "block": 3}', 1, 5 FROM control.jobs WHERE org_id = @org;
INSERT INTO control.task_attempts (task_id, org_id, fence, worker, finished_at, outcome, error_message, exit_code)
SELECT id, org_id, 1, 'w', now(), 'failed', '@mark', -1 FROM control.tasks WHERE org_id = @org;
INSERT INTO control.task_inputs (org_id, task_id, event_id, chain_id, dataset, start_block, end_block)
SELECT t.org_id, t.id, e.id, @chain, 'blocks', 2, 5
  FROM control.tasks t
  JOIN control.events e ON e.body ->> 'note' = t.idempotency_key
 WHERE t.org_id = @org;
INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, reason)
SELECT org_id, 'test', 'made', 'task', id, '@mark' FROM control.tasks WHERE org_id = @org;
INSERT INTO query.queries (org_id, id, actor, sql_sha256, mode, format, timeout_seconds, task_id)
SELECT org_id, gen_random_uuid(), '@mark', decode(repeat('00', 32), 'hex'), 'batch', 'json', 1, id
  FROM control.tasks
 WHERE org_id = @org;
INSERT INTO alerts.channels (org_id, name, kind, sealed_address, created_by)
SELECT @org, '@mark-' || n, 'email', '\x00', '@mark' FROM generate_series(1, @count) AS n;
INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
SELECT org_id, name, @chain, '{"note": "@mark"}', 5, '@mark' FROM alerts.channels WHERE org_id = @org;
INSERT INTO alerts.alert_events (id, org_id, rule_id, rule_version, chain_id, identity, block_number, block_hash, block_time,
                                 state, reason, severity, title, message, facts)
SELECT gen_random_uuid(), org_id, id, 1, @chain, sha256(name::bytea), 7, sha256(name::bytea), now(), 'suppressed', 'muted', 'info',
       '@mark', '@mark', '{"note": "@mark"}'
  FROM alerts.rules
 WHERE org_id = @org;
INSERT INTO alerts.alert_history (org_id, alert_id, to_state, block_number, block_hash, reason)
SELECT org_id, id, state, block_number, block_hash, '@mark' FROM alerts.alert_events WHERE org_id = @org;
INSERT INTO alerts.deliveries (id, org_id, channel_id, alert_id, kind, last_error_code)
SELECT gen_random_uuid(), c.org_id, c.id, e.id, 'fired', '@mark'
  FROM alerts.channels c
  JOIN alerts.rules r ON r.org_id = c.org_id AND r.name = c.name
  JOIN alerts.alert_events e ON e.rule_id = r.id
 WHERE c.org_id = @org;
