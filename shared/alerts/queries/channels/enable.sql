-- Sends to channel $2 of organisation $1 again, with its failures forgotten; returns why it was disabled. Nothing if it was not.
WITH before AS (
    SELECT id, disabled_reason
      FROM alerts.channels
     WHERE org_id = $1 AND id = $2 AND state = 'disabled' AND deleted_at IS NULL
       FOR NO KEY UPDATE
)
UPDATE alerts.channels c
   SET state = 'active', disabled_reason = NULL, failing_since = NULL, last_failed_at = NULL, failed_for_ms = 0, updated_at = now()
  FROM before
 WHERE c.id = before.id
RETURNING before.disabled_reason
