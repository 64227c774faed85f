-- Due tasks of active jobs in the order in which they are to run, of each job no more than may still run at one time.
-- $1: most rows. The limit of an organisation comes along; the plan keeps it, over its jobs together.
WITH running AS MATERIALIZED (
    SELECT job_id, org_id, count(*) AS tasks FROM control.tasks WHERE state = 'running' GROUP BY job_id, org_id
), places AS (
    SELECT j.id AS job_id, j.org_id, j.operator, j.runtime,
           j.max_concurrency - coalesce((SELECT tasks FROM running WHERE running.job_id = j.id), 0) AS free,
           o.max_concurrency - coalesce((SELECT sum(tasks) FROM running WHERE running.org_id = j.org_id), 0)::bigint AS org_free
      FROM control.jobs j JOIN control.orgs o ON o.id = j.org_id
     WHERE j.active AND NOT j.paused
)
SELECT t.id, t.fence, p.job_id, p.org_id, p.operator, p.runtime, t.wakes_sent, p.free, p.org_free,
       extract(epoch FROM now() - t.woken_at)::double precision AS woken_seconds_ago,
       CASE WHEN t.launch_fence = t.fence THEN t.launches_sent ELSE 0 END AS launches_sent,
       CASE WHEN t.launch_fence = t.fence
            THEN extract(epoch FROM now() - t.launched_at)::double precision END AS launched_seconds_ago
  FROM places p
 CROSS JOIN LATERAL (
       SELECT * FROM control.tasks
        WHERE job_id = p.job_id AND state = 'queued' AND not_before <= now()
        ORDER BY priority DESC, not_before, id LIMIT greatest(p.free, 0)) t
 ORDER BY t.priority DESC, t.not_before, t.id
 LIMIT $1
