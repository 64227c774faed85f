//! Postgres leaves out the rows of other organisations by itself, in every table that has rows of organisations.

use std::collections::BTreeSet;

use isotherm_access::row_security::{TENANT, as_tenant};
use isotherm_access::{Role, grants, orgs, users};
use isotherm_lab::postgres::{Postgres, StartOptions, TestDatabase};
use isotherm_types::{ChainId, Dataset, OrgId};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Tables whose rows belong to organisations, or that the tenants' role can read a column of, and that lack row-level
/// security or its policy. Schemas of the server itself are left out.
const FORGOTTEN: &str = "
    SELECT n.nspname || '.' || c.relname
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND c.relname <> '_sqlx_migrations'
       AND (EXISTS (SELECT FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped)
            OR has_any_column_privilege('isotherm_tenant', c.oid, 'SELECT'))
       AND NOT (c.relrowsecurity
                AND EXISTS (SELECT FROM pg_policy p
                             WHERE p.polrelid = c.oid AND p.polcmd = 'r'
                               AND pg_get_expr(p.polqual, p.polrelid) LIKE '%isotherm.org_id%'
                               AND 'isotherm_tenant'::regrole::oid = ALL (p.polroles)))
     ORDER BY 1";

/// Tables that the tenants' role can read.
const READABLE: &str = "
    SELECT n.nspname || '.' || c.relname
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
       AND has_any_column_privilege('isotherm_tenant', c.oid, 'SELECT')
     ORDER BY 1";

async fn names(conn: &mut PgConnection, statement: &'static str) -> Vec<String> {
    sqlx::query_scalar(statement).fetch_all(conn).await.unwrap()
}

/// Tables about chains, which belong to all: their policies ask for grants.
const OF_CHAINS: [&str; 4] = ["cold.data_partitions", "cold.datasets", "hot.cursors", "hot.follower_status"];

/// A second organisation, and a row of each of the two in every table that tenants read.
async fn two_orgs(conn: &mut PgConnection) -> [OrgId; 2] {
    let ours = orgs::find(conn, "default").await.unwrap();
    let other = orgs::create(conn, "other", "test").await.unwrap();
    for (org, name) in [(ours, "ann"), (other, "bob")] {
        let (issuer, subject) = ("https://issuer.test".to_owned(), name.to_owned());
        let new = users::NewUser { issuer, subject, name: name.to_owned(), role: Role::Reader };
        users::add(conn, org, &new, "test").await.unwrap();
    }
    grants::grant(conn, other, (None, None), "test").await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
                output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
         SELECT id, 'work', 'noop', 'fargate', 'per_update', false, '{}', '{}', '{}', '{}', 1, 1, 20,
                decode(repeat('00', 32), 'hex')
           FROM control.orgs;
         INSERT INTO control.triggers (org_id, job_id, name, kind, config, config_hash)
         SELECT org_id, id, 'minute', 'cron', '{}', config_hash FROM control.jobs;
         INSERT INTO control.events (kind, body, org_id)
         SELECT 'made_up', '{\"kind\": \"made_up\"}', org_id FROM control.jobs;
         INSERT INTO control.events (kind, body) VALUES ('of_a_chain', '{\"kind\": \"of_a_chain\"}');
         INSERT INTO control.trigger_fires (trigger_id, fire_key, org_id, outcome)
         SELECT id, 'k', org_id, 'missed' FROM control.triggers;
         INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, attempts_left)
         SELECT org_id, id, 'k', '{}', 1 FROM control.jobs;
         INSERT INTO control.task_attempts (task_id, org_id, fence, worker) SELECT id, org_id, 1, 'w' FROM control.tasks;
         INSERT INTO control.task_inputs (org_id, task_id, event_id)
         SELECT t.org_id, t.id, e.id FROM control.tasks t JOIN control.events e ON e.org_id = t.org_id;
         INSERT INTO control.audit_log (actor, action, subject, subject_id) VALUES ('test', 'of nobody', 'chain', 1);
         INSERT INTO query.queries (org_id, id, actor, sql_sha256, mode, format, timeout_seconds, task_id)
         SELECT org_id, gen_random_uuid(), 'test', config_hash, 'batch', 'json', 1, 1 FROM control.jobs;
         INSERT INTO query.saved_queries (org_id, name, description, sql, created_by, updated_by)
         SELECT org_id, 'one', '', 'select 1', 'test', 'test' FROM control.jobs;
         INSERT INTO alerts.channels (org_id, name, kind, sealed_address, created_by)
         SELECT org_id, 'ops', 'email', '\\x00', 'test' FROM control.jobs;
         INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
         SELECT org_id, 'large', 1, '{}', 0, 'test' FROM control.jobs;
         INSERT INTO alerts.rule_channels (org_id, rule_id, channel_id)
         SELECT r.org_id, r.id, c.id FROM alerts.rules r JOIN alerts.channels c USING (org_id);
         INSERT INTO alerts.cursors (org_id, chain_id) SELECT org_id, 1 FROM control.jobs;
         INSERT INTO alerts.alert_events (id, org_id, rule_id, rule_version, chain_id, identity, block_number, block_hash,
                block_time, state, severity, title, message, facts)
         SELECT gen_random_uuid(), r.org_id, r.id, 1, 1, j.config_hash, 1, j.config_hash, now(), 'pending', 'info', '', '', '{}'
           FROM alerts.rules r JOIN control.jobs j USING (org_id);
         INSERT INTO alerts.alert_history (org_id, alert_id, to_state, block_number, block_hash)
         SELECT org_id, id, state, block_number, block_hash FROM alerts.alert_events;
         INSERT INTO alerts.deliveries (id, org_id, channel_id, alert_id, kind)
         SELECT gen_random_uuid(), c.org_id, c.id, a.id, 'fired'
           FROM alerts.channels c JOIN alerts.alert_events a USING (org_id);
         INSERT INTO alerts.delivery_attempts (org_id, delivery_id, attempt, started_at, duration_ms)
         SELECT org_id, id, 1, now(), 1 FROM alerts.deliveries",
    )
    .execute(conn)
    .await
    .unwrap();
    [ours, other]
}

