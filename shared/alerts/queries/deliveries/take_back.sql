-- $1 attempts in all, $2 length of a lease in seconds, $3 error code, $4 how many at most: what is still being sent when its lease is
-- over goes back, or has failed if that was its last attempt. It may have arrived.
WITH lost AS MATERIALIZED (
    SELECT d.id, d.lease_expires_at - make_interval(secs => $2) AS started_at
      FROM alerts.deliveries d
     WHERE d.state = 'sending' AND d.lease_expires_at < now()
     ORDER BY d.id
     LIMIT $4
       FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE alerts.deliveries d
       SET state = CASE WHEN d.attempts < $1 THEN 'queued' ELSE 'failed' END,
           finished_at = CASE WHEN d.attempts < $1 THEN NULL ELSE now() END,
           not_before = now(), lease_expires_at = NULL, last_status = NULL, last_error_code = $3, may_have_arrived = true
      FROM lost
     WHERE d.id = lost.id AND d.state = 'sending'
 RETURNING d.id, d.org_id, d.attempts, lost.started_at
), logged AS (
    INSERT INTO alerts.delivery_attempts (org_id, delivery_id, attempt, started_at, duration_ms, error_code)
    SELECT org_id, id, attempts, started_at, ($2 * 1000)::bigint, $3 FROM ended
)
SELECT count(*) FROM ended
