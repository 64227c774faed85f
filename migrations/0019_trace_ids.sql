-- What everything that follows from one cause has in common: shared/types/src/trace.rs. NULL in rows from before. Programs of
-- before go on beside it: the defaults are filled in for them too.

-- The trace of the present transaction: the one that was set for it (`isotherm.trace_id`, shared/control/src/trace.rs), else a new
-- one, which is its trace until it ends.
CREATE FUNCTION control.trace_id() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    present text := nullif(current_setting('isotherm.trace_id', true), '');
BEGIN
    IF present IS NULL THEN
        present := set_config('isotherm.trace_id', replace(gen_random_uuid()::text, '-', ''), true);
    END IF;
    RETURN present;
END
$$;

-- A column first and its default after: so no row of before is written anew.
ALTER TABLE control.events ADD COLUMN trace_id text;
ALTER TABLE control.events ALTER COLUMN trace_id SET DEFAULT control.trace_id();
ALTER TABLE control.tasks ADD COLUMN trace_id text;
ALTER TABLE control.tasks ALTER COLUMN trace_id SET DEFAULT control.trace_id();
ALTER TABLE hot.block_arrivals ADD COLUMN trace_id text;
ALTER TABLE hot.block_arrivals ALTER COLUMN trace_id SET DEFAULT control.trace_id();
ALTER TABLE alerts.alert_events ADD COLUMN trace_id text;
ALTER TABLE alerts.alert_events ALTER COLUMN trace_id SET DEFAULT control.trace_id();
ALTER TABLE alerts.deliveries ADD COLUMN trace_id text;
ALTER TABLE alerts.deliveries ALTER COLUMN trace_id SET DEFAULT control.trace_id();

-- The trace of what was written last: thresholds that are crossed follow from that.
ALTER TABLE control.dataset_cursors ADD COLUMN trace_id text;
