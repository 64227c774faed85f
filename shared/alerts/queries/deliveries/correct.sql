-- A correction for each channel that got the first message, or may have got it. Whether it did is known when that message is
-- over: until then the correction waits, and it is dropped if nothing arrived. What once arrived, or may have, counts
-- whatever has become of the message since: it may have been sent again by hand and failed, or been cancelled with its
-- channel. An attempt without an error was accepted. $4 alerts came before these.
INSERT INTO alerts.deliveries (id, org_id, channel_id, alert_id, kind, occurrence, not_before, trace_id)
SELECT gen_random_uuid(), f.org_id, f.channel_id, f.alert_id, $3,
       (SELECT count(*) FROM alerts.deliveries d
         WHERE d.alert_id = f.alert_id AND d.channel_id = f.channel_id AND d.kind = $3)::integer,
       now() + ($4 + a.place) * interval '1 microsecond', f.trace_id
  FROM unnest($2::uuid[]) WITH ORDINALITY AS a (id, place)
  JOIN alerts.deliveries f ON f.alert_id = a.id AND f.kind = 'fired' AND f.org_id = $1
  JOIN alerts.channels c ON c.id = f.channel_id AND c.deleted_at IS NULL
 WHERE f.state IN ('sending', 'delivered', 'folded')
    OR (f.state = 'queued' AND f.attempts > 0)
    OR (c.kind <> 'sms' AND (f.state = 'failed' OR f.may_have_arrived))
    OR EXISTS (SELECT FROM alerts.delivery_attempts t WHERE t.delivery_id = f.id AND t.error_code IS NULL)
