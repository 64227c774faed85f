-- Due tasks of active jobs in the order in which they are to run, of each job no more than may run at one time.
WITH running AS (
    SELECT job_id, count(*) AS tasks FROM control.tasks WHERE state = 'running' GROUP BY job_id
), due AS (
    SELECT t.*, j.operator, j.runtime, j.max_concurrency,
           j.max_concurrency - coalesce(running.tasks, 0) AS free,
           row_number() OVER (PARTITION BY t.job_id ORDER BY t.not_before, t.id) AS place
      FROM control.tasks t
      JOIN control.jobs j ON j.id = t.job_id
      LEFT JOIN running ON running.job_id = t.job_id
     WHERE t.state = 'queued' AND t.not_before <= now() AND j.active AND NOT j.paused
)
SELECT id, fence, job_id, operator, runtime, wakes_sent, free,
       extract(epoch FROM now() - woken_at)::double precision AS woken_seconds_ago,
       CASE WHEN launch_fence = fence THEN launches_sent ELSE 0 END AS launches_sent,
       CASE WHEN launch_fence = fence
            THEN extract(epoch FROM now() - launched_at)::double precision END AS launched_seconds_ago
  FROM due
 WHERE place <= free
 ORDER BY not_before, id
