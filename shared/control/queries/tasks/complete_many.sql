-- $1 tasks, $2 fences, $3 outputs, $4 ends of standard error: one of each for every attempt that has done its work. Returns the
-- tasks that were completed, with their fences; the others are stale.
--
-- The state is compared as a column, so that the tasks are found by their keys: see claim_many.sql.
WITH done AS MATERIALIZED (
    SELECT *, 'running' AS state FROM unnest($1::bigint[], $2::bigint[], $3::jsonb[], $4::text[]) AS d (task_id, fence, output, stderr_tail)
), held AS MATERIALIZED (
    -- Locked in one order, so that two callers never wait for each other.
    SELECT t.id, t.fence, t.state, d.output, d.stderr_tail
      FROM control.tasks t
      JOIN done d ON d.task_id = t.id AND d.fence = t.fence AND d.state = t.state
     ORDER BY t.id
       FOR UPDATE OF t
), ended AS (
    -- Before the tasks: one whose attempt is not open stays as it is.
    UPDATE control.task_attempts a
       SET finished_at = now(), outcome = 'completed', stderr_tail = held.stderr_tail
      FROM held
     WHERE a.task_id = held.id AND a.fence = held.fence AND a.outcome IS NULL
 RETURNING held.id, held.fence, held.state, held.output, a.worker
), completed AS (
    UPDATE control.tasks t
       SET state = 'completed', finished_at = now(), output = ended.output, worker = NULL, lease_expires_at = NULL,
           error_code = NULL, error_message = NULL
      FROM ended
     WHERE t.id = ended.id AND t.fence = ended.fence AND t.state = ended.state
 RETURNING t.id, t.fence, t.org_id, ended.worker
), trail AS (
    INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, from_state, to_state)
    SELECT org_id, worker, 'completed', 'task', id, 'running', 'completed' FROM completed
)
SELECT id, fence FROM completed
