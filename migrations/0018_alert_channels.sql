-- Channels of alerts: how long one has really failed, and whether whoever gets its messages wants them.

-- Only the span between two failures counts that is no longer than between two attempts: shared/alerts/src/channels/health.rs.
ALTER TABLE alerts.channels
    ADD COLUMN last_failed_at timestamptz,
    ADD COLUMN failed_for_ms  bigint NOT NULL DEFAULT 0 CHECK (failed_for_ms >= 0);

-- Mailboxes and telephones get alerts once whoever has them has said so. What is there already counts as confirmed, and so does what an
-- older program makes beside a newer one.
ALTER TABLE alerts.channels ADD COLUMN confirmed_at timestamptz DEFAULT now();
GRANT SELECT (confirmed_at) ON alerts.channels TO isotherm_tenant;

-- Codes by which they are confirmed: shared/alerts/src/channels/confirmation.rs. A code itself is nowhere but in its message.
CREATE TABLE alerts.channel_codes (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id       bigint NOT NULL REFERENCES control.orgs,
    channel_id   bigint NOT NULL,
    -- The message that carries it.
    delivery_id  uuid NOT NULL UNIQUE REFERENCES alerts.deliveries,
    requested_at timestamptz NOT NULL DEFAULT now(),
    -- SHA-256 of salt and code; NULL until a sender has made one.
    salt         bytea,
    code_hash    bytea CHECK (octet_length(code_hash) = 32),
    expires_at   timestamptz,
    tries_left   integer NOT NULL DEFAULT 0 CHECK (tries_left >= 0),
    -- It was used, or a later one, or another address, has taken its place.
    void_at      timestamptz,
    FOREIGN KEY (channel_id, org_id) REFERENCES alerts.channels (id, org_id),
    CHECK ((code_hash IS NULL) = (salt IS NULL)),
    CHECK ((code_hash IS NULL) = (expires_at IS NULL))
);
CREATE INDEX channel_codes_by_channel ON alerts.channel_codes (channel_id, id);
CREATE INDEX channel_codes_by_time ON alerts.channel_codes (org_id, requested_at);
-- Tenants read none of it.
ALTER TABLE alerts.channel_codes ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.channel_codes FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