#[tokio::test]
async fn each_organisation_sees_its_own_rows_of_every_table_and_no_other() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let [ours, other] = two_orgs(&mut conn).await;
    let tables = names(&mut conn, READABLE).await;
    assert!(tables.len() >= 11, "{tables:?}");
    for table in tables.iter().filter(|table| !OF_CHAINS.contains(&table.as_str())) {
        let column = if table == "control.orgs" { "id" } else { "org_id" };
        let statement = format!("SELECT DISTINCT {column} FROM {table}");
        for org in [ours, other] {
            let mut db_tx = conn.begin().await.unwrap();
            as_tenant(&mut db_tx, org).await.unwrap();
            let seen: Vec<i64> =
                sqlx::query_scalar(AssertSqlSafe(statement.clone())).fetch_all(&mut *db_tx).await.unwrap();
            assert_eq!(seen, [org.0], "{table}");
            db_tx.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn of_chains_an_organisation_sees_what_is_granted_to_it() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let few = orgs::create(&mut conn, "few", "test").await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO hot.cursors (chain_id, chain, partition_blocks) VALUES (1, 'one', 10), (2, 'two', 10);
         INSERT INTO hot.follower_status (chain_id, blocks_per_second, head_blocks_per_second) VALUES (1, 0, 0), (2, 0, 0);
         INSERT INTO cold.datasets (chain_id, dataset, first_block, watermark, manifest_version, manifest_key, manifest_sha256)
         SELECT chain_id, dataset, 0, 9, 1, 'm', decode(repeat('00', 32), 'hex')
           FROM hot.cursors, unnest(ARRAY['blocks', 'logs']) AS dataset;
         INSERT INTO cold.data_partitions (chain_id, dataset, start_block, end_block, object_key, row_count, size_bytes, sha256,
                first_block_hash, last_block_hash, schema_version, manifest_version)
         SELECT chain_id, dataset, 0, 10, chain_id || dataset, 1, 1, manifest_sha256, manifest_sha256, manifest_sha256, 1, 1
           FROM cold.datasets",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    // Rows of each table of OF_CHAINS.
    let table = [
        ((Some(ChainId(2)), Some(Dataset::Logs)), [1, 1, 1, 1]),
        ((None, Some(Dataset::Logs)), [2, 2, 2, 2]),
        ((Some(ChainId(2)), None), [2, 2, 1, 1]),
        ((None, None), [4, 4, 2, 2]),
        ((Some(ChainId(3)), None), [0, 0, 0, 0]),
    ];
    for (grant, expected) in table {
        grants::grant(&mut conn, few, grant, "test").await.unwrap();
        assert_eq!(rows_of_chains(&mut conn, few).await, expected, "{grant:?}");
        grants::revoke(&mut conn, few, grant, "test").await.unwrap();
        assert_eq!(rows_of_chains(&mut conn, few).await, [0; 4], "{grant:?} is gone");
    }
}

/// Rows of each table of [`OF_CHAINS`] that `org` sees.
async fn rows_of_chains(conn: &mut PgConnection, org: OrgId) -> [i64; 4] {
    let mut db_tx = conn.begin().await.unwrap();
    as_tenant(&mut db_tx, org).await.unwrap();
    let mut seen = [0; 4];
    for (table, seen) in OF_CHAINS.into_iter().zip(&mut seen) {
        let statement = format!("SELECT count(chain_id) FROM {table}");
        *seen = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *db_tx).await.unwrap();
    }
    db_tx.rollback().await.unwrap();
    seen
}

