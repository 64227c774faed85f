-- What a task still costs to write. A foreign key is a query, a lock of the other row and a record of that lock for each row. These
-- three ask for what the statements that write the rows have seen to: an attempt is written by whoever has just updated its task, an
-- input by whoever has just made its task or holds it, and holds its event. So none refers to a row that is not there.
ALTER TABLE control.task_attempts DROP CONSTRAINT task_attempts_task_id_fkey;
ALTER TABLE control.task_inputs
    DROP CONSTRAINT task_inputs_task_id_fkey,
    DROP CONSTRAINT task_inputs_event_id_fkey;

-- Their other half stays: a row that others refer to cannot be deleted. It costs nothing until somebody tries. Whoever writes such a
-- row holds what it refers to, so this looks after they have committed, and has to see what they have committed: under a snapshot of
-- before it would not, so there nothing is deleted.
CREATE FUNCTION control.refuse_to_orphan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE feature_not_supported USING
            MESSAGE = format('rows of control.%s cannot be deleted in a %s transaction: it does not see who has begun to refer to them',
                             TG_TABLE_NAME, current_setting('transaction_isolation')),
            HINT = 'Delete them in a READ COMMITTED transaction.';
    END IF;
    IF (TG_TABLE_NAME = 'tasks' AND (EXISTS (SELECT FROM control.task_attempts WHERE task_id = OLD.id)
                                     OR EXISTS (SELECT FROM control.task_inputs WHERE task_id = OLD.id)))
       OR (TG_TABLE_NAME = 'events' AND EXISTS (SELECT FROM control.task_inputs WHERE event_id = OLD.id))
    THEN
        RAISE foreign_key_violation USING
            MESSAGE = format('row %s of control.%s cannot be deleted: attempts or inputs of a task refer to it', OLD.id, TG_TABLE_NAME),
            HINT = 'Delete its rows of control.task_attempts and control.task_inputs first.';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER refuse_to_orphan BEFORE DELETE ON control.tasks FOR EACH ROW EXECUTE FUNCTION control.refuse_to_orphan();
CREATE TRIGGER refuse_to_orphan BEFORE DELETE ON control.events FOR EACH ROW EXECUTE FUNCTION control.refuse_to_orphan();

-- TRUNCATE asks no trigger of a row.
CREATE FUNCTION control.refuse_to_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = format('control.%s cannot be truncated: attempts and inputs of tasks may refer to its rows', TG_TABLE_NAME),
        HINT = 'Delete its rows.';
END
$$;
CREATE TRIGGER refuse_to_truncate BEFORE TRUNCATE ON control.tasks
    FOR EACH STATEMENT EXECUTE FUNCTION control.refuse_to_truncate();
CREATE TRIGGER refuse_to_truncate BEFORE TRUNCATE ON control.events
    FOR EACH STATEMENT EXECUTE FUNCTION control.refuse_to_truncate();

-- An attempt is written twice, when it begins and when it ends. No index knows the columns of its end: with room on its page for the
-- second version, the key needs no second entry.
ALTER TABLE control.task_attempts SET (fillfactor = 45);
