-- $1 organisation; $2 rule (its name; of several that had it, all), $3 state, $4 alert, each of which may be NULL; $5 and $6 the last
-- one of the page before, $7 how many: the newest findings first.
SELECT e.id, r.name AS rule, e.rule_version, e.chain_id, e.state, e.reason, e.severity, e.title, e.message, e.facts, e.group_key,
       e.block_number, '0x' || encode(e.block_hash, 'hex') AS block_hash, e.block_time,
       '0x' || encode(e.transaction_hash, 'hex') AS transaction_hash, e.position, e.matched_at, e.sent_at, e.changed_at
  FROM alerts.alert_events e
  JOIN alerts.rules r ON r.id = e.rule_id
 WHERE e.org_id = $1
   AND ($2::text IS NULL OR e.rule_id IN (SELECT id FROM alerts.rules WHERE org_id = $1 AND name = $2))
   AND ($3::text IS NULL OR e.state = $3)
   AND ($4::uuid IS NULL OR e.id = $4)
   AND ($5::timestamptz IS NULL OR (e.matched_at, e.id) < ($5, $6::uuid))
 ORDER BY e.matched_at DESC, e.id DESC
 LIMIT $7
