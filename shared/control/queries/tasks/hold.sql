-- $1 task, $2 namespace of the jobs' locks, $3 of the organisations'. Holds the queued task and then the locks under which the
-- running tasks of its job, and of its organisation if that has a limit, are counted. Whoever claims the same task gets
-- nothing at once; whoever claims another task of the job waits for the few milliseconds that a claim takes.
WITH held AS MATERIALIZED (
    SELECT id, job_id, org_id FROM control.tasks WHERE id = $1 AND state = 'queued' FOR UPDATE SKIP LOCKED
)
SELECT pg_advisory_xact_lock($2, (held.job_id % 2147483647)::integer),
       CASE WHEN o.max_concurrency IS NOT NULL THEN pg_advisory_xact_lock($3, (held.org_id % 2147483647)::integer) END
  FROM held JOIN control.orgs o ON o.id = held.org_id
