-- As 0019: the cause that an alert follows from.
ALTER TABLE alerts.alert_events ADD COLUMN trace_id text;
ALTER TABLE alerts.alert_events ALTER COLUMN trace_id SET DEFAULT control.trace_id();
