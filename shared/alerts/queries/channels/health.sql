-- $1 channels, $2 whether each has accepted something, $3 the reason for which each is disabled at once or NULL, $4 the reason for those
-- that have only failed for $5 seconds: writes down how channels do. Returns those that were disabled by it.
WITH told AS (
    SELECT * FROM unnest($1::bigint[], $2::boolean[], $3::text[]) AS t (channel_id, has_accepted, reason)
), judged AS MATERIALIZED (
    SELECT c.id, told.has_accepted,
           CASE WHEN told.reason IS NOT NULL THEN told.reason
                WHEN NOT told.has_accepted AND c.failing_since <= now() - make_interval(secs => $5) THEN $4 END AS reason
      FROM alerts.channels c
      JOIN told ON told.channel_id = c.id
     WHERE c.state = 'active' AND c.deleted_at IS NULL
     ORDER BY c.id
       FOR UPDATE OF c
), changed AS (
    UPDATE alerts.channels c
       SET failing_since = CASE WHEN judged.has_accepted THEN NULL ELSE coalesce(c.failing_since, now()) END,
           state = CASE WHEN judged.reason IS NULL THEN c.state ELSE 'disabled' END,
           disabled_reason = judged.reason
      FROM judged
     WHERE c.id = judged.id
 RETURNING c.id, c.org_id, c.name, c.kind, c.state, c.disabled_reason, c.owner_id
), audited AS (
    INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, from_state, to_state, reason)
    SELECT org_id, 'alert_deliver', 'channel_disabled', 'channel', id, 'active', 'disabled', disabled_reason
      FROM changed WHERE state = 'disabled'
)
SELECT id, org_id, name, kind, disabled_reason, owner_id FROM changed WHERE state = 'disabled'
