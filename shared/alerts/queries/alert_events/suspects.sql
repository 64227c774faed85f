-- What a reorg may have taken.
SELECT id, rule_id, state, reason, block_number, block_hash
  FROM alerts.alert_events
 WHERE org_id = $1 AND chain_id = $2 AND state IN ('pending', 'sent', 'moved') AND block_number >= $3
UNION ALL
SELECT id, rule_id, state, reason, block_number, block_hash
  FROM alerts.alert_events
 WHERE org_id = $1 AND chain_id = $2 AND state = 'suppressed' AND block_number >= $3
