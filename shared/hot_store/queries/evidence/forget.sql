-- $1 chain, $2 pieces to be kept, the newest.
DELETE FROM hot.evidence
 WHERE chain_id = $1
   AND (served_at, endpoint) IN (
           SELECT served_at, endpoint FROM hot.evidence WHERE chain_id = $1 ORDER BY served_at DESC, endpoint OFFSET $2)
