-- As 0019: the cause that began with a block's arrival.
ALTER TABLE hot.block_arrivals ADD COLUMN trace_id text;
ALTER TABLE hot.block_arrivals ALTER COLUMN trace_id SET DEFAULT control.trace_id();
