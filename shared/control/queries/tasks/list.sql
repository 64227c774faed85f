-- $1 task, $2 state, $3 job, $4 operator, $5 seconds back from now, $6 how many; NULL in the first five: all.
WITH running AS (
    SELECT org_id, job_id, count(*) AS tasks FROM control.tasks WHERE state = 'running' GROUP BY org_id, job_id
)
SELECT t.*, j.name AS job, j.operator, j.max_attempts,
       (SELECT count(*) FROM control.task_attempts a
         WHERE a.task_id = t.id AND (a.outcome IS NULL OR a.outcome IN ('completed', 'failed', 'lost'))) AS attempts_used,
       t.not_before <= now() AS is_due, j.active AS job_active, j.paused AS job_paused, j.max_concurrency AS job_limit,
       coalesce((SELECT r.tasks FROM running r WHERE r.job_id = t.job_id), 0) AS job_running,
       o.max_concurrency AS org_limit,
       coalesce((SELECT sum(r.tasks)::bigint FROM running r WHERE r.org_id = t.org_id), 0) AS org_running
  FROM control.tasks t
  JOIN control.jobs j ON j.id = t.job_id
  JOIN control.orgs o ON o.id = t.org_id
 WHERE ($1::bigint IS NULL OR t.id = $1)
   AND ($2::text IS NULL OR t.state = $2)
   AND ($3::text IS NULL OR j.name = $3)
   AND ($4::text IS NULL OR j.operator = $4)
   AND ($5::double precision IS NULL
        OR greatest(t.created_at, t.started_at, t.finished_at) >= now() - make_interval(secs => $5))
 ORDER BY t.id DESC
 LIMIT $6
