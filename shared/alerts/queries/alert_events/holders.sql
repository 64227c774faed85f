-- Alerts that may keep others of their group back, in blocks before a run: of each group that is asked for the newest few. More than one
-- matters only where a reorg has left the newest in a block that is gone.
SELECT w.rule_id, w.group_key, h.block_number, h.block_hash, h.block_time
  FROM unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS w (rule_id, group_key, since)
 CROSS JOIN LATERAL (
       SELECT e.block_number, e.block_hash, e.block_time
         FROM alerts.alert_events e
        WHERE e.rule_id = w.rule_id AND coalesce(e.group_key, '') = coalesce(w.group_key, '') AND e.block_time > w.since
          AND e.group_key IS NOT DISTINCT FROM w.group_key
          AND e.state IN ('pending', 'sent', 'confirmed', 'moved') AND e.chain_id = $4 AND e.block_number < $5
        ORDER BY e.block_time DESC
        LIMIT 64) AS h
