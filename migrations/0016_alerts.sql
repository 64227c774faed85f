-- Rules, what they found, and who was told. What was found is never deleted: shared/alerts/src/ledger.rs says how it may change.
CREATE SCHEMA alerts;

-- Where people are told.
CREATE TABLE alerts.channels (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id          bigint NOT NULL REFERENCES control.orgs,
    name            text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    kind            text NOT NULL CHECK (kind IN ('email', 'sms', 'webhook', 'slack')),
    -- Address and keys, encrypted (shared/alerts/src/seal.rs); NULL once the channel is deleted, which cannot be undone.
    sealed_address  bytea,
    -- Messages a minute, corrections and retries apart.
    per_minute      integer NOT NULL DEFAULT 60 CHECK (per_minute BETWEEN 1 AND 6000),
    state           text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    -- Stable code of why it was disabled, by a person or by failures.
    disabled_reason text,
    -- The first failure since the last success.
    failing_since   timestamptz,
    -- Whose channel it is: they and admins see its address. NULL: an AWS principal that invoked the function directly.
    owner_id        bigint REFERENCES access.users,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    UNIQUE (id, org_id),
    CHECK ((sealed_address IS NULL) = (deleted_at IS NOT NULL)),
    CHECK ((state = 'disabled') = (disabled_reason IS NOT NULL))
);
CREATE UNIQUE INDEX channels_by_name ON alerts.channels (org_id, name) WHERE deleted_at IS NULL;

CREATE TABLE alerts.rules (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id             bigint NOT NULL REFERENCES control.orgs,
    name               text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    chain_id           bigint NOT NULL CHECK (chain_id >= 0),
    -- As in shared/alerts/src/definition.rs, checked when it was saved.
    definition         jsonb NOT NULL CHECK (jsonb_typeof(definition) = 'object'),
    -- Counts changes of the definition.
    version            integer NOT NULL DEFAULT 1 CHECK (version >= 1),
    state              text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'quarantined')),
    quarantine_code    text,
    quarantine_message text,
    quarantined_at     timestamptz,
    -- What is found until then is suppressed.
    muted_until        timestamptz,
    -- Blocks before it do not concern the rule.
    first_block        bigint NOT NULL CHECK (first_block >= 0),
    -- Rules with SQL: when it is asked next.
    next_run_at        timestamptz,
    owner_id           bigint REFERENCES access.users,
    created_by         text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,
    UNIQUE (id, org_id),
    CHECK ((state = 'quarantined') = (quarantine_code IS NOT NULL)),
    CHECK ((state = 'quarantined') = (quarantine_message IS NOT NULL)),
    CHECK ((state = 'quarantined') = (quarantined_at IS NOT NULL))
);
CREATE UNIQUE INDEX rules_by_name ON alerts.rules (org_id, name) WHERE deleted_at IS NULL;
CREATE INDEX rules_at_work ON alerts.rules (chain_id, org_id) WHERE state = 'active' AND deleted_at IS NULL;

CREATE TABLE alerts.rule_channels (
    org_id     bigint NOT NULL REFERENCES control.orgs,
    rule_id    bigint NOT NULL,
    channel_id bigint NOT NULL,
    PRIMARY KEY (rule_id, channel_id),
    FOREIGN KEY (rule_id, org_id) REFERENCES alerts.rules (id, org_id),
    FOREIGN KEY (channel_id, org_id) REFERENCES alerts.channels (id, org_id)
);
CREATE INDEX rule_channels_by_channel ON alerts.rule_channels (channel_id);

-- How far an organisation's rules have looked at a chain.
CREATE TABLE alerts.cursors (
    org_id          bigint NOT NULL REFERENCES control.orgs,
    chain_id        bigint NOT NULL CHECK (chain_id >= 0),
    -- The last block that was looked at; NULL: none yet.
    block_number    bigint CHECK (block_number >= 0),
    block_hash      bytea CHECK (octet_length(block_hash) = 32),
    -- Rows of hot.data_invalidations up to this one are dealt with.
    invalidation_id bigint NOT NULL DEFAULT 0,
    -- Findings in blocks from here on may be in blocks that are gone, until the tip has been reached; NULL: none is.
    recheck_from    bigint CHECK (recheck_from >= 0),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, chain_id),
    CHECK ((block_number IS NULL) = (block_hash IS NULL))
);

