-- $1 channels, $2 whether of the lane `again`, $3 how many: the oldest messages of each that are due, locked. Those that another sender
-- is looking at are left out.
--
-- A correction is not due before what it corrects has ended, nor before an earlier correction has. It is moot if its original certainly
-- never got there; for SMS, unless it was delivered, if only before it was sent again by hand: an attempt without an
-- error was accepted.
SELECT d.id, d.channel_id, d.again, d.kind, d.attempts = 0 AS is_untried,
       d.kind IN ('retracted', 'moved') AND NOT EXISTS (
           SELECT 1
             FROM alerts.deliveries f
             JOIN alerts.channels c ON c.id = f.channel_id
             LEFT JOIN alerts.deliveries g ON g.id = f.digest_id
            WHERE f.alert_id = d.alert_id AND f.channel_id = d.channel_id AND f.kind = 'fired'
              AND (coalesce(g.state, f.state) = 'delivered'
                   OR c.kind <> 'sms' AND coalesce(g.may_have_arrived, f.may_have_arrived)
                   OR EXISTS (SELECT FROM alerts.delivery_attempts t
                               WHERE t.delivery_id = coalesce(g.id, f.id) AND t.error_code IS NULL))) AS is_moot
  FROM unnest($1::bigint[], $2::boolean[], $3::bigint[]) AS w (channel_id, again, most)
 CROSS JOIN LATERAL (
     SELECT q.id, q.channel_id, q.again, q.kind, q.attempts, q.alert_id, q.not_before
       FROM alerts.deliveries q
      WHERE q.channel_id = w.channel_id AND q.again = w.again AND q.state = 'queued' AND q.not_before <= now()
        AND (q.kind NOT IN ('retracted', 'moved') OR NOT EXISTS (
            SELECT 1
              FROM alerts.deliveries e
              LEFT JOIN alerts.deliveries g ON g.id = e.digest_id
             WHERE e.alert_id = q.alert_id AND e.channel_id = q.channel_id AND e.id <> q.id
               AND (e.created_at, e.id) < (q.created_at, q.id)
               AND coalesce(g.state, e.state) IN ('queued', 'sending')))
      ORDER BY q.not_before, q.id
      LIMIT w.most
        FOR UPDATE OF q SKIP LOCKED
 ) AS d
 ORDER BY d.channel_id, d.again, d.not_before, d.id
