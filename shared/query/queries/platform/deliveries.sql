-- What a message says is the ledger's, or may hold what the platform tells its owner alone: it is not shown.
SELECT d.org_id AS org_id, d.channel_id, c.name AS channel_name, c.kind AS channel_kind, d.id, d.alert_id, d.kind,
       d.state, d.digest_id, d.attempts, d.not_before, d.last_status, d.last_error_code, d.created_at,
       d.first_tried_at, d.finished_at
  FROM alerts.deliveries d
  JOIN alerts.channels c ON c.id = d.channel_id
