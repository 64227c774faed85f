-- $1 chain, $2 and $3 stored tip, $4 and $5 the chain's newest block, $6 number at which the follower had to stop, $7 hash
-- that is stored there, $8 hash that the chain has there, $9 and $10 common ancestor, $11 hash above it on the chain's branch.
INSERT INTO hot.disputed_reorgs
       (chain_id, tip_number, tip_hash, head_number, head_hash, block_number, stored_hash, found_hash, ancestor_number,
        ancestor_hash, first_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (chain_id) DO UPDATE
   SET tip_number = EXCLUDED.tip_number, tip_hash = EXCLUDED.tip_hash, head_number = EXCLUDED.head_number,
       head_hash = EXCLUDED.head_hash, block_number = EXCLUDED.block_number, stored_hash = EXCLUDED.stored_hash,
       found_hash = EXCLUDED.found_hash, ancestor_number = EXCLUDED.ancestor_number,
       ancestor_hash = EXCLUDED.ancestor_hash, first_hash = EXCLUDED.first_hash, seen_at = now(),
       accepted_by = NULL, accepted_at = NULL, reason = NULL
