-- What is found follows from the cause that its transaction was told of, else from the block that it is in.
INSERT INTO alerts.alert_events
       (id, org_id, rule_id, rule_version, chain_id, identity, transaction_hash, position, block_number, block_hash,
        block_time, state, reason, severity, title, message, facts, group_key, sent_at, trace_id)
SELECT n.id, $1, n.rule_id, n.rule_version, $2, n.identity, n.transaction_hash, n.position, n.block_number, n.block_hash,
       n.block_time, n.state, n.reason, n.severity, n.title, n.message, n.facts, n.group_key,
       CASE WHEN n.state IN ('sent', 'confirmed') THEN now() END,
       coalesce(nullif(current_setting('isotherm.trace_id', true), ''),
                (SELECT b.trace_id FROM hot.block_arrivals b WHERE b.chain_id = $2 AND b.block_number = n.block_number),
                replace(gen_random_uuid()::text, '-', ''))
  FROM unnest($3::uuid[], $4::bigint[], $5::integer[], $6::bytea[], $7::bytea[], $8::integer[], $9::bigint[],
              $10::bytea[], $11::timestamptz[], $12::text[], $13::text[], $14::text[], $15::text[], $16::jsonb[],
              $17::text[], $18::text[])
       AS n (id, rule_id, rule_version, identity, transaction_hash, position, block_number, block_hash, block_time,
             severity, title, message, group_key, facts, state, reason)
