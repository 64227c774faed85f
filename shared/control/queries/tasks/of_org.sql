-- $1 organisation, $2 state or NULL, $3 only tasks before this one or NULL, $4 how many. Only columns that a tenant may
-- read (migrations/0013_access.sql).
SELECT t.id, j.name AS job, j.operator, t.state, t.attempts_left, t.progress_done, t.progress_total, t.progress_message,
       t.error_code, t.error_message, t.created_at, t.started_at, t.finished_at
  FROM control.tasks t
  JOIN control.jobs j ON j.id = t.job_id
 WHERE t.org_id = $1
   AND ($2::text IS NULL OR t.state = $2)
   AND ($3::bigint IS NULL OR t.id < $3)
 ORDER BY t.id DESC
 LIMIT $4