#[tokio::test]
async fn a_table_of_organisations_without_a_policy_is_found() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    assert_eq!(names(&mut conn, FORGOTTEN).await, Vec::<String>::new());
    sqlx::raw_sql(
        "CREATE TABLE control.later (id bigint, org_id bigint);
         CREATE TABLE access.bare (id bigint);
         GRANT SELECT ON access.bare TO isotherm_tenant;
         CREATE TABLE access.half (id bigint, org_id bigint);
         ALTER TABLE access.half ENABLE ROW LEVEL SECURITY;
         CREATE POLICY tenant ON access.half FOR SELECT TO isotherm_tenant USING (true);
         CREATE TABLE access.inside (id bigint)",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    assert_eq!(names(&mut conn, FORGOTTEN).await, ["access.bare", "access.half", "control.later"]);
}

#[tokio::test]
async fn a_tenant_writes_nothing_and_reads_no_column_of_the_platforms_own() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let [ours, _] = two_orgs(&mut conn).await;
    let refused = [
        "SELECT secrets FROM control.jobs",
        "SELECT config FROM control.triggers",
        "SELECT worker FROM control.tasks",
        "SELECT stderr_tail FROM control.task_attempts",
        "SELECT * FROM control.tasks",
        "SELECT * FROM control.outbox",
        "SELECT * FROM control.worker_leases",
        "SELECT * FROM hot.cursors",
        "SELECT * FROM hot.blocks",
        "SELECT * FROM cold.datasets",
        "SELECT sealed_address FROM alerts.channels",
        "SELECT * FROM alerts.channels",
        "SELECT id FROM alerts.channel_codes",
        "SELECT scope FROM alerts.budgets",
        "SELECT scope FROM alerts.daily_counts",
        "UPDATE alerts.rules SET state = 'paused'",
        "UPDATE access.users SET role = 'admin'",
        "INSERT INTO access.dataset_grants (org_id) VALUES (1)",
        "DELETE FROM control.tasks",
        "TRUNCATE control.audit_log",
        "CREATE TABLE access.mine (id bigint)",
        "CREATE SCHEMA mine",
        "ALTER TABLE access.users DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON access.users",
        "SET LOCAL row_security = off; SELECT 1 FROM access.users",
        "COPY access.users TO PROGRAM 'cat'",
    ];
    for statement in refused {
        let mut db_tx = conn.begin().await.unwrap();
        as_tenant(&mut db_tx, ours).await.unwrap();
        let outcome = sqlx::raw_sql(statement).execute(&mut *db_tx).await;
        assert!(outcome.is_err(), "{statement}");
        db_tx.rollback().await.unwrap();
    }
}

