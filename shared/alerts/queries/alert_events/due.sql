-- What is final and not confirmed, and what has got as far as its rule, which is at work, asks before it is sent.
SELECT id, rule_id, rule_version, state, reason, block_number, block_hash
  FROM alerts.alert_events
 WHERE org_id = $1 AND chain_id = $2 AND state IN ('sent', 'moved') AND block_number <= $3 AND block_number < $4
UNION ALL
SELECT e.id, e.rule_id, e.rule_version, e.state, e.reason, e.block_number, e.block_hash
  FROM alerts.alert_events e
  JOIN unnest($5::bigint[], $6::bigint[]) AS u (rule_id, up_to) ON u.rule_id = e.rule_id
  JOIN alerts.rules r ON r.id = e.rule_id AND r.state = 'active' AND r.deleted_at IS NULL
 WHERE e.org_id = $1 AND e.chain_id = $2 AND e.state = 'pending' AND e.block_number <= u.up_to AND e.block_number < $4
 LIMIT $7
