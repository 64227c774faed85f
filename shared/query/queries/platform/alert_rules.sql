SELECT r.org_id AS org_id, r.id, r.name, r.chain_id, r.definition, r.version, r.state, r.quarantine_code,
       r.quarantine_message, r.quarantined_at, r.muted_until, r.first_block, r.next_run_at, r.created_by, r.created_at,
       r.updated_at, r.deleted_at
  FROM alerts.rules r
