-- $1 tasks, $2 fences, $3 outputs, $4 ends of standard error: one of each for every attempt that has done its work. Returns the
-- tasks that were completed, with their fences; the others are stale.
--
-- The state is compared as a column, so that the tasks are found by their keys: see claim_many.sql.
WITH done AS MATERIALIZED (
    SELECT *, 'running' AS state FROM unnest($1::bigint[], $2::bigint[], $3::jsonb[], $4::text[]) AS d (task_id, fence, output, stderr_tail)
), held AS MATERIALIZED (
    -- Locked in one order, so that two callers never wait for each other.
    SELECT t.id, t.fence, t.state, a.worker, d.output, d.stderr_tail
      FROM control.tasks t
      JOIN done d ON d.task_id = t.id AND d.fence = t.fence AND d.state = t.state
      JOIN control.task_attempts a ON a.task_id = t.id AND a.fence = t.fence AND a.outcome IS NULL
     ORDER BY t.id
       FOR UPDATE OF t
), completed AS (
    UPDATE control.tasks t
       SET state = 'completed', finished_at = now(), output = held.output, worker = NULL, lease_expires_at = NULL,
           error_code = NULL, error_message = NULL
      FROM held
     WHERE t.id = held.id AND t.fence = held.fence AND t.state = held.state
 RETURNING t.id, t.fence, t.org_id, held.worker, held.stderr_tail
), ended AS (
    UPDATE control.task_attempts a
       SET finished_at = now(), outcome = 'completed', stderr_tail = c.stderr_tail
      FROM completed c
     WHERE a.task_id = c.id AND a.fence = c.fence AND a.outcome IS NULL
), trail AS (
    INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, from_state, to_state)
    SELECT org_id, worker, 'completed', 'task', id, 'running', 'completed' FROM completed
)
SELECT id, fence FROM completed
