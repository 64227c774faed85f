-- The rows change their state alone. Each must be in the state that it was read in.
UPDATE alerts.alert_events e
   SET state = n.state, reason = n.reason, changed_at = now(),
       sent_at = CASE WHEN n.state IN ('sent', 'confirmed') THEN coalesce(e.sent_at, now()) ELSE e.sent_at END
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS n (id, state, reason, state_before)
 WHERE e.id = n.id AND e.state = n.state_before
