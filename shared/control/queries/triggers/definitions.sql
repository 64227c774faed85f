SELECT t.id, t.name, t.active, t.config_hash,
       jsonb_build_object('name', t.name, 'job', j.name, t.kind, t.config, 'input', t.input) AS definition
  FROM control.triggers t
  JOIN control.jobs j ON j.id = t.job_id
 WHERE t.org_id = $1
 ORDER BY t.name
