-- $1 chain, then one array a column: $2 times, $3 endpoints, $4 codes, $5 messages, $6 block numbers, $7 block hashes,
-- $8 SHA-256, $9 lengths and $10 beginnings of the answers. What is there already was written by a transaction whose end was
-- not heard.
INSERT INTO hot.evidence
       (chain_id, served_at, endpoint, code, message, block_number, block_hash, answer_sha256, answer_bytes, answer_start)
SELECT $1::bigint, e.*
  FROM unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], $8::text[], $9::bigint[],
              $10::text[]) AS e
ON CONFLICT DO NOTHING
