-- What the control plane needs beyond the first tables. Everything here is an addition with a default, so that programs of
-- before go on beside it; `org_id` columns are NULL in rows that such a program writes.

-- People and programs, as their token or their AWS principal names them. What they may do is in org_roles, never in a token.
CREATE TABLE control.users (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- `sub` of a token, or the ARN of an AWS principal.
    subject    text NOT NULL UNIQUE CHECK (subject <> ''),
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What a user may do in an organisation: read, change, or also give roles. One role each; the higher includes the lower.
CREATE TABLE control.org_roles (
    org_id     bigint NOT NULL REFERENCES control.orgs,
    user_id    bigint NOT NULL REFERENCES control.users,
    role       text NOT NULL CHECK (role IN ('reader', 'writer', 'admin')),
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, user_id)
);

-- Tasks of the organisation that may run at one time, over all its jobs; NULL: as many as its jobs allow.
ALTER TABLE control.orgs ADD COLUMN max_concurrency integer CHECK (max_concurrency >= 1);

ALTER TABLE control.jobs
    -- Among due tasks the higher goes first.
    ADD COLUMN priority integer NOT NULL DEFAULT 0 CHECK (priority BETWEEN -1000 AND 1000),
    -- An attempt whose progress stands still for so long is ended; NULL: progress is not watched.
    ADD COLUMN stall_timeout_seconds double precision CHECK (stall_timeout_seconds > 0),
    -- `per_partition`: events are split at multiples of so many blocks; NULL: as the event has them.
    ADD COLUMN partition_blocks bigint CHECK (partition_blocks >= 1),
    -- A person's doing: tasks of a paused job are made and wait. Applying a file does not change it.
    ADD COLUMN paused boolean NOT NULL DEFAULT false;

ALTER TABLE control.triggers
    DROP CONSTRAINT triggers_kind_check,
    ADD CONSTRAINT triggers_kind_check CHECK (kind IN ('cron', 'webhook', 'threshold')),
    -- cron: every tick until then is accounted for, by a row of trigger_fires or by lying before the trigger's start.
    -- threshold on a lag: when the look was made that last changed `is_above`.
    ADD COLUMN ticked_until timestamptz,
    -- threshold on a count: the count at which it fires next; on a lag: crossings so far, and whether it is above now.
    ADD COLUMN next_count bigint CHECK (next_count >= 0),
    ADD COLUMN crossings bigint NOT NULL DEFAULT 0 CHECK (crossings >= 0),
    ADD COLUMN is_above boolean NOT NULL DEFAULT false;

-- A firing that led to no event was skipped (the one before was still running) or missed (nobody was there in time).
ALTER TABLE control.trigger_fires
    ADD COLUMN org_id bigint REFERENCES control.orgs,
    ADD COLUMN outcome text NOT NULL DEFAULT 'fired' CHECK (outcome IN ('fired', 'skipped', 'missed')),
    -- cron: what the tick was scheduled for.
    ADD COLUMN scheduled_for timestamptz,
    -- Why it led to no event.
    ADD COLUMN reason text,
    ALTER COLUMN event_id DROP NOT NULL,
    ADD CONSTRAINT trigger_fires_event_check CHECK ((outcome = 'fired') = (event_id IS NOT NULL));
UPDATE control.trigger_fires f SET org_id = t.org_id FROM control.triggers t WHERE t.id = f.trigger_id;
CREATE INDEX trigger_fires_by_time ON control.trigger_fires (trigger_id, fired_at);

-- Whose event it is; NULL: it is about a chain, which belongs to all.
ALTER TABLE control.events ADD COLUMN org_id bigint REFERENCES control.orgs;
UPDATE control.events SET org_id = (body ->> 'org_id')::bigint WHERE body ? 'org_id';

-- A job that a person ran by hand is run once for each idempotency key.
CREATE UNIQUE INDEX events_once_by_hand ON control.events (((body ->> 'job_id')::bigint), (body ->> 'fire_key'))
    WHERE kind = 'trigger_fired' AND body ->> 'trigger_id' IS NULL;

-- `dead_letters` is told of tasks that failed for good.
ALTER TABLE control.outbox
    DROP CONSTRAINT outbox_queue_check,
    ADD CONSTRAINT outbox_queue_check CHECK (queue IN ('events', 'thresholds', 'dead_letters'));

