-- $1 organisation, $2 channel, $3 alert and $4 state, each of which may be NULL; $5 and $6 the last one of the page before, $7 how many:
-- the newest deliveries first.
SELECT d.id, d.channel_id, c.name AS channel, c.kind AS channel_kind, d.alert_id, d.kind, d.state, d.digest_id, d.attempts,
       CASE d.state WHEN 'queued' THEN d.not_before END AS next_attempt_at, d.last_status, d.last_error_code, d.created_at,
       d.first_tried_at, d.finished_at
  FROM alerts.deliveries d
  JOIN alerts.channels c ON c.id = d.channel_id
 WHERE d.org_id = $1
   AND ($2::bigint IS NULL OR d.channel_id = $2)
   AND ($3::uuid IS NULL OR d.alert_id = $3)
   AND ($4::text IS NULL OR d.state = $4)
   AND ($5::timestamptz IS NULL OR (d.created_at, d.id) < ($5, $6::uuid))
 ORDER BY d.created_at DESC, d.id DESC
 LIMIT $7
