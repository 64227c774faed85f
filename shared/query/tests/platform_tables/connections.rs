//! What becomes of a query's connection: given back as long as no row was asked for, closed while rows are on their way.

use std::time::Duration;

use isotherm_access::grants;
use isotherm_query::{QueryEngine, QueryRequest, SandboxMemory};
use isotherm_types::Classified as _;
use sqlx::postgres::PgPoolOptions;

use super::Stage;

/// The engine of `stage` with one connection.
async fn with_one_connection(stage: &Stage) -> QueryEngine {
    let pool = PgPoolOptions::new().max_connections(1).connect(&stage.platform.database.url).await.unwrap();
    QueryEngine { pool, ..stage.platform.engine.clone() }
}

/// Which of the server's processes the engine's connection leads to.
async fn backend(engine: &QueryEngine) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&engine.pool).await.unwrap()
}

/// The code with which `engine` refuses `sql` of our organisation.
async fn refused(stage: &Stage, engine: &QueryEngine, sql: &str) -> &'static str {
    let grants = grants::of_org(&mut stage.platform.connect().await, stage.ours).await.unwrap();
    let request = QueryRequest { grants, org: Some(stage.ours), ..QueryRequest::new(sql, Duration::from_secs(60)) };
    engine.run(request).await.unwrap_err().code()
}

/// Gives our organisation `count` more tasks, each with an output of `length` bytes.
async fn add_outputs(stage: &Stage, count: i32, length: i32) {
    let sql = "INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, attempts_left, output)
               SELECT j.org_id, j.id, 'output-' || n, '{}', 1, to_jsonb(repeat('x', $3))
                 FROM control.jobs j, generate_series(1, $2) AS n
                WHERE j.org_id = $1";
    let query = sqlx::query(sql).bind(stage.ours.0).bind(count).bind(length);
    query.execute(&mut stage.platform.connect().await).await.unwrap();
}

#[tokio::test]
async fn a_query_that_is_refused_gives_its_connection_back() {
    let stage = Stage::new().await;
    let engine = with_one_connection(&stage).await;
    let before = backend(&engine).await;
    assert_eq!(refused(&stage, &engine, "select * from \"made-too\".logs").await, "query.unknown_relation");
    assert_eq!(backend(&engine).await, before);
    // Nothing of the snapshot is left: the connection may write.
    let read_only: String = sqlx::query_scalar("SHOW transaction_read_only").fetch_one(&engine.pool).await.unwrap();
    assert_eq!(read_only, "off");
}

/// Were a row of it fetched, it would be on its way still, and the connection be closed.
#[tokio::test]
async fn a_row_that_is_too_large_is_refused_before_it_is_fetched() {
    let stage = Stage::new().await;
    add_outputs(&stage, 1, 200_000_000).await;
    let engine = with_one_connection(&stage).await;
    let before = backend(&engine).await;
    let sql = "select count(output) from isotherm.tasks";
    assert_eq!(refused(&stage, &engine, sql).await, "query.platform_rows_too_large");
    assert_eq!(backend(&engine).await, before);
}

#[tokio::test]
async fn a_query_whose_rows_were_left_unread_closes_its_connection() {
    let stage = Stage::new().await;
    // Within the limit of what is fetched, and more than the sandbox holds: it hangs up with rows to come.
    add_outputs(&stage, 30, 2_000_000).await;
    let mut engine = with_one_connection(&stage).await;
    engine.sandbox.memory = SandboxMemory::around(40 << 20);
    engine.sandbox.spill_bytes = 0;
    let before = backend(&engine).await;
    let code = refused(&stage, &engine, "select count(output) from isotherm.tasks").await;
    // Whether DuckDB counts the byte that is too many or the system refuses it.
    assert!(["query.out_of_memory", "query.sandbox"].contains(&code), "{code}");
    assert_ne!(backend(&engine).await, before);
}
