-- $1 digest: what is folded into it, by rule, kind and severity; the largest groups first.
SELECT r.name AS rule, r.definition ->> 'chain' AS chain, d.kind, a.severity, count(*) AS count,
       min(a.block_number) AS first_block, max(a.block_number) AS last_block
  FROM alerts.deliveries d
  JOIN alerts.alert_events a ON a.id = d.alert_id
  JOIN alerts.rules r ON r.id = a.rule_id
 WHERE d.digest_id = $1
 GROUP BY r.id, d.kind, a.severity
 ORDER BY count(*) DESC, r.name, d.kind, a.severity
