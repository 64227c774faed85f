-- As 0019: the cause that a message follows from.
ALTER TABLE alerts.deliveries ADD COLUMN trace_id text;
ALTER TABLE alerts.deliveries ALTER COLUMN trace_id SET DEFAULT control.trace_id();
