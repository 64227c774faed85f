SELECT e.org_id AS org_id, e.block_number, e.block_hash, e.block_time, e.id, e.rule_id, r.name AS rule_name,
       e.rule_version, e.chain_id, e.transaction_hash, e.position AS place, e.state, e.reason, e.severity, e.title,
       e.message, e.facts, e.group_key, e.matched_at, e.sent_at, e.changed_at
  FROM alerts.alert_events e
  JOIN alerts.rules r ON r.id = e.rule_id