/// Whoever is the role and nothing else, as a login by it would be, has nowhere to go from it.
#[tokio::test]
async fn the_role_reaches_no_other_one() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    two_orgs(&mut conn).await;
    let memberships: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_auth_members WHERE member = 'isotherm_tenant'::regrole")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    let powers: (bool, bool, bool, bool, bool) = sqlx::query_as(
        "SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = $1",
    )
    .bind(TENANT)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!((memberships, powers), (0, (false, false, false, false, false)));
    let owner: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut conn).await.unwrap();
    for statement in [format!("SET ROLE {owner}"), format!("SELECT set_config('role', '{owner}', false)")] {
        let mut db_tx = conn.begin().await.unwrap();
        sqlx::raw_sql("SET LOCAL SESSION AUTHORIZATION isotherm_tenant").execute(&mut *db_tx).await.unwrap();
        let outcome = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *db_tx).await;
        assert!(outcome.is_err(), "{statement}");
        db_tx.rollback().await.unwrap();
    }
    // Without an organisation there is nothing to see.
    for setting in ["", "SET LOCAL isotherm.org_id = '';"] {
        let mut db_tx = conn.begin().await.unwrap();
        let statement = format!("SET LOCAL SESSION AUTHORIZATION isotherm_tenant; {setting}");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *db_tx).await.unwrap();
        let seen: i64 = sqlx::query_scalar("SELECT count(id) FROM control.jobs").fetch_one(&mut *db_tx).await.unwrap();
        assert_eq!(seen, 0, "{setting:?}");
        db_tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn the_role_ends_with_the_transaction_and_there_is_none_without_one() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let [ours, _] = two_orgs(&mut conn).await;
    let outside = as_tenant(&mut conn, ours).await.unwrap_err();
    assert!(matches!(outside, sqlx::Error::InvalidArgument(_)), "{outside}");
    let mut db_tx = conn.begin().await.unwrap();
    as_tenant(&mut db_tx, ours).await.unwrap();
    db_tx.commit().await.unwrap();
    let orgs: i64 = sqlx::query_scalar("SELECT count(*) FROM control.orgs").fetch_one(&mut conn).await.unwrap();
    assert_eq!(orgs, 2, "the owner sees all of them again");
}

#[tokio::test]
async fn databases_of_one_server_are_migrated_at_the_same_time() {
    let server = Postgres::start(StartOptions::default()).await.unwrap();
    let migrated = || TestDatabase::migrated_on(&server);
    let (first, second, third, fourth) = tokio::join!(migrated(), migrated(), migrated(), migrated());
    let names: BTreeSet<_> = [first, second, third, fourth].into_iter().map(|made| made.unwrap().name).collect();
    assert_eq!(names.len(), 4);
}

/// The database's owner need not be a superuser: on RDS it is none.
#[tokio::test]
async fn an_owner_who_is_no_superuser_migrates_and_reads_as_an_organisation() {
    let server = Postgres::start(StartOptions::default()).await.unwrap();
    let mut admin = PgConnection::connect(&server.database_url("postgres")).await.unwrap();
    sqlx::raw_sql("CREATE ROLE plain LOGIN CREATEROLE").execute(&mut admin).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE plain OWNER plain").execute(&mut admin).await.unwrap();
    let url = server.database_url("plain").replace("://isotherm", "://plain");
    let path = isotherm_lab::tools::repository_root().unwrap().join("migrations");
    let migrator = sqlx::migrate::Migrator::new(path.as_path()).await.unwrap();
    let mut conn = PgConnection::connect(&url).await.unwrap();
    migrator.run(&mut conn).await.unwrap();
    let [ours, _] = two_orgs(&mut conn).await;
    let mut db_tx = conn.begin().await.unwrap();
    as_tenant(&mut db_tx, ours).await.unwrap();
    let seen: Vec<i64> = sqlx::query_scalar("SELECT id FROM control.orgs").fetch_all(&mut *db_tx).await.unwrap();
    assert_eq!(seen, [ours.0]);
}
