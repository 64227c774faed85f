-- $1 operator. The due task that a free worker should take next: of an active job with a free place, and of an organisation that
-- has one too.
SELECT t.id
  FROM control.tasks t
  JOIN control.jobs j ON j.id = t.job_id
  JOIN control.orgs o ON o.id = t.org_id
 WHERE t.state = 'queued' AND t.not_before <= now() AND j.active AND NOT j.paused AND j.operator = $1
   AND (SELECT count(*) FROM control.tasks r WHERE r.org_id = t.org_id AND r.job_id = t.job_id AND r.state = 'running')
       < j.max_concurrency
   AND (o.max_concurrency IS NULL
        OR (SELECT count(*) FROM control.tasks r WHERE r.org_id = t.org_id AND r.state = 'running') < o.max_concurrency)
 ORDER BY t.priority DESC, t.not_before, t.id
 LIMIT 1
