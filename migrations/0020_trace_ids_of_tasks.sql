-- As 0019: the cause that a task follows from.
ALTER TABLE control.tasks ADD COLUMN trace_id text;
ALTER TABLE control.tasks ALTER COLUMN trace_id SET DEFAULT control.trace_id();
