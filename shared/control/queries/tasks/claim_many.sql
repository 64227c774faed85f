-- $1 worker, $2 operator, $3 ECS task or NULL, $4 most tasks, $5 jobs. The caller holds the locks of these jobs' limits, so that
-- the counts below are of claims that were committed before, and none is on its way.
--
-- The state is carried along and compared as a column: compared with a word, it would let the planner read the whole index of
-- queued tasks, which it takes to be empty, once for each chosen task.
WITH places AS MATERIALIZED (
    SELECT j.id AS job_id,
           j.max_concurrency - (SELECT count(*) FROM control.tasks r
                               WHERE r.org_id = j.org_id AND r.job_id = j.id AND r.state = 'running') AS free,
           -- Counted only where there is a limit: all that runs, of all jobs.
           CASE WHEN o.max_concurrency IS NOT NULL
                THEN o.max_concurrency - (SELECT count(*) FROM control.tasks r WHERE r.org_id = o.id AND r.state = 'running')
           END AS org_free
      FROM control.jobs j JOIN control.orgs o ON o.id = j.org_id
     WHERE j.id = ANY($5) AND j.operator = $2 AND j.active AND NOT j.paused
), due AS MATERIALIZED (
    SELECT t.*, p.org_free
      FROM places p
     CROSS JOIN LATERAL (
           SELECT id, fence, state, org_id, priority, not_before FROM control.tasks
            WHERE job_id = p.job_id AND state = 'queued' AND not_before <= now() AND (always_on OR attempts_left > 0)
            ORDER BY priority DESC, not_before, id
            LIMIT least(greatest(p.free, 0), $4)
              FOR UPDATE SKIP LOCKED) t
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY org_id ORDER BY priority DESC, not_before, id) AS org_place FROM due
), chosen AS MATERIALIZED (
    SELECT id, fence, state FROM ranked WHERE org_free IS NULL OR org_place <= org_free
     ORDER BY priority DESC, not_before, id LIMIT $4
), claimed AS (
    UPDATE control.tasks t
       SET state = 'running',
           fence = t.fence + 1,
           attempts_left = t.attempts_left - CASE WHEN t.always_on THEN 0 ELSE 1 END,
           worker = $1,
           lease_expires_at = now() + make_interval(secs => j.heartbeat_timeout_seconds),
           started_at = now(),
           progress_done = NULL, progress_total = NULL, progress_message = NULL,
           wakes_sent = 0, woken_at = NULL,
           ecs_task_arn = coalesce($3, t.ecs_task_arn)
      FROM chosen, control.jobs j
     WHERE t.id = chosen.id AND t.fence = chosen.fence AND t.state = chosen.state AND j.id = t.job_id
 RETURNING t.id, t.org_id, t.job_id, j.name AS job, t.idempotency_key, t.fence, t.always_on, t.priority, t.not_before,
           j.heartbeat_timeout_seconds AS lease_seconds, j.run_timeout_seconds,
           j.stall_timeout_seconds, j.config, t.input, j.secrets, t.trace_id
), attempts AS (
    INSERT INTO control.task_attempts (task_id, fence, worker, org_id) SELECT id, fence, $1, org_id FROM claimed
), trail AS (
    INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, from_state, to_state)
    SELECT org_id, $1, 'claimed', 'task', id, 'queued', 'running' FROM claimed
)
SELECT c.id, c.org_id, c.job_id, c.job, c.idempotency_key, c.fence, c.always_on, c.lease_seconds, c.run_timeout_seconds,
       c.stall_timeout_seconds, c.config, c.input, c.secrets, c.trace_id,
       -- Fences count claims: before the first, nothing has failed.
       CASE WHEN c.fence > 1
            THEN (SELECT count(*) FROM control.task_attempts a WHERE a.task_id = c.id AND a.outcome IN ('failed', 'lost'))
            ELSE 0 END AS failures
  FROM claimed c
 ORDER BY c.priority DESC, c.not_before, c.id
