SELECT f.org_id AS org_id, f.trigger_id, t.name AS trigger_name, f.fire_key, f.event_id, f.outcome, f.reason,
       f.scheduled_for, f.fired_at
  FROM control.trigger_fires f
  JOIN control.triggers t ON t.id = f.trigger_id
