-- Returns the open row of a finding, and whether it is new: then no other transaction's version of it was updated.
-- $1 chain, $2 dataset, $3 key, $4 and $5 blocks, $6 level, $7 fault, $8 message, $9 evidence, $10 task
INSERT INTO cold.integrity_checks AS known
       (chain_id, dataset, object_key, start_block, end_block, level, fault, message, evidence, task_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (chain_id, object_key, fault, start_block, end_block) WHERE resolved_at IS NULL
DO UPDATE SET last_seen_at = greatest(known.last_seen_at, now())
RETURNING known.id, known.xmax = 0 AS is_new
