SELECT t.org_id AS org_id, t.id, t.job_id, j.name AS job_name, t.name, t.kind, t.input, t.next_block, t.next_count,
       t.ticked_until, t.active, t.created_at, t.updated_at
  FROM control.triggers t
  JOIN control.jobs j ON j.id = t.job_id
