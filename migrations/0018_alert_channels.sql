-- Channels of alerts: how long one has really failed.

-- Only the span between two failures counts that is no longer than between two attempts: shared/alerts/src/channels/health.rs.
ALTER TABLE alerts.channels
    ADD COLUMN last_failed_at timestamptz,
    ADD COLUMN failed_for_ms  bigint NOT NULL DEFAULT 0 CHECK (failed_for_ms >= 0);
