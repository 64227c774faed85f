-- $1 organisation, $2 query. A batch query ends with its task if that ends without a word of it.
SELECT q.id, q.user_id, q.actor, q.sql_sha256, q.mode, q.format, q.timeout_seconds,
       CASE WHEN q.finished_at IS NULL AND t.state IN ('failed', 'cancelled') THEN t.state ELSE q.state END AS state,
       q.asked_at, q.started_at, coalesce(q.finished_at, t.finished_at) AS finished_at, q.row_count, q.bytes, q.duration_ms,
       q.cold_files, q.cold_bytes,
       CASE WHEN q.finished_at IS NULL AND t.state = 'failed' THEN t.error_code ELSE q.error_code END AS error_code,
       q.result_key, q.result_bytes, q.result_sha256, q.cancel_asked_at, q.cancel_asked_by, q.task_id,
       coalesce(q.task_fence, 0) AS attempt
  FROM query.queries q
  LEFT JOIN control.tasks t ON t.id = q.task_id AND t.org_id = q.org_id AND t.state IN ('failed', 'cancelled')
 WHERE q.org_id = $1 AND q.id = $2
