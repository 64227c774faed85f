-- Bounds of what rules may ask and find, and indexes for what is looked up in every run.

-- Rules with SQL: when it was asked last. Whoever was asked least recently comes first.
ALTER TABLE alerts.rules ADD COLUMN asked_at timestamptz;
CREATE INDEX rules_due ON alerts.rules (next_run_at)
    WHERE state = 'active' AND deleted_at IS NULL AND next_run_at IS NOT NULL;
CREATE INDEX rules_with_sql ON alerts.rules (org_id, asked_at) WHERE deleted_at IS NULL AND next_run_at IS NOT NULL;
