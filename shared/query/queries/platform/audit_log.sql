SELECT a.org_id AS org_id, a.id, a.at AS occurred_at, a.actor, a.action, a.subject, a.subject_id, a.from_state,
       a.to_state, a.reason
  FROM control.audit_log a
