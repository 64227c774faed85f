-- $1 chain, then one array a column, in order of preference: $2 names, $3 states, $4 newest blocks, $5 codes of last errors,
-- $6 requests, $7 failures. Endpoints that are not named any more go.
WITH named AS (
    SELECT (ordinality - 1)::integer AS place, name, state, last_head, last_error_code, requests, failures
      FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[]) WITH ORDINALITY
           AS e (name, state, last_head, last_error_code, requests, failures, ordinality)
), gone AS (
    DELETE FROM hot.endpoints e WHERE e.chain_id = $1 AND NOT EXISTS (SELECT FROM named WHERE named.place = e.place)
)
INSERT INTO hot.endpoints (chain_id, place, name, state, last_head, last_error_code, requests, failures)
SELECT $1, place, name, state, last_head, last_error_code, requests, failures FROM named
ON CONFLICT (chain_id, place) DO UPDATE
   SET name = EXCLUDED.name, state = EXCLUDED.state, last_head = EXCLUDED.last_head,
       last_error_code = EXCLUDED.last_error_code, requests = EXCLUDED.requests, failures = EXCLUDED.failures
