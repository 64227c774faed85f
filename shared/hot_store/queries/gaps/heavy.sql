-- The highest of the blocks $2..$3 (end not included) of chain $1 that have $4 transactions or more above them; NULL: none.
SELECT max(block_number)
  FROM (SELECT block_number,
               sum(transaction_count) OVER (ORDER BY block_number DESC) - transaction_count AS transactions_above
          FROM hot.blocks
         WHERE chain_id = $1 AND block_number >= $2 AND block_number < $3) AS blocks
 WHERE transactions_above >= $4
