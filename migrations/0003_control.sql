-- The control plane: what is to be done, by whom it is being done, and what came of it. Queue messages only hold ids
-- of these rows.
CREATE SCHEMA control;

-- Tenants. Jobs, triggers and tasks belong to one; chain data belong to all.
CREATE TABLE control.orgs (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO control.orgs (name) VALUES ('default');

-- Definitions of work, applied from YAML. A job that leaves the file becomes inactive; its tasks stay.
CREATE TABLE control.jobs (
    id                        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id                    bigint NOT NULL REFERENCES control.orgs,
    name                      text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    operator                  text NOT NULL CHECK (operator ~ '^[a-z0-9][a-z0-9_]{0,62}$'),
    runtime                   text NOT NULL CHECK (runtime IN ('lambda', 'fargate')),
    strategy                  text NOT NULL CHECK (strategy IN ('per_update', 'per_partition', 'bulk')),
    always_on                 boolean NOT NULL,
    config                    jsonb NOT NULL,
    -- Environment variable of the operator -> name of the secret that fills it. Never a secret itself.
    secrets                   jsonb NOT NULL,
    input_datasets            text[] NOT NULL,
    output_datasets           text[] NOT NULL,
    max_attempts              integer NOT NULL CHECK (max_attempts >= 1),
    max_concurrency           integer NOT NULL CHECK (max_concurrency >= 1),
    heartbeat_timeout_seconds double precision NOT NULL CHECK (heartbeat_timeout_seconds > 0),
    run_timeout_seconds       double precision CHECK (run_timeout_seconds > 0),
    config_hash               bytea NOT NULL CHECK (octet_length(config_hash) = 32),
    active                    boolean NOT NULL DEFAULT true,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, name),
    CHECK (NOT always_on OR max_concurrency = 1),
    CHECK (NOT always_on OR run_timeout_seconds IS NULL)
);

-- Causes of tasks.
CREATE TABLE control.triggers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id      bigint NOT NULL REFERENCES control.orgs,
    job_id      bigint NOT NULL REFERENCES control.jobs,
    name        text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    kind        text NOT NULL CHECK (kind IN ('cron', 'threshold')),
    config      jsonb NOT NULL,
    input       jsonb NOT NULL DEFAULT '{}',
    -- The block at which a threshold goes on; NULL before its first firing. Moves with the firings.
    next_block  bigint CHECK (next_block >= 0),
    config_hash bytea NOT NULL CHECK (octet_length(config_hash) = 32),
    active      boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, name)
);

-- Facts, append-only. `body` is the JSON of shared/types/src/event.rs without the id.
CREATE TABLE control.events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    body        jsonb NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    CHECK (body ->> 'kind' = kind)
);

-- Events that a queue has not been told of yet: written with the event, in the transaction of its cause. A published
-- row is deleted; the age of the oldest row is the outbox's lag.
CREATE TABLE control.outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      bigint NOT NULL REFERENCES control.events,
    queue         text NOT NULL CHECK (queue IN ('events', 'thresholds')),
    message_group text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (event_id, queue)
);

-- One row a firing; the key makes a firing happen once, over restarts and duplicates.
CREATE TABLE control.trigger_fires (
    trigger_id bigint NOT NULL REFERENCES control.triggers,
    fire_key   text NOT NULL,
    event_id   bigint NOT NULL REFERENCES control.events,
    fired_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trigger_id, fire_key)
);

-- Pieces of work. Life cycle: shared/control/src/task.rs. The database's clock decides leases.
CREATE TABLE control.tasks (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id           bigint NOT NULL REFERENCES control.orgs,
    job_id           bigint NOT NULL REFERENCES control.jobs,
    idempotency_key  text NOT NULL,
    always_on        boolean NOT NULL DEFAULT false,
    input            jsonb NOT NULL,
    state            text NOT NULL DEFAULT 'queued'
                     CHECK (state IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    fence            bigint NOT NULL DEFAULT 0 CHECK (fence >= 0),
    attempts_left    integer NOT NULL CHECK (attempts_left >= 0),
    -- A queued task is not claimed before this instant.
    not_before       timestamptz NOT NULL DEFAULT now(),
    worker           text,
    lease_expires_at timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    -- Units done, as the operator last said.
    progress_done    bigint,
    progress_total   bigint,
    progress_message text,
    output           jsonb,
    error_code       text,
    error_message    text,
    -- Wake-ups sent for the present fence, and when the last one was.
    wakes_sent       integer NOT NULL DEFAULT 0,
    woken_at         timestamptz,
    -- Launches of an ECS task for this piece of work: the fence at the time, how many for that fence, and the last one.
    launch_fence     bigint,
    launches_sent    integer NOT NULL DEFAULT 0,
    launched_at      timestamptz,
    ecs_task_arn     text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (job_id, idempotency_key),
    CHECK ((state = 'running') = (lease_expires_at IS NOT NULL)),
    CHECK ((state = 'running') = (worker IS NOT NULL)),
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (state <> 'failed' OR error_code IS NOT NULL),
    CHECK (state NOT IN ('running', 'completed') OR fence >= 1)
);
-- Sources run exactly once.
CREATE UNIQUE INDEX tasks_one_live_per_source ON control.tasks (job_id) WHERE always_on AND state IN ('queued', 'running');
CREATE INDEX tasks_queued ON control.tasks (not_before, id) WHERE state = 'queued';
CREATE INDEX tasks_running ON control.tasks (lease_expires_at, id) WHERE state = 'running';

-- One row a claim: what each try did and how it ended.
CREATE TABLE control.task_attempts (
    task_id       bigint NOT NULL REFERENCES control.tasks,
    fence         bigint NOT NULL,
    worker        text NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    outcome       text CHECK (outcome IN ('completed', 'failed', 'released', 'lost', 'cancelled')),
    error_code    text,
    error_message text,
    -- The end of the operator's standard error.
    stderr_tail   text,
    PRIMARY KEY (task_id, fence),
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
);

-- Who changed what, when and why; append-only.
CREATE TABLE control.audit_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    org_id      bigint REFERENCES control.orgs,
    actor       text NOT NULL,
    action      text NOT NULL,
    subject     text NOT NULL,
    subject_id  bigint NOT NULL,
    from_state  text,
    to_state    text,
    reason      text
);
CREATE INDEX audit_log_by_subject ON control.audit_log (subject, subject_id, id);
