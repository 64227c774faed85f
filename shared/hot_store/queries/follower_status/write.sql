-- $1 chain, $2 number of its newest block, $3 when an endpoint first showed it, $4 blocks stored in a second, $5 blocks by
-- which the chain grew. The times of the last stored block are those of its arrival.
INSERT INTO hot.follower_status
       (chain_id, head_number, head_served_at, first_served_at, committed_at, blocks_per_second, head_blocks_per_second)
SELECT $1, $2, $3, a.served_at, a.committed_at, $4, $5
  FROM (VALUES ($1::bigint)) AS said (chain_id)
  LEFT JOIN hot.cursors c ON c.chain_id = said.chain_id
  LEFT JOIN hot.block_arrivals a ON a.chain_id = c.chain_id AND a.block_number = c.tip_number
ON CONFLICT (chain_id) DO UPDATE
   SET head_number = EXCLUDED.head_number, head_served_at = EXCLUDED.head_served_at,
       first_served_at = EXCLUDED.first_served_at, committed_at = EXCLUDED.committed_at,
       blocks_per_second = EXCLUDED.blocks_per_second, head_blocks_per_second = EXCLUDED.head_blocks_per_second,
       written_at = clock_timestamp()
