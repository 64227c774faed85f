-- $1 deliveries, $2 length of the lease in seconds: begins an attempt at each that is still queued, and returns what it is to say.
-- `is_rule_changed` counts for retractions without a reason alone, which evaluators of before have written.
WITH claimed AS (
    UPDATE alerts.deliveries d
       SET state = 'sending', attempts = d.attempts + 1, lease_expires_at = now() + make_interval(secs => $2),
           first_tried_at = coalesce(d.first_tried_at, now())
     WHERE d.id = ANY ($1) AND d.state = 'queued'
 RETURNING d.id, d.org_id, d.channel_id, d.alert_id, d.kind, d.attempts, d.content, d.created_at, d.trace_id
)
SELECT c.id, c.org_id, c.channel_id, c.kind, c.attempts, c.content, c.created_at, c.alert_id, c.trace_id,
       a.chain_id, a.block_number, '0x' || encode(a.block_hash, 'hex') AS block_hash,
       '0x' || encode(a.transaction_hash, 'hex') AS transaction_hash, a.position, a.block_time, a.state AS alert_state,
       a.severity, a.title, a.message, a.facts, r.name AS rule, r.definition ->> 'chain' AS chain,
       coalesce(g.provider_message_id, f.provider_message_id) AS thread,
       h.reason AS retraction_reason, r.version <> a.rule_version AS is_rule_changed, n.name AS notice_rule
  FROM claimed c
  LEFT JOIN alerts.alert_events a ON a.id = c.alert_id
  LEFT JOIN alerts.rules r ON r.id = a.rule_id
  LEFT JOIN alerts.deliveries f
         ON f.alert_id = c.alert_id AND f.channel_id = c.channel_id AND f.kind = 'fired' AND f.occurrence = 0
        AND c.kind IN ('retracted', 'moved')
  LEFT JOIN alerts.deliveries g ON g.id = f.digest_id
  LEFT JOIN LATERAL (SELECT t.reason
                       FROM alerts.alert_history t
                      WHERE c.kind = 'retracted' AND t.alert_id = c.alert_id AND t.to_state = 'retracted'
                      ORDER BY t.id DESC
                      LIMIT 1) AS h ON true
  LEFT JOIN alerts.rules n ON c.kind = 'notice' AND n.org_id = c.org_id AND n.id = (c.content ->> 'rule_id')::bigint
