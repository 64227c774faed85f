//! The platform's own tables in SQL: beside chain data in one statement and one snapshot, each organisation its own rows.

#[path = "support/made_chain.rs"]
#[allow(dead_code, reason = "the tests of federated queries use all of it")]
mod made_chain;
#[path = "support/platform.rs"]
#[allow(dead_code, reason = "the tests of federated queries use all of it")]
mod platform;
#[path = "support/sandbox_program.rs"]
mod sandbox_program;

#[path = "platform_tables/connections.rs"]
mod connections;
#[path = "platform_tables/guards.rs"]
mod guards;

use std::time::Duration;

use isotherm_access::{grants, orgs};
use isotherm_hot_store::cursor;
use isotherm_query::error::Blame;
use isotherm_query::platform_tables::{ALL, PlatformTable};
use isotherm_query::{QueryAnswer, QueryError, QueryRequest, render};
use isotherm_types::{Classified as _, Dataset, OrgId};
use made_chain::{CHAIN, CHAIN_NAME, OTHER, OTHER_NAME, compact, follow, range};
use platform::Platform;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

const PAGE: &str = include_str!("../../../docs/sql.md");

/// Ours, which reads a chain of 12 blocks of which ten are cold, and another one, which reads another chain. Each table has
/// rows of both: of ours they say `ours`, of the other one's, which are twice as many, `theirs`.
struct Stage {
    platform: Platform,
    ours: OrgId,
    theirs: OrgId,
}

impl Stage {
    async fn new() -> Self {
        let platform = Platform::start().await;
        let mut conn = platform.connect().await;
        follow(&mut conn, range(0, 12)).await;
        compact(&mut conn, &platform.objects, platform.scratch.path(), range(0, 10)).await;
        cursor::ensure(&mut conn, OTHER, OTHER_NAME, 10).await.unwrap();
        sqlx::raw_sql(include_str!("platform_tables/chain_of_theirs.sql")).execute(&mut conn).await.unwrap();
        let ours = orgs::find(&mut conn, "default").await.unwrap();
        let theirs = orgs::create(&mut conn, "other", "test").await.unwrap();
        grants::revoke(&mut conn, ours, (None, None), "test").await.unwrap();
        grants::grant(&mut conn, ours, (Some(CHAIN), None), "test").await.unwrap();
        grants::grant(&mut conn, theirs, (Some(OTHER), None), "test").await.unwrap();
        for (org, mark, count) in [(ours, "ours", "1"), (theirs, "theirs", "2")] {
            let seed = include_str!("support/rows_of_org.sql").replace("@org", &org.0.to_string());
            let seed = seed.replace("@mark", mark).replace("@count", count).replace("@chain", &CHAIN.to_string());
            sqlx::raw_sql(AssertSqlSafe(seed)).execute(&mut conn).await.unwrap();
        }
        Self { platform, ours, theirs }
    }

    /// What `org` is answered, with the grants that it has now.
    async fn ask(&self, org: OrgId, sql: &str) -> Result<QueryAnswer, QueryError> {
        let grants = grants::of_org(&mut self.platform.connect().await, org).await.unwrap();
        let request = QueryRequest { grants, org: Some(org), ..QueryRequest::new(sql, Duration::from_secs(20)) };
        self.platform.engine.run(request).await
    }

