-- $1 organisation, $2 kind, $3 id and $4 name of the subject, $5 actor, $6 seconds back from now, $7 row to go on before,
-- $8 how many; NULL in the first seven: all. Names are looked up only for the rows of the page.
WITH page AS (
    SELECT a.*
      FROM control.audit_log a
     WHERE ($1::bigint IS NULL OR a.org_id = $1)
       AND ($2::text IS NULL OR a.subject = $2)
       AND ($3::bigint IS NULL OR a.subject_id = $3)
       AND ($4::text IS NULL
            OR a.subject = 'job' AND a.subject_id IN (SELECT id FROM control.jobs WHERE name = $4)
            OR a.subject = 'trigger' AND a.subject_id IN (SELECT id FROM control.triggers WHERE name = $4)
            OR a.subject = 'alert_rule' AND a.subject_id IN (SELECT id FROM alerts.rules WHERE name = $4)
            OR a.subject = 'channel' AND a.subject_id IN (SELECT id FROM alerts.channels WHERE name = $4))
       AND ($5::text IS NULL OR a.actor = $5)
       AND ($6::double precision IS NULL OR a.at >= now() - make_interval(secs => $6))
       AND ($7::bigint IS NULL OR a.id < $7)
     ORDER BY a.id DESC
     LIMIT $8
)
SELECT page.id, page.at, page.actor, page.action, page.subject, page.subject_id,
       coalesce(j.name, tj.name, g.name, r.name, c.name) AS subject_name, page.from_state, page.to_state, page.reason
  FROM page
  LEFT JOIN control.jobs j ON page.subject = 'job' AND j.id = page.subject_id
  LEFT JOIN control.tasks t ON page.subject = 'task' AND t.id = page.subject_id
  LEFT JOIN control.jobs tj ON tj.id = t.job_id
  LEFT JOIN control.triggers g ON page.subject = 'trigger' AND g.id = page.subject_id
  LEFT JOIN alerts.rules r ON page.subject = 'alert_rule' AND r.id = page.subject_id
  LEFT JOIN alerts.channels c ON page.subject = 'channel' AND c.id = page.subject_id
 ORDER BY page.id DESC
