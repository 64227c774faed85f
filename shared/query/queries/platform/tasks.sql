SELECT t.org_id AS org_id, t.id, t.job_id, j.name AS job_name, t.idempotency_key, t.always_on, t.input, t.state, t.fence,
       t.attempts_left, t.priority, t.not_before, t.started_at, t.finished_at, t.progress_done, t.progress_total,
       t.progress_message, t.output, t.error_code, t.error_message, t.created_at
  FROM control.tasks t
  JOIN control.jobs j ON j.id = t.job_id