ALTER TABLE control.tasks ADD COLUMN priority integer NOT NULL DEFAULT 0;
CREATE INDEX tasks_queued_by_job ON control.tasks (job_id, priority DESC, not_before, id) WHERE state = 'queued';
CREATE INDEX tasks_running_by_job ON control.tasks (job_id) WHERE state = 'running';
CREATE INDEX tasks_running_by_org ON control.tasks (org_id) WHERE state = 'running';

ALTER TABLE control.task_attempts
    ADD COLUMN org_id bigint REFERENCES control.orgs,
    ADD COLUMN exit_code integer,
    ADD COLUMN exit_signal integer;
UPDATE control.task_attempts a SET org_id = t.org_id FROM control.tasks t WHERE t.id = a.task_id;

-- What a task is to work on, one row for each event that it answers and each dataset of it: a bulk task answers many.
CREATE TABLE control.task_inputs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id      bigint NOT NULL REFERENCES control.orgs,
    task_id     bigint NOT NULL REFERENCES control.tasks,
    event_id    bigint NOT NULL REFERENCES control.events,
    chain_id    bigint,
    dataset     text CHECK (dataset IN ('blocks', 'transactions', 'logs', 'traces')),
    -- Half-open.
    start_block bigint CHECK (start_block >= 0),
    end_block   bigint,
    added_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (task_id, event_id, dataset, start_block),
    CHECK (end_block > start_block),
    CHECK ((start_block IS NULL) = (end_block IS NULL)),
    CHECK ((dataset IS NULL) = (start_block IS NULL)),
    CHECK ((dataset IS NULL) = (chain_id IS NULL))
);
CREATE INDEX task_inputs_by_event ON control.task_inputs (event_id);

-- Workers that are there, as they last said: the capacity that need not be launched. A row whose lease is over counts for
-- nothing; the reaper removes it. Platform-wide: a worker serves the tasks of all organisations.
CREATE TABLE control.worker_leases (
    worker           text PRIMARY KEY,
    operator         text NOT NULL,
    ecs_task_arn     text,
    -- What it is doing; NULL: it waits for work.
    task_id          bigint REFERENCES control.tasks,
    fence            bigint,
    started_at       timestamptz NOT NULL DEFAULT now(),
    lease_expires_at timestamptz NOT NULL,
    CHECK ((task_id IS NULL) = (fence IS NULL))
);
CREATE INDEX worker_leases_by_operator ON control.worker_leases (operator, lease_expires_at);

-- How much of each dataset has ever been written, taken-back rows included: it only grows, so that thresholds on it fire
-- once for each step. Written with the rows that it counts.
CREATE TABLE control.dataset_cursors (
    chain_id    bigint NOT NULL,
    dataset     text NOT NULL CHECK (dataset IN ('blocks', 'transactions', 'logs', 'traces')),
    block_count bigint NOT NULL DEFAULT 0 CHECK (block_count >= 0),
    row_count   bigint NOT NULL DEFAULT 0 CHECK (row_count >= 0),
    -- Bytes as COPY sent them.
    size_bytes  bigint NOT NULL DEFAULT 0 CHECK (size_bytes >= 0),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, dataset)
);

-- Token buckets that all dispatchers share: what an account may ask of AWS in a second, and at most at once.
CREATE TABLE control.rate_limits (
    name        text PRIMARY KEY,
    per_second  double precision NOT NULL CHECK (per_second > 0),
    burst       double precision NOT NULL CHECK (burst >= 1),
    tokens      double precision NOT NULL CHECK (tokens >= 0),
    refilled_at timestamptz NOT NULL DEFAULT now(),
    CHECK (tokens <= burst)
);
-- Amazon ECS, "Service quotas": RunTask on Fargate, burst 100, then 20 a second for each account and region.
INSERT INTO control.rate_limits (name, per_second, burst, tokens) VALUES ('ecs_run_task', 20, 100, 100);

CREATE INDEX audit_log_by_time ON control.audit_log (org_id, at);

-- Silent tasks that the reaper could not take back, and when it last tried: the next run takes them last. Without a reference
-- to the task, whose row may be the very one that cannot be touched. Platform-wide, as the reaper is.
CREATE TABLE control.reaper_faults (
    task_id   bigint PRIMARY KEY,
    fence     bigint NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);
