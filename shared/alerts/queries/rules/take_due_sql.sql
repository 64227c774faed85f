-- Changes nothing that a rule finds, so `updated_at` stays.
WITH due AS (
    SELECT id FROM alerts.rules
     WHERE state = 'active' AND deleted_at IS NULL AND next_run_at <= now()
     ORDER BY next_run_at, id LIMIT 1
       FOR UPDATE SKIP LOCKED
)
UPDATE alerts.rules r
   SET next_run_at = now() + make_interval(secs => greatest(60, (r.definition #>> '{source,every_seconds}')::integer))
  FROM due, control.orgs o
 WHERE r.id = due.id AND o.id = r.org_id
RETURNING r.id, r.org_id, o.name, r.chain_id
