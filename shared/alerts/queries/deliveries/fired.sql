-- One message for each channel that the rule has now. The order of the alerts, of which $3 came before these, is that in which they are
-- due. The lock: a channel that is being deleted is waited for, and left out once it is.
INSERT INTO alerts.deliveries (id, org_id, channel_id, alert_id, kind, not_before, trace_id)
SELECT gen_random_uuid(), e.org_id, c.id, e.id, 'fired', now() + ($3 + a.place) * interval '1 microsecond', e.trace_id
  FROM unnest($2::uuid[]) WITH ORDINALITY AS a (id, place)
  JOIN alerts.alert_events e ON e.id = a.id AND e.org_id = $1
  JOIN alerts.rule_channels rc ON rc.rule_id = e.rule_id
  JOIN alerts.channels c ON c.id = rc.channel_id AND c.deleted_at IS NULL
   FOR KEY SHARE OF c
    ON CONFLICT (alert_id, channel_id, kind, occurrence) DO NOTHING
