-- $1 digest, $2 channel, $3 whether of the lane `again`, $4 messages that are not folded, $5 how many at most: folds what is due and was
-- never tried.
UPDATE alerts.deliveries d
   SET state = 'folded', digest_id = $1
 WHERE d.id IN (
     SELECT q.id
       FROM alerts.deliveries q
      WHERE q.channel_id = $2 AND q.again = $3 AND q.state = 'queued' AND q.attempts = 0 AND q.not_before <= now()
        AND q.kind IN ('fired', 'retracted', 'moved') AND q.id <> ALL ($4)
        AND (q.kind = 'fired' OR NOT EXISTS (
            SELECT 1
              FROM alerts.deliveries e
              LEFT JOIN alerts.deliveries g ON g.id = e.digest_id
             WHERE e.alert_id = q.alert_id AND e.channel_id = q.channel_id AND e.id <> q.id
               AND (e.created_at, e.id) < (q.created_at, q.id)
               AND coalesce(g.state, e.state) IN ('queued', 'sending')))
        AND (q.kind = 'fired' OR EXISTS (
            SELECT 1
              FROM alerts.deliveries f
              JOIN alerts.channels c ON c.id = f.channel_id
              LEFT JOIN alerts.deliveries g ON g.id = f.digest_id
             WHERE f.alert_id = q.alert_id AND f.channel_id = q.channel_id AND f.kind = 'fired'
               AND (coalesce(g.state, f.state) = 'delivered'
                    OR c.kind <> 'sms' AND coalesce(g.may_have_arrived, f.may_have_arrived)
                    OR EXISTS (SELECT FROM alerts.delivery_attempts t
                                WHERE t.delivery_id = coalesce(g.id, f.id) AND t.error_code IS NULL))))
      ORDER BY q.not_before, q.id
      LIMIT $5
        FOR UPDATE SKIP LOCKED)
