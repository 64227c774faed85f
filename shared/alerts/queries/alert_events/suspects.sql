-- What a reorg may have taken, the next $6 rows after block $4 and id $5.
SELECT id, rule_id, rule_version, state, reason, block_number, block_hash
  FROM (SELECT id, rule_id, rule_version, state, reason, block_number, block_hash
          FROM alerts.alert_events
         WHERE org_id = $1 AND chain_id = $2 AND state IN ('pending', 'sent', 'moved') AND block_number >= $3
        UNION ALL
        SELECT id, rule_id, rule_version, state, reason, block_number, block_hash
          FROM alerts.alert_events
         WHERE org_id = $1 AND chain_id = $2 AND state = 'suppressed' AND block_number >= $3) AS suspects
 WHERE (block_number, id) > ($4, $5)
 ORDER BY block_number, id
 LIMIT $6
