-- $1 task, $2 worker, $3 operator, $4 ECS task or NULL. The caller holds the task's row and the locks of its limits, so that the
-- counts below are of claims that were committed before, and none is on its way.
UPDATE control.tasks t
   SET state = 'running',
       fence = t.fence + 1,
       attempts_left = t.attempts_left - CASE WHEN t.always_on THEN 0 ELSE 1 END,
       worker = $2,
       lease_expires_at = now() + make_interval(secs => j.heartbeat_timeout_seconds),
       started_at = now(),
       progress_done = NULL, progress_total = NULL, progress_message = NULL,
       wakes_sent = 0, woken_at = NULL,
       ecs_task_arn = coalesce($4, t.ecs_task_arn)
  FROM control.jobs j JOIN control.orgs o ON o.id = j.org_id
 WHERE t.id = $1 AND t.state = 'queued' AND t.not_before <= now() AND (t.always_on OR t.attempts_left > 0)
   AND j.id = t.job_id AND j.operator = $3 AND j.active AND NOT j.paused
   AND (SELECT count(*) FROM control.tasks r WHERE r.org_id = t.org_id AND r.job_id = t.job_id AND r.state = 'running')
       < j.max_concurrency
   AND (o.max_concurrency IS NULL
        OR (SELECT count(*) FROM control.tasks r WHERE r.org_id = t.org_id AND r.state = 'running') < o.max_concurrency)
RETURNING t.org_id, t.job_id, j.name AS job, t.idempotency_key, t.fence, t.always_on,
          j.heartbeat_timeout_seconds AS lease_seconds, j.run_timeout_seconds, j.stall_timeout_seconds,
          j.config, t.input, j.secrets, t.trace_id
