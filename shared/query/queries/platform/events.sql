SELECT e.org_id AS org_id, e.id, e.kind, e.body, e.occurred_at
  FROM control.events e
