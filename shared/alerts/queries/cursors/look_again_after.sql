-- $1 organisation, $2 chain, $3 and $4 the block after which is looked again (NULL: from the first one on), $5 the newest reorg. A cursor
-- without a block looks at everything as it is: that it is to be checked from there on only makes it another one than was read.
INSERT INTO alerts.cursors AS c (org_id, chain_id, invalidation_id)
VALUES ($1, $2, $5)
    ON CONFLICT (org_id, chain_id) DO UPDATE
   SET block_number = CASE WHEN c.block_number IS NULL THEN NULL ELSE $3::bigint END,
       block_hash = CASE WHEN c.block_number IS NULL THEN NULL ELSE $4::bytea END,
       recheck_from = CASE WHEN c.block_number IS NULL THEN 0 ELSE c.recheck_from END,
       updated_at = now()
 WHERE c.block_number IS NULL OR c.block_number > coalesce($3::bigint, -1)
