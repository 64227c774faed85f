-- $1 scopes, $2 their ids, $3 lanes, $4 tokens a minute, $5 bursts: makes the buckets that are not there, full, refills the others, and
-- returns how many whole tokens each has. Their rows stay locked, in the order given, until the caller's transaction ends.
--
-- What an organisation may send is what its row says; what a channel may send is what it was given here.
INSERT INTO alerts.budgets AS b (scope, scope_id, lane, per_minute, burst, tokens, refilled_at)
SELECT w.scope, w.scope_id, w.lane, w.per_minute, w.burst, w.burst, clock_timestamp()
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::double precision[], $5::double precision[]) WITH ORDINALITY
       AS w (scope, scope_id, lane, per_minute, burst, place)
 ORDER BY w.place
    ON CONFLICT (scope, scope_id, lane) DO UPDATE
   SET per_minute = CASE b.scope WHEN 'org' THEN b.per_minute ELSE excluded.per_minute END,
       burst = CASE b.scope WHEN 'org' THEN b.burst ELSE excluded.burst END,
       tokens = least(
           CASE b.scope WHEN 'org' THEN b.burst ELSE excluded.burst END,
           b.tokens + b.per_minute / 60
                    * greatest(extract(epoch FROM clock_timestamp() - b.refilled_at), 0)::double precision),
       refilled_at = greatest(b.refilled_at, clock_timestamp())
RETURNING b.scope, b.scope_id, b.lane, floor(b.tokens)::bigint
