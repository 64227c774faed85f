-- $1 task, $2 worker, $3 operator, $4 ECS task or NULL.
WITH due AS (
    SELECT t.id, t.fence
      FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id
     WHERE t.id = $1 AND t.state = 'queued' AND t.not_before <= now()
       AND (t.always_on OR t.attempts_left > 0) AND j.operator = $3 AND j.active AND NOT j.paused
       AND (SELECT count(*) FROM control.tasks r WHERE r.job_id = t.job_id AND r.state = 'running') < j.max_concurrency
       FOR UPDATE OF t SKIP LOCKED
)
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
  FROM due, control.jobs j
 WHERE t.id = due.id AND t.fence = due.fence AND t.state = 'queued' AND j.id = t.job_id
RETURNING t.org_id, t.job_id, j.name AS job, t.fence, t.always_on,
          j.heartbeat_timeout_seconds AS lease_seconds, j.run_timeout_seconds, j.stall_timeout_seconds,
          j.config, t.input, j.secrets
