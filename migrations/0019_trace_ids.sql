-- What everything that follows from one cause has in common: shared/types/src/trace.rs. NULL in rows from before. Programs of
-- before go on beside it: the defaults are filled in for them too.
--
-- A table in each migration, here and in those that follow: to alter one locks it against everybody, and who is at work holds some
-- of them while asking for others, in several orders. Whoever held two here could wait in a circle with them.

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
