-- Who may call, and what they see. Orgs, users and roles are here and nowhere else: a token only says which user it is.
CREATE SCHEMA access;

-- A person or a program, of one organisation. Nobody read or wrote the two tables that were meant for this before.
DROP TABLE control.org_roles;
DROP TABLE control.users;
CREATE TABLE access.users (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id       bigint NOT NULL REFERENCES control.orgs,
    -- `iss` and `sub` of the tokens that are this user's; `aws_iam` and the ARN of an AWS principal.
    issuer       text NOT NULL CHECK (length(issuer) BETWEEN 1 AND 512),
    subject      text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    -- As audit trails have it, so it is one user's within the organisation.
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200 AND name !~ '[[:cntrl:]]'),
    -- The higher includes the lower: shared/access/src/role.rs.
    role         text NOT NULL CHECK (role IN ('reader', 'writer', 'admin')),
    -- Users are never deleted, so that a trail's names keep their meaning.
    active       boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- To the minute.
    last_seen_at timestamptz,
    UNIQUE (issuer, subject),
    UNIQUE (org_id, name)
);

-- Datasets that an organisation may read. NULL stands for every one, also of chains that are not known yet. Without a row
-- it reads none.
CREATE TABLE access.dataset_grants (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id     bigint NOT NULL REFERENCES control.orgs,
    chain_id   bigint CHECK (chain_id >= 0),
    dataset    text CHECK (dataset IN ('blocks', 'transactions', 'logs', 'traces')),
    granted_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (org_id, chain_id, dataset)
);
INSERT INTO access.dataset_grants (org_id) SELECT id FROM control.orgs WHERE name = 'default';

-- The role under which an organisation's rows are read. It owns nothing, is a member of nothing and writes nothing. Roles
-- belong to the whole server: databases beside this one may be making it, or membership in it, at the same moment.
DO $$
BEGIN
    CREATE ROLE isotherm_tenant NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;
-- Whoever reads under it must be able to take it on; a superuser is. Source: PostgreSQL 16 has the privilege SET apart from
-- membership (release notes of 16, "Privileges").
DO $$
DECLARE
    taking_on text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT pg_has_role(current_user, 'isotherm_tenant', taking_on) THEN
        EXECUTE format('GRANT isotherm_tenant TO %I', current_user);
    END IF;
-- The same membership, made for another database meanwhile ("tuple concurrently updated" is an internal error).
EXCEPTION WHEN unique_violation OR internal_error THEN
    IF NOT pg_has_role(current_user, 'isotherm_tenant', taking_on) THEN
        RAISE;
    END IF;
END
$$;

-- What a tenant sees of each table: never another organisation's row, and no column that is the platform's own business
-- (workers, launches, names of secrets). A table without a grant here is not seen at all. The owner's own work is not
-- filtered: no table forces it. `isotherm.org_id` is set by shared/access/src/row_security.rs; unset, it is NULL or empty
-- and no row is seen. shared/access/tests/access/row_security.rs finds tables that were forgotten.
GRANT USAGE ON SCHEMA control, access TO isotherm_tenant;

GRANT SELECT (id, name, max_concurrency, created_at) ON control.orgs TO isotherm_tenant;
ALTER TABLE control.orgs ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.orgs FOR SELECT TO isotherm_tenant
    USING (id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT (id, org_id, name, operator, runtime, strategy, always_on, config, input_datasets, output_datasets, max_attempts,
              max_concurrency, heartbeat_timeout_seconds, run_timeout_seconds, stall_timeout_seconds, priority,
              partition_blocks, active, paused, created_at, updated_at)
    ON control.jobs TO isotherm_tenant;
ALTER TABLE control.jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.jobs FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT (id, org_id, job_id, name, kind, input, next_block, next_count, ticked_until, active, created_at, updated_at)
    ON control.triggers TO isotherm_tenant;
ALTER TABLE control.triggers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.triggers FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT (trigger_id, org_id, fire_key, event_id, fired_at, outcome, scheduled_for, reason)
    ON control.trigger_fires TO isotherm_tenant;
ALTER TABLE control.trigger_fires ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.trigger_fires FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

-- Events of chains have no organisation: what of them a tenant may know, its grants say, not this.
GRANT SELECT (id, org_id, kind, body, occurred_at) ON control.events TO isotherm_tenant;
ALTER TABLE control.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.events FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT (id, org_id, job_id, idempotency_key, always_on, input, state, fence, attempts_left, not_before, started_at,
              finished_at, progress_done, progress_total, progress_message, output, error_code, error_message, priority,
              created_at)
    ON control.tasks TO isotherm_tenant;
ALTER TABLE control.tasks ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.tasks FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

-- An attempt is its task's; its own copy of the organisation may be absent in rows of programs of before.
GRANT SELECT (task_id, org_id, fence, started_at, finished_at, outcome, error_code, error_message, exit_code, exit_signal)
    ON control.task_attempts TO isotherm_tenant;
ALTER TABLE control.task_attempts ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.task_attempts FOR SELECT TO isotherm_tenant
    USING (EXISTS (SELECT FROM control.tasks t
                    WHERE t.id = task_id
                      AND t.org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint)));

GRANT SELECT (org_id, task_id, event_id, chain_id, dataset, start_block, end_block, added_at)
    ON control.task_inputs TO isotherm_tenant;
ALTER TABLE control.task_inputs ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.task_inputs FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT (id, at, org_id, actor, action, subject, subject_id, from_state, to_state, reason)
    ON control.audit_log TO isotherm_tenant;
ALTER TABLE control.audit_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON control.audit_log FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT (id, org_id, issuer, subject, name, role, active, created_at, last_seen_at) ON access.users TO isotherm_tenant;
ALTER TABLE access.users ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON access.users FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));

GRANT SELECT (id, org_id, chain_id, dataset, granted_at) ON access.dataset_grants TO isotherm_tenant;
ALTER TABLE access.dataset_grants ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON access.dataset_grants FOR SELECT TO isotherm_tenant
    USING (org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint));
