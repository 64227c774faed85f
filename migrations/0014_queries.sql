-- Queries that were asked, and queries that were saved. A query's text is in no row of the former: the one that is to run as a
-- task has it in its bucket, every other one only while it runs.
CREATE SCHEMA query;

-- One row a query: who asked what, when, and how it ended. It is the audit trail of queries, and never deleted.
CREATE TABLE query.queries (
    org_id           bigint NOT NULL REFERENCES control.orgs,
    -- Its caller may choose it, so it is unique within the organisation only: nobody learns of another one's by trying.
    id               uuid NOT NULL,
    -- NULL: an AWS principal that invoked the function directly.
    user_id          bigint REFERENCES access.users,
    actor            text NOT NULL,
    sql_sha256       bytea NOT NULL CHECK (octet_length(sql_sha256) = 32),
    -- interactive: within the call that asks. batch: as a task.
    mode             text NOT NULL CHECK (mode IN ('interactive', 'batch')),
    format           text NOT NULL CHECK (format IN ('json', 'csv', 'parquet')),
    timeout_seconds  integer NOT NULL CHECK (timeout_seconds >= 1),
    state            text NOT NULL DEFAULT 'queued'
                     CHECK (state IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    asked_at         timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    -- interactive, until its end: whoever runs it is lost if it is still there then. While it runs it holds one of the
    -- organisation's places for so long.
    lease_expires_at timestamptz,
    row_count        bigint CHECK (row_count >= 0),
    -- Of Arrow, as the rows left the sandbox.
    bytes            bigint CHECK (bytes >= 0),
    duration_ms      bigint CHECK (duration_ms >= 0),
    cold_files       bigint CHECK (cold_files >= 0),
    cold_bytes       bigint CHECK (cold_bytes >= 0),
    -- Never its words, which may quote the text.
    error_code       text,
    -- The file in the bucket `results`, while it is there.
    result_key       text,
    result_bytes     bigint CHECK (result_bytes >= 0),
    result_sha256    bytea CHECK (octet_length(result_sha256) = 32),
    cancel_asked_at  timestamptz,
    cancel_asked_by  text,
    -- batch: its task. No foreign key: the row outlives its task.
    task_id          bigint,
    -- batch: the claim under which it was last begun.
    task_fence       bigint,
    PRIMARY KEY (org_id, id),
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (state NOT IN ('running', 'completed') OR started_at IS NOT NULL),
    CHECK ((state = 'failed') = (error_code IS NOT NULL)),
    CHECK ((lease_expires_at IS NOT NULL) = (mode = 'interactive' AND finished_at IS NULL)),
    CHECK ((mode = 'batch') = (task_id IS NOT NULL)),
    CHECK ((result_key IS NULL) = (result_bytes IS NULL)),
    CHECK ((result_key IS NULL) = (result_sha256 IS NULL)),
    CHECK ((cancel_asked_at IS NULL) = (cancel_asked_by IS NULL))
);
CREATE INDEX queries_by_time ON query.queries (org_id, asked_at DESC, id DESC);
CREATE INDEX queries_at_work ON query.queries (org_id) WHERE mode = 'interactive' AND finished_at IS NULL;

-- Queries that people keep under a name.
CREATE TABLE query.saved_queries (
    org_id      bigint NOT NULL REFERENCES control.orgs,
    name        text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    description text NOT NULL CHECK (length(description) <= 1000),
    sql         text NOT NULL CHECK (octet_length(sql) BETWEEN 1 AND 16384),
    -- What its parameters are if a run does not say: a list or an object, as a request has them; NULL: there are none.
    parameters  jsonb CHECK (jsonb_typeof(parameters) IN ('array', 'object')),
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_by  text NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, name)
);

-- A job that the platform made for itself, such as the one that runs batch queries: no file has it, and applying one leaves it
-- alone.
ALTER TABLE control.jobs ADD COLUMN of_platform boolean NOT NULL DEFAULT false;

-- As in 0013: a tenant sees its own rows only.
GRANT USAGE ON SCHEMA query TO isotherm_tenant;

GRANT SELECT (org_id, id, user_id, actor, sql_sha256, mode, format, timeout_seconds, state, asked_at, started_at, finished_at,
              lease_expires_at, row_count, bytes, duration_ms, cold_files, cold_bytes, error_code, result_key, result_bytes,
              result_sha256, cancel_asked_at, cancel_asked_by, task_id, task_fence)
    ON query.queries TO isotherm_tenant;
ALTER TABLE query.queries ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON query.queries FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT ON query.saved_queries TO isotherm_tenant;
ALTER TABLE query.saved_queries ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON query.saved_queries FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
