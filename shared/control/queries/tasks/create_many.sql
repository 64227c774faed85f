-- $1 jobs, $2 keys, $3 inputs, $4 waits in seconds: one of each for every task, in the order in which they are to be made; $5 actor.
-- $6 jobs, $7 keys, $8 events, $9 chains, $10 datasets, $11 first blocks, $12 ends of blocks: one of each for every row that tells
-- what one of these tasks answers and is to work on. $13 traces, NULL for a cause of its own: one for every task. Returns the tasks
-- that are new.
WITH wanted AS MATERIALIZED (
    SELECT *
      FROM unnest($1::bigint[], $2::text[], $3::jsonb[], $4::double precision[], $13::text[])
           WITH ORDINALITY AS w (job_id, key, input, wait, trace_id, place)
), made AS (
    -- Ids are drawn in this order, in which the tasks are claimed. Two callers that make the same tasks never wait for each other
    -- if they name them in one order.
    INSERT INTO control.tasks (org_id, job_id, idempotency_key, always_on, input, attempts_left, not_before, priority,
                               trace_id)
    SELECT j.org_id, j.id, w.key, j.always_on, w.input, j.max_attempts, now() + make_interval(secs => w.wait), j.priority,
           coalesce(w.trace_id, control.trace_id())
      FROM wanted w JOIN control.jobs j ON j.id = w.job_id
     ORDER BY w.place
        ON CONFLICT DO NOTHING
 RETURNING id, org_id, job_id, idempotency_key, trace_id
), noted AS (
    -- A new task has no inputs that could be in the way.
    INSERT INTO control.task_inputs (org_id, task_id, event_id, chain_id, dataset, start_block, end_block)
    SELECT made.org_id, made.id, i.event_id, i.chain_id, i.dataset, i.start_block, i.end_block
      FROM unnest($6::bigint[], $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[])
           AS i (job_id, key, event_id, chain_id, dataset, start_block, end_block)
      JOIN made ON made.job_id = i.job_id AND made.idempotency_key = i.key
), trail AS (
    INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, to_state, reason)
    SELECT org_id, $5, 'created', 'task', id, 'queued', idempotency_key FROM made
)
SELECT id, job_id, idempotency_key, trace_id FROM made
