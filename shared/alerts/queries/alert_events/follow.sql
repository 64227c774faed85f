-- The rows go to another block, with what they say of it. Each must be in the state that it was read in.
UPDATE alerts.alert_events e
   SET rule_version = n.rule_version, transaction_hash = n.transaction_hash, position = n.position,
       block_number = n.block_number, block_hash = n.block_hash, block_time = n.block_time, severity = n.severity,
       title = n.title, message = n.message, facts = n.facts, group_key = n.group_key, state = n.state,
       reason = n.reason, changed_at = now(),
       sent_at = CASE WHEN n.state IN ('sent', 'confirmed', 'moved') THEN coalesce(e.sent_at, now()) ELSE e.sent_at END
  FROM unnest($1::uuid[], $2::integer[], $3::bytea[], $4::integer[], $5::bigint[], $6::bytea[], $7::timestamptz[],
              $8::text[], $9::text[], $10::text[], $11::text[], $12::jsonb[], $13::text[], $14::text[], $15::text[])
       AS n (id, rule_version, transaction_hash, position, block_number, block_hash, block_time, severity, title, message,
             group_key, facts, state, reason, state_before)
 WHERE e.id = n.id AND e.state = n.state_before
