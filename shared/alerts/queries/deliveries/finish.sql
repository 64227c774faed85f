-- Writes down attempts that have ended, one of each array an attempt: $1 deliveries, $2 attempts, $3 states, $4 waits in seconds (of
-- those that are queued again), $5 ids that the provider gave, $6 HTTP statuses, $7 error codes, $8 whether it may have arrived though
-- it failed, $9 when it began, $10 how long it took. Returns those whose attempt was still the present one.
WITH done AS MATERIALIZED (
    SELECT *, 'sending' AS was
      FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::double precision[], $5::text[], $6::integer[], $7::text[], $8::boolean[],
                  $9::timestamptz[], $10::bigint[])
           AS d (id, attempt, state, wait_seconds, message_id, status, error_code, may_have_arrived, started_at, duration_ms)
), held AS MATERIALIZED (
    -- Locked in one order, so that two senders never wait for each other.
    SELECT t.id
      FROM alerts.deliveries t
      JOIN done ON done.id = t.id AND done.attempt = t.attempts AND done.was = t.state
     ORDER BY t.id
       FOR UPDATE OF t
), ended AS (
    UPDATE alerts.deliveries t
       SET state = done.state,
           lease_expires_at = NULL,
           not_before = CASE done.state WHEN 'queued' THEN now() + make_interval(secs => done.wait_seconds) ELSE t.not_before END,
           finished_at = CASE done.state WHEN 'queued' THEN NULL ELSE now() END,
           provider_message_id = coalesce(done.message_id, t.provider_message_id),
           last_status = done.status,
           last_error_code = done.error_code,
           may_have_arrived = t.may_have_arrived OR done.may_have_arrived
      FROM done JOIN held USING (id)
     WHERE t.id = done.id AND t.attempts = done.attempt AND t.state = done.was
 RETURNING t.id, t.org_id, done.attempt, done.started_at, done.duration_ms, done.status, done.error_code
), logged AS (
    INSERT INTO alerts.delivery_attempts (org_id, delivery_id, attempt, started_at, duration_ms, status, error_code)
    SELECT org_id, id, attempt, started_at, duration_ms, status, error_code FROM ended
)
SELECT id FROM ended
