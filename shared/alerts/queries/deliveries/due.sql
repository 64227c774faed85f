-- $1 channels and $2 organisations that have no place left: what is due of them is not asked.
-- Channels and lanes of which a message is due, and those of channels that may not be sent to, or nothing but a code. It steps from one to the next by the
-- index deliveries_due, so that it costs what there are channels with messages, not messages.
WITH RECURSIVE lanes AS (
    (SELECT d.channel_id, d.again FROM alerts.deliveries d WHERE d.state = 'queued' ORDER BY d.channel_id, d.again LIMIT 1)
     UNION ALL
    SELECT next.channel_id, next.again
      FROM lanes
     CROSS JOIN LATERAL (
         SELECT d.channel_id, d.again
           FROM alerts.deliveries d
          WHERE d.state = 'queued' AND (d.channel_id, d.again) > (lanes.channel_id, lanes.again)
          ORDER BY d.channel_id, d.again
          LIMIT 1
     ) AS next
)
SELECT l.channel_id, l.again, c.org_id, c.per_minute, c.failing_since IS NOT NULL AS is_failing,
       c.state = 'active' AS is_active, c.deleted_at IS NOT NULL AS is_deleted, c.confirmed_at IS NULL AS is_unconfirmed
  FROM lanes l
  JOIN alerts.channels c ON c.id = l.channel_id
 WHERE c.state <> 'active' OR c.deleted_at IS NOT NULL OR c.confirmed_at IS NULL
    OR (c.id <> ALL ($1) AND c.org_id <> ALL ($2)
        AND EXISTS (SELECT 1 FROM alerts.deliveries d
                     WHERE d.channel_id = l.channel_id AND d.again = l.again AND d.state = 'queued' AND d.not_before <= now()))
 ORDER BY l.channel_id, l.again
