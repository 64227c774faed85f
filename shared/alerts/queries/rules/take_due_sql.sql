-- $1 organisations that were asked for in this invocation, and $2 how many milliseconds that took: who took least comes first, then who
-- was asked for longest ago, of its rules the one that was. Changes nothing that a rule finds, so `updated_at` stays.
WITH due AS (
    SELECT r.id
      FROM alerts.rules r
      LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS spent (org_id, milliseconds) ON spent.org_id = r.org_id
     WHERE r.state = 'active' AND r.deleted_at IS NULL AND r.next_run_at <= now()
     ORDER BY coalesce(spent.milliseconds, 0),
              (SELECT max(o.asked_at) FROM alerts.rules o
                WHERE o.org_id = r.org_id AND o.deleted_at IS NULL AND o.next_run_at IS NOT NULL) NULLS FIRST,
              r.asked_at NULLS FIRST, r.id
     LIMIT 1
       FOR NO KEY UPDATE OF r SKIP LOCKED
)
UPDATE alerts.rules r
   SET asked_at = now(),
       next_run_at = now() + make_interval(secs => greatest(60, (r.definition #>> '{source,every_seconds}')::integer))
  FROM due, control.orgs o
 WHERE r.id = due.id AND o.id = r.org_id
RETURNING r.id, r.org_id, o.name, r.chain_id
