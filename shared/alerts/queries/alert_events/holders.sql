-- Alerts that may keep others of their group back, in blocks before a run.
SELECT e.rule_id, e.group_key, e.block_number, e.block_hash, e.block_time
  FROM unnest($1::bigint[], $2::timestamptz[]) AS w (rule_id, since)
  JOIN alerts.alert_events e ON e.rule_id = w.rule_id AND e.block_time > w.since
 WHERE e.state IN ('pending', 'sent', 'confirmed', 'moved') AND e.chain_id = $3 AND e.block_number < $4