-- The ledger: one row for what one rule found at one place, whatever becomes of it.
CREATE TABLE alerts.alert_events (
    -- Made of rule and identity, so that the same finding has the same id whoever finds it.
    id               uuid PRIMARY KEY,
    org_id           bigint NOT NULL REFERENCES control.orgs,
    rule_id          bigint NOT NULL,
    rule_version     integer NOT NULL CHECK (rule_version >= 1),
    chain_id         bigint NOT NULL CHECK (chain_id >= 0),
    -- SHA-256 of what the finding is, not of where it is now: shared/alerts/src/identity.rs.
    identity         bytea NOT NULL CHECK (octet_length(identity) = 32),
    -- Where it is now, or was last. transaction_hash: NULL for what concerns a block, and for rows of SQL.
    transaction_hash bytea CHECK (octet_length(transaction_hash) = 32),
    -- Inside the transaction.
    position         integer NOT NULL DEFAULT 0 CHECK (position >= 0),
    block_number     bigint NOT NULL CHECK (block_number >= 0),
    block_hash       bytea NOT NULL CHECK (octet_length(block_hash) = 32),
    block_time       timestamptz NOT NULL,
    state            text NOT NULL CHECK (state IN ('pending', 'sent', 'confirmed', 'retracted', 'moved', 'cancelled', 'suppressed')),
    -- Why it was suppressed.
    reason           text,
    severity         text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title            text NOT NULL,
    message          text NOT NULL,
    -- The values that the message and receivers show.
    facts            jsonb NOT NULL,
    group_key        text,
    matched_at       timestamptz NOT NULL DEFAULT now(),
    -- When it was handed to the channels first.
    sent_at          timestamptz,
    changed_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (rule_id, identity),
    FOREIGN KEY (rule_id, org_id) REFERENCES alerts.rules (id, org_id),
    CHECK ((state = 'suppressed') = (reason IS NOT NULL)),
    CHECK (state NOT IN ('sent', 'confirmed', 'retracted', 'moved') OR sent_at IS NOT NULL)
);
-- What a turn of the evaluator looks at again: what is yet to be sent or to become final; what a reorg may take back; what keeps
-- others of its group back. The rest is looked up by its id.
CREATE INDEX alert_events_live ON alerts.alert_events (org_id, chain_id, state, block_number)
    WHERE state IN ('pending', 'sent', 'moved');
CREATE INDEX alert_events_suppressed ON alerts.alert_events (org_id, chain_id, block_number) WHERE state = 'suppressed';
CREATE INDEX alert_events_holding ON alerts.alert_events (rule_id, block_time)
    WHERE state IN ('pending', 'sent', 'confirmed', 'moved');
CREATE INDEX alert_events_by_time ON alerts.alert_events (org_id, matched_at DESC, id DESC);
CREATE INDEX alert_events_by_rule ON alerts.alert_events (rule_id, matched_at DESC, id DESC);

-- Every change of every row of the ledger. Append-only: a trigger refuses everything else.
CREATE TABLE alerts.alert_history (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id       bigint NOT NULL,
    alert_id     uuid NOT NULL REFERENCES alerts.alert_events,
    at           timestamptz NOT NULL DEFAULT now(),
    -- NULL: it was found.
    from_state   text,
    to_state     text NOT NULL,
    block_number bigint NOT NULL,
    block_hash   bytea NOT NULL,
    reason       text
);
CREATE INDEX alert_history_by_alert ON alerts.alert_history (alert_id, id);
CREATE FUNCTION alerts.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON alerts.alert_history
    FOR EACH STATEMENT EXECUTE FUNCTION alerts.refuse_change();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON alerts.alert_events
    FOR EACH STATEMENT EXECUTE FUNCTION alerts.refuse_change();

