-- Bounds of what rules may ask and find, and indexes for what is looked up in every run.

-- Rules with SQL: when it was asked last. Whoever was asked least recently comes first.
ALTER TABLE alerts.rules ADD COLUMN asked_at timestamptz;
CREATE INDEX rules_due ON alerts.rules (next_run_at)
    WHERE state = 'active' AND deleted_at IS NULL AND next_run_at IS NOT NULL;
CREATE INDEX rules_with_sql ON alerts.rules (org_id, asked_at) WHERE deleted_at IS NULL AND next_run_at IS NOT NULL;

-- What keeps others of its group back is looked up by rule and group. Group '' and no group share a place, and are told apart by the row.
CREATE INDEX alert_events_holding_group ON alerts.alert_events (rule_id, coalesce(group_key, ''), block_time)
    WHERE state IN ('pending', 'sent', 'confirmed', 'moved');
DROP INDEX alerts.alert_events_holding;

-- Whether a chain's rules are those that were read last is read from the index alone, and of the rules at work only.
CREATE INDEX rules_fingerprint ON alerts.rules (chain_id) INCLUDE (id, version, first_block, updated_at, muted_until)
    WHERE state = 'active' AND deleted_at IS NULL;

-- New alerts of a rule or an organisation on one day (UTC): the ledger is never deleted, so what goes in is bounded
-- (shared/alerts/src/daily.rs). One row a rule and organisation, of the last day on which it had any.
CREATE TABLE alerts.daily_counts (
    scope       text NOT NULL CHECK (scope IN ('rule', 'org')),
    scope_id    bigint NOT NULL,
    day         date NOT NULL,
    alert_count bigint NOT NULL CHECK (alert_count >= 0),
    -- The most on one day; NULL: as many as all have.
    most        bigint CHECK (most >= 0),
    PRIMARY KEY (scope, scope_id)
);
