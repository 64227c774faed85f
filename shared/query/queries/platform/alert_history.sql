SELECT h.org_id AS org_id, h.id, h.alert_id, h.at AS occurred_at, h.from_state, h.to_state, h.block_number,
       h.block_hash, h.reason
  FROM alerts.alert_history h