-- One message to one channel.
CREATE TABLE alerts.deliveries (
    -- Constant over all attempts: what a receiver tells repetitions by.
    id                  uuid PRIMARY KEY,
    org_id              bigint NOT NULL REFERENCES control.orgs,
    channel_id          bigint NOT NULL,
    -- NULL: a digest, a test, or a notice to the owner.
    alert_id            uuid REFERENCES alerts.alert_events,
    kind                text NOT NULL CHECK (kind IN ('fired', 'retracted', 'moved', 'digest', 'test', 'notice')),
    -- Counts messages of one kind about one alert: a transaction may move more than once.
    occurrence          integer NOT NULL DEFAULT 0 CHECK (occurrence >= 0),
    state               text NOT NULL DEFAULT 'queued'
                        CHECK (state IN ('queued', 'sending', 'delivered', 'folded', 'failed', 'cancelled')),
    -- digest, test and notice: what it says.
    content             jsonb,
    -- The digest that carries it, once it is folded.
    digest_id           uuid REFERENCES alerts.deliveries,
    attempts            integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    not_before          timestamptz NOT NULL DEFAULT now(),
    -- sending: whoever sends is lost if it is still there then. The fence is `attempts`.
    lease_expires_at    timestamptz,
    -- What the provider calls it; a correction answers to that of the first message.
    provider_message_id text,
    last_status         integer,
    last_error_code     text,
    -- An attempt of it was not answered: for all that is known it got there.
    may_have_arrived    boolean NOT NULL DEFAULT false,
    -- Whether it takes from the share of retries and corrections; a digest of corrections does too.
    again               boolean NOT NULL GENERATED ALWAYS AS
                        (attempts > 0 OR kind IN ('retracted', 'moved') OR coalesce(content ->> 'of' = 'corrections', false)) STORED,
    created_at          timestamptz NOT NULL DEFAULT now(),
    first_tried_at      timestamptz,
    finished_at         timestamptz,
    FOREIGN KEY (channel_id, org_id) REFERENCES alerts.channels (id, org_id),
    UNIQUE (alert_id, channel_id, kind, occurrence),
    CHECK ((kind IN ('digest', 'test', 'notice')) = (alert_id IS NULL)),
    CHECK ((alert_id IS NULL) = (content IS NOT NULL)),
    CHECK ((state = 'folded') = (digest_id IS NOT NULL)),
    CHECK ((state = 'sending') = (lease_expires_at IS NOT NULL)),
    CHECK ((state IN ('delivered', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
CREATE INDEX deliveries_due ON alerts.deliveries (channel_id, again, not_before, id) WHERE state = 'queued';
CREATE INDEX deliveries_leased ON alerts.deliveries (lease_expires_at) WHERE state = 'sending';
CREATE INDEX deliveries_by_time ON alerts.deliveries (org_id, created_at DESC, id DESC);
CREATE INDEX deliveries_folded ON alerts.deliveries (digest_id) WHERE digest_id IS NOT NULL;

CREATE TABLE alerts.delivery_attempts (
    org_id      bigint NOT NULL,
    delivery_id uuid NOT NULL REFERENCES alerts.deliveries,
    attempt     integer NOT NULL CHECK (attempt >= 1),
    started_at  timestamptz NOT NULL,
    duration_ms bigint NOT NULL CHECK (duration_ms >= 0),
    -- HTTP status; NULL if there was no answer, or the channel knows none.
    status      integer,
    -- NULL: it was accepted.
    error_code  text,
    PRIMARY KEY (delivery_id, attempt)
);

-- Token buckets that all senders share. `first`: messages about new alerts; `again`: retries and corrections, which have a share
-- of their own.
CREATE TABLE alerts.budgets (
    scope       text NOT NULL CHECK (scope IN ('channel', 'org')),
    scope_id    bigint NOT NULL,
    lane        text NOT NULL CHECK (lane IN ('first', 'again')),
    per_minute  double precision NOT NULL CHECK (per_minute > 0),
    burst       double precision NOT NULL CHECK (burst >= 1),
    tokens      double precision NOT NULL CHECK (tokens >= 0),
    refilled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, scope_id, lane),
    CHECK (tokens <= burst)
);

-- `alerts` is read by alert_evaluate, `deliveries` by alert_deliver.
ALTER TABLE control.outbox
    DROP CONSTRAINT outbox_queue_check,
    ADD CONSTRAINT outbox_queue_check CHECK (queue IN ('events', 'thresholds', 'dead_letters', 'alerts', 'deliveries'));

-- As in 0013: a tenant sees its own rows only, and no sealed address.
GRANT USAGE ON SCHEMA alerts TO isotherm_tenant;

GRANT SELECT (id, org_id, name, kind, per_minute, state, disabled_reason, failing_since, owner_id, created_by, created_at,
              updated_at, deleted_at)
    ON alerts.channels TO isotherm_tenant;
ALTER TABLE alerts.channels ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.channels FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT ON alerts.rules, alerts.rule_channels, alerts.cursors, alerts.alert_events, alerts.alert_history, alerts.deliveries,
                alerts.delivery_attempts
    TO isotherm_tenant;
ALTER TABLE alerts.rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.rules FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
ALTER TABLE alerts.rule_channels ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.rule_channels FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
ALTER TABLE alerts.cursors ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.cursors FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
ALTER TABLE alerts.alert_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.alert_events FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
ALTER TABLE alerts.alert_history ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.alert_history FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
ALTER TABLE alerts.deliveries ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.deliveries FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
ALTER TABLE alerts.delivery_attempts ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts.delivery_attempts FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