    async fn answer(&self, org: OrgId, sql: &str) -> QueryAnswer {
        self.ask(org, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    async fn rows(&self, org: OrgId, sql: &str) -> Vec<Vec<Value>> {
        rows_of(&self.answer(org, sql).await)
    }
}

fn rows_of(answer: &QueryAnswer) -> Vec<Vec<Value>> {
    render::json_rows(&answer.summary.columns, &answer.batches, 1 << 24).unwrap()
}

#[tokio::test]
async fn tasks_and_chain_data_are_joined_in_one_statement() {
    let stage = Stage::new().await;
    let sql = "select t.job_name, t.input ->> 'note', b.block_number, b.chain_id, t.created_at <= now() \
               from isotherm.tasks t join blocks b on b.block_number = (t.input ->> 'block')::int";
    let expected = json!([["ours-1", "ours", 3, CHAIN.0, true]]);
    assert_eq!(json!(stage.rows(stage.ours, sql).await), expected);

    // Cold and hot blocks beside the rows of three tables.
    let sql = "select count(*), max(b.block_number), any_value(a.exit_code), any_value(c.chain) \
               from isotherm.task_inputs i join isotherm.task_attempts a using (task_id) \
               join isotherm.chains c using (chain_id) \
               join made.blocks b on b.chain_id = i.chain_id and b.block_number >= i.first_block";
    let answer = stage.answer(stage.ours, sql).await;
    assert_eq!(json!(rows_of(&answer)), json!([[10, 11, -1, CHAIN_NAME]]));
    assert_eq!((answer.summary.hot_rows_fetched, answer.summary.cold_files), (2, 1));
    assert_eq!(answer.summary.state.len(), 1);
}

#[tokio::test]
async fn only_chains_that_are_read_count_in_the_state_of_an_answer() {
    let stage = Stage::new().await;
    grants::grant(&mut stage.platform.connect().await, stage.ours, (Some(OTHER), None), "test").await.unwrap();
    let table = [
        ("select count(*) from isotherm.tasks", json!([])),
        ("select count(*) from isotherm.chains", json!([])),
        ("select count(*) from made.blocks where block_number > 9", json!([CHAIN_NAME])),
        ("select count(*) from isotherm.tasks, made.blocks where block_number > 9", json!([CHAIN_NAME])),
        ("select count(*) from blocks where block_number > 9", json!([CHAIN_NAME, OTHER_NAME])),
        ("select 1", json!([CHAIN_NAME, OTHER_NAME])),
    ];
    for (sql, expected) in table {
        let state = stage.answer(stage.ours, sql).await.summary.state;
        let chains: Vec<&str> = state.iter().map(|chain| chain.chain.as_str()).collect();
        assert_eq!(json!(chains), expected, "{sql}");
    }
}

#[tokio::test]
async fn every_table_has_its_columns_with_their_types_and_names_need_no_quotes() {
    let stage = Stage::new().await;
    for table in ALL {
        let expected: Vec<(&str, &str)> =
            table.columns.iter().map(|column| (column.name, column.column_type.sql())).collect();
        let names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
        for list in ["*", &names.join(", ")] {
            let answer = stage.answer(stage.ours, &format!("select {list} from {table}")).await;
            let columns = answer.summary.columns.iter();
            let columns: Vec<(&str, &str)> =
                columns.map(|column| (column.name.as_str(), column.sql_type.as_str())).collect();
            assert_eq!(columns, expected, "{table}");
            assert!(answer.summary.row_count > 0, "{table}");
        }
        let counted = stage.rows(stage.ours, &format!("select count(*) from {table} where true")).await;
        assert!(counted[0][0].as_i64().unwrap() > 0, "{table}: {counted:?}");
    }
}

#[tokio::test]
async fn values_are_what_the_tables_hold() {
    let stage = Stage::new().await;
    let sql = "select typeof(created_at), created_at = not_before, input::json ->> '$.note', finished_at, always_on, \
               progress_done from isotherm.tasks";
    let expected = json!([["TIMESTAMP", true, "ours", null, false, 5]]);
    assert_eq!(json!(stage.rows(stage.ours, sql).await), expected);
    let sql = "select input_datasets ->> 0, heartbeat_timeout_seconds, sql_sha256, q.state \
               from isotherm.jobs, isotherm.queries q";
    let zeros = format!("0x{}", "00".repeat(32));
    assert_eq!(json!(stage.rows(stage.ours, sql).await), json!([["31337/blocks", 20.0, zeros, "queued"]]));
    let sql = "select dataset, first_block, last_block, row_count from isotherm.partitions where dataset = 'blocks'";
    assert_eq!(json!(stage.rows(stage.ours, sql).await), json!([["blocks", 0, 9, 10]]));
    let sql = "select chain, state, tip_number, watermark, lag_blocks from isotherm.chains";
    assert_eq!(json!(stage.rows(stage.ours, sql).await), json!([[CHAIN_NAME, "following", 11, 9, null]]));
    // The clock: the plan's moment is not the run's, so everything is fetched.
    for filter in ["created_at > now() - interval 1 day", "age(created_at) < interval 1 day"] {
        let counted = stage.rows(stage.ours, &format!("select count(*) from isotherm.tasks where {filter}")).await;
        assert_eq!(json!(counted), json!([[1]]), "{filter}");
    }
    // The database's own instants.
    let stored: String = sqlx::query_scalar(
        "SELECT to_char(min(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM control.tasks",
    )
    .fetch_one(&stage.platform.engine.pool)
    .await
    .unwrap();
    let sql = format!("select created_at = timestamp '{stored}' from isotherm.tasks");
    assert_eq!(json!(stage.rows(stage.ours, &sql).await), json!([[true]]), "{stored}");
}

#[tokio::test]
async fn nothing_of_another_organisation_is_in_rows_counts_or_errors() {
    let stage = Stage::new().await;
    for (org, own, foreign) in [(stage.ours, "ours", "theirs"), (stage.theirs, "theirs", "ours")] {
        for table in ALL {
            let rows = json!(stage.rows(org, &format!("select * from {table}")).await);
            assert!(!rows.to_string().contains(foreign), "{own} sees in {table}: {rows}");
            let counted = stage.rows(org, &format!("select count(*) from {table}")).await;
            let stored = stored(&stage, org, table).await;
            assert_eq!(json!(counted), json!([[stored]]), "{own}: {table}");
            assert!(stored > 0, "{table}");
        }
        let error = stage.ask(org, "select idempotency_key::int from isotherm.tasks").await.unwrap_err();
        assert_eq!(error.code(), "query.failed");
        assert!(error.to_string().contains(own) && !error.to_string().contains(foreign), "{error}");
    }
    // Its transactions are not cold, so there is no block up to which all is.
    let chains = stage.rows(stage.theirs, "select chain, watermark from isotherm.chains").await;
    assert_eq!(json!(chains), json!([[OTHER_NAME, null]]));
}

/// Rows of `org` in a table, as the owner counts them.
async fn stored(stage: &Stage, org: OrgId, table: &PlatformTable) -> i64 {
    let sql = format!("SELECT count(*) FROM ({}\n) AS r WHERE org_id = $1", table.select);
    let count = sqlx::query_scalar(AssertSqlSafe(sql)).bind(org.0).fetch_one(&stage.platform.engine.pool);
    count.await.unwrap()
}

#[tokio::test]
async fn a_grant_that_is_taken_away_takes_partitions_and_chains_with_it() {
    let stage = Stage::new().await;
    let mut conn = stage.platform.connect().await;
    let datasets = "select distinct dataset from isotherm.partitions order by 1";
    let chains = "select count(*) from isotherm.chains";
    assert_eq!(
        json!(stage.rows(stage.ours, datasets).await),
        json!([["blocks"], ["logs"], ["traces"], ["transactions"]])
    );
    grants::grant(&mut conn, stage.ours, (Some(CHAIN), Some(Dataset::Logs)), "test").await.unwrap();
    grants::revoke(&mut conn, stage.ours, (Some(CHAIN), None), "test").await.unwrap();
    assert_eq!(json!(stage.rows(stage.ours, datasets).await), json!([["logs"]]));
    assert_eq!(json!(stage.rows(stage.ours, chains).await), json!([[1]]));
    grants::revoke(&mut conn, stage.ours, (Some(CHAIN), Some(Dataset::Logs)), "test").await.unwrap();
    assert_eq!(json!(stage.rows(stage.ours, datasets).await), json!([]));
    assert_eq!(json!(stage.rows(stage.ours, chains).await), json!([[0]]));
    assert_eq!(json!(stage.rows(stage.ours, "select count(*) from isotherm.tasks").await), json!([[1]]));
}

#[tokio::test]
async fn what_is_not_there_is_answered_as_it_is_for_chains() {
    let stage = Stage::new().await;
    let table = [
        ("select * from isotherm.nothing", "query.refused", Some(14)),
        ("select * from isotherm.users", "query.refused", Some(14)),
        ("select * from isotherm.logs", "query.refused", Some(14)),
        ("select * from memory.isotherm.tasks", "query.refused", Some(14)),
        ("select * from tasks", "query.refused", Some(14)),
        ("select * from made.tasks", "query.refused", Some(14)),
        ("select worker from isotherm.tasks", "query.invalid", Some(7)),
        ("select org_id from isotherm.tasks", "query.invalid", Some(7)),
    ];
    for (sql, code, position) in table {
        let error = stage.ask(stage.ours, sql).await.unwrap_err();
        assert_eq!((error.code(), error.answer().position), (code, position), "{sql}: {error}");
    }
    let nobodys = QueryRequest::new("select count(*) from isotherm.tasks", Duration::from_secs(20));
    let error = stage.platform.engine.run(nobodys).await.unwrap_err();
    assert_eq!((error.code(), error.answer().position), ("query.unknown_relation", Some(21)), "{error}");
}

/// Without the columns that the plan leaves out, and without the bounds of the key, each of these would be refused.
#[tokio::test]
async fn what_would_have_to_be_fetched_is_bounded_and_no_column_too_many_is_fetched() {
    let stage = Stage::new().await;
    let mut conn = stage.platform.connect().await;
    let sql = "UPDATE control.tasks SET output = to_jsonb(repeat('x', 70000000)) WHERE org_id = $1 RETURNING id";
    let large: i64 = sqlx::query_scalar(sql).bind(stage.ours.0).fetch_one(&mut conn).await.unwrap();
    let sql = "INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, attempts_left, output)
               SELECT org_id, id, 'small', '{}', 1, '\"y\"' FROM control.jobs WHERE org_id = $1 RETURNING id";
    let small: i64 = sqlx::query_scalar(sql).bind(stage.ours.0).fetch_one(&mut conn).await.unwrap();

    let error = stage.ask(stage.ours, "select count(output) from isotherm.tasks").await.unwrap_err();
    assert_eq!((error.code(), error.blame()), ("query.platform_rows_too_large", Blame::Size));
    let text = error.to_string();
    assert!(text.contains("isotherm.tasks") && text.contains("64 MiB") && text.contains("compare id"), "{text}");
    assert_eq!(json!(stage.rows(stage.ours, "select count(*) from isotherm.tasks").await), json!([[2]]));
    let bounded = format!("select output from isotherm.tasks where id = {small}");
    assert_eq!(json!(stage.rows(stage.ours, &bounded).await), json!([["\"y\""]]));
    let none = format!("select count(output) from isotherm.tasks where id > {small} and id <> {large}");
    assert_eq!(json!(stage.rows(stage.ours, &none).await), json!([[0]]));
}

#[tokio::test]
async fn the_examples_of_the_page_run() {
    let stage = Stage::new().await;
    let fences: Vec<&str> = PAGE.split("```").skip(1).step_by(2).collect();
    let examples: Vec<&str> = fences.iter().filter_map(|fence| fence.strip_prefix("sql isotherm\n")).collect();
    assert!(examples.len() > 2, "{} examples were found", examples.len());
    for sql in examples {
        stage.answer(stage.ours, sql).await;
    }
}
