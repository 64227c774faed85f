-- $1 channel, $2 whether of the lane `again`, $3 code of the reason, $4 whether codes are spared, $5 how many at most: cancels what waits.
-- What is locked is left out: evaluators lock messages in another order, and are not waited for.
WITH waiting AS MATERIALIZED (
    SELECT q.id
      FROM alerts.deliveries q
     WHERE q.channel_id = $1 AND q.again = $2 AND q.state = 'queued'
       AND NOT ($4 AND q.kind = 'notice' AND q.content ->> 'type' = 'channel.code')
     LIMIT $5
       FOR UPDATE SKIP LOCKED
)
UPDATE alerts.deliveries d
   SET state = 'cancelled', finished_at = now(), last_error_code = $3
  FROM waiting
 WHERE d.id = waiting.id
