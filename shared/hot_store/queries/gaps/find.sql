-- The blocks of $2..$3 (end not included) of chain $1 that are missing or not whole, the highest first, as far as they lie
-- between the first stored block and the tip. What is above a block says which one belongs there: the next block by its
-- parent hash, the cursor for the tip. How many rows belong to it, its header and its receipts say. Of traces that holds
-- for the top frames, one of each transaction, and all rows of a block are numbered; they are looked at where they are kept
-- and hot: from the first traced block on, above the watermark $4 (NULL: none is cold).
WITH chain AS (
    SELECT first_block, first_traced_block, tip_number, tip_hash
      FROM hot.cursors WHERE chain_id = $1 AND tip_number IS NOT NULL
), named AS (
    -- With one block more at the upper end, for what that says of the one below.
    SELECT number, b.block_hash, b.transaction_count,
           CASE WHEN number = chain.tip_number THEN chain.tip_hash
                ELSE lead(b.parent_hash) OVER (ORDER BY number) END AS named_hash,
           lead(b.block_hash) OVER (ORDER BY number) AS above_hash,
           coalesce(number >= chain.first_traced_block AND number > coalesce($4::bigint, -1), false) AS is_traced
      FROM chain
     CROSS JOIN generate_series(greatest($2, chain.first_block), least($3, chain.tip_number)) AS number
      LEFT JOIN hot.blocks b
             ON b.chain_id = $1 AND b.block_number = number AND b.block_number >= $2 AND b.block_number <= $3
), own_transactions AS (
    SELECT t.block_number, count(*) AS row_count, sum(t.log_count) AS log_count,
           bool_and(t.block_hash = named.block_hash) AS are_its_own
      FROM hot.transactions t
      JOIN named ON named.number = t.block_number
     WHERE t.chain_id = $1 AND t.block_number >= $2 AND t.block_number < $3
     GROUP BY t.block_number
), own_logs AS (
    SELECT l.block_number, count(*) AS row_count, bool_and(l.block_hash = named.block_hash) AS are_its_own
      FROM hot.logs l
      JOIN named ON named.number = l.block_number
     WHERE l.chain_id = $1 AND l.block_number >= $2 AND l.block_number < $3
     GROUP BY l.block_number
), own_traces AS (
    SELECT t.block_number, count(*) AS row_count, max(t.trace_index) AS last_index,
           -- A reward is of no transaction.
           count(*) FILTER (WHERE t.transaction_index IS NOT NULL AND t.trace_address = '') AS top_count,
           bool_and(t.block_hash = named.block_hash) AS are_its_own
      FROM hot.traces t
      JOIN named ON named.number = t.block_number AND named.is_traced
     WHERE t.chain_id = $1 AND t.block_number >= $2 AND t.block_number < $3
     GROUP BY t.block_number
), judged AS (
    SELECT named.number, named.block_hash, named.named_hash, named.above_hash,
           CASE WHEN named.block_hash IS NULL THEN 'missing'
                WHEN named.block_hash <> named.named_hash THEN 'other_hash'
                WHEN named.transaction_count <> coalesce(t.row_count, 0) OR NOT coalesce(t.are_its_own, true)
                THEN 'transactions'
                WHEN coalesce(t.log_count, 0) <> coalesce(l.row_count, 0) OR NOT coalesce(l.are_its_own, true)
                THEN 'logs'
                WHEN named.is_traced
                     AND (named.transaction_count <> coalesce(f.top_count, 0) OR f.row_count <> f.last_index + 1
                          OR NOT coalesce(f.are_its_own, true))
                THEN 'traces' END AS kind
      FROM named
      LEFT JOIN own_transactions t ON t.block_number = named.number
      LEFT JOIN own_logs l ON l.block_number = named.number
      LEFT JOIN own_traces f ON f.block_number = named.number
     WHERE named.number < $3
)
SELECT number, kind, block_hash, named_hash, above_hash FROM judged WHERE kind IS NOT NULL ORDER BY number DESC
