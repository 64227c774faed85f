-- The attempt's own copy of the organisation may be absent in rows of programs of before.
SELECT t.org_id AS org_id, a.task_id, a.fence, a.started_at, a.finished_at, a.outcome, a.error_code, a.error_message,
       a.exit_code, a.exit_signal
  FROM control.task_attempts a
  JOIN control.tasks t ON t.id = a.task_id
