-- $1 organisation, $2 name of a job or NULL.
SELECT j.id AS job_id,
       count(t.id) FILTER (WHERE t.state = 'queued') AS queued,
       count(t.id) FILTER (WHERE t.state = 'running') AS running,
       count(t.id) FILTER (WHERE t.state = 'completed') AS completed,
       count(t.id) FILTER (WHERE t.state = 'failed') AS failed,
       count(t.id) FILTER (WHERE t.state = 'cancelled') AS cancelled,
       last.id AS last_task_id, last.state AS last_state, last.finished_at AS last_finished_at,
       ARRAY(SELECT g.name FROM control.triggers g WHERE g.job_id = j.id AND g.active ORDER BY g.name) AS triggers
  FROM control.jobs j
  LEFT JOIN control.tasks t ON t.job_id = j.id
  LEFT JOIN LATERAL (SELECT e.id, e.state, e.finished_at FROM control.tasks e
                      WHERE e.job_id = j.id AND e.finished_at IS NOT NULL
                      ORDER BY e.finished_at DESC, e.id DESC LIMIT 1) last ON true
 WHERE j.org_id = $1 AND ($2::text IS NULL OR j.name = $2)
 GROUP BY j.id, last.id, last.state, last.finished_at
