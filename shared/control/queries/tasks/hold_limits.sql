-- $1 operator, $2 namespace of the jobs' locks. Takes the locks under which the running tasks of its jobs are counted, of those
-- jobs that have a due task, in the order of their ids.
WITH waiting AS MATERIALIZED (
    SELECT j.id, j.org_id, o.max_concurrency IS NOT NULL AS org_is_limited
      FROM control.jobs j JOIN control.orgs o ON o.id = j.org_id
     WHERE j.operator = $1 AND j.active AND NOT j.paused
       AND EXISTS (SELECT 1 FROM control.tasks t WHERE t.job_id = j.id AND t.state = 'queued' AND t.not_before <= now())
     ORDER BY j.id
)
SELECT id, org_id, org_is_limited FROM waiting
 WHERE pg_advisory_xact_lock($2, (id % 2147483647)::integer) IS NOT NULL
