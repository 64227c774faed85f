-- $1 organisation, $2 the last query of the page before or NULL, $3 at most so many.
SELECT q.id, q.user_id, q.actor, q.sql_sha256, q.mode, q.format, q.timeout_seconds,
       CASE WHEN q.finished_at IS NULL AND t.state IN ('failed', 'cancelled') THEN t.state ELSE q.state END AS state,
       q.asked_at, q.started_at, coalesce(q.finished_at, t.finished_at) AS finished_at, q.row_count, q.bytes, q.duration_ms,
       q.cold_files, q.cold_bytes,
       CASE WHEN q.finished_at IS NULL AND t.state = 'failed' THEN t.error_code ELSE q.error_code END AS error_code,
       q.result_key, q.result_bytes, q.result_sha256, q.cancel_asked_at, q.cancel_asked_by, q.task_id,
       coalesce(q.task_fence, 0) AS attempt
  FROM query.queries q
  LEFT JOIN control.tasks t ON t.id = q.task_id AND t.org_id = q.org_id AND t.state IN ('failed', 'cancelled')
 WHERE q.org_id = $1
   AND ($2::uuid IS NULL
        OR (q.asked_at, q.id) < (SELECT b.asked_at, b.id FROM query.queries b WHERE b.org_id = $1 AND b.id = $2))
 ORDER BY q.asked_at DESC, q.id DESC
 LIMIT $3
