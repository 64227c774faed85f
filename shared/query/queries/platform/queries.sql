-- A batch query whose task has failed for good has failed, as in queries/queries/list.sql.
SELECT q.org_id AS org_id, q.id, q.user_id, q.actor AS asked_by, q.sql_sha256, q.mode, q.format, q.timeout_seconds,
       CASE WHEN q.finished_at IS NULL AND t.state IN ('failed', 'cancelled') THEN t.state ELSE q.state END AS state,
       q.asked_at, q.started_at, coalesce(q.finished_at, t.finished_at) AS finished_at, q.row_count, q.bytes, q.duration_ms,
       q.cold_files, q.cold_bytes,
       CASE WHEN q.finished_at IS NULL AND t.state = 'failed' THEN t.error_code ELSE q.error_code END AS error_code,
       q.result_bytes, q.cancel_asked_at, q.cancel_asked_by, q.task_id
  FROM query.queries q
  LEFT JOIN control.tasks t ON t.id = q.task_id AND t.org_id = q.org_id AND t.state IN ('failed', 'cancelled')
