-- As 0019: the trace of what was written last. Thresholds that are crossed follow from that.
ALTER TABLE control.dataset_cursors ADD COLUMN trace_id text;
