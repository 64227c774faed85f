//! Queries that run as tasks, with the operator's own code.

use isotherm_control::tasks::{self, Claim, Claimant, ClaimedTask};
use isotherm_control::{dispatch, outbox, pipeline};
use isotherm_lab::process::eventually;
use isotherm_platform::Stop;
use isotherm_platform::metrics::recorded;
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_query::batch::{self, TaskInput};
use isotherm_types::{Classified as _, EventId, TaskId};
use operator_duckdb_query::BatchQuery;
use serde_json::{Value, json};

use crate::stage::{ENDLESS, Stage, WIDE};

const ID: &str = "0199c0de-0000-7000-8000-000000000001";

/// Queues `sql` and gives back its task.
async fn queued(stage: &Stage, sql: &str, format: &str) -> TaskId {
    let request = json!({ "sql": sql, "mode": "batch", "format": format, "query_id": ID });
    let answer = stage.ask(request).await;
    assert_eq!((&answer["state"], &answer["query_id"]), (&json!("queued"), &json!(ID)));
    let id: i64 = sqlx::query_scalar("SELECT task_id FROM query.queries WHERE id = $1::uuid")
        .bind(ID)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    TaskId(id)
}

async fn claimed(stage: &Stage, task: TaskId) -> ClaimedTask {
    let mut conn = stage.pool.acquire().await.unwrap();
    let claimant = Claimant { worker: "w", operator: batch::OPERATOR, ecs_task_arn: None };
    match tasks::claim(&mut conn, task, &claimant).await.unwrap() {
        Claim::Claimed(claimed) => *claimed,
        other => panic!("{other:?}"),
    }
}

fn operator(stage: &Stage, task: &ClaimedTask, stop: Stop) -> (BatchQuery, TaskInput) {
    let query = BatchQuery {
        engine: stage.function.engine.clone(),
        results: stage.function.results.clone(),
        config: serde_json::from_value(task.config.clone()).unwrap(),
        task: (task.task_id, task.fence),
        progress: Progress::unheard(),
        stop,
    };
    (query, serde_json::from_value(task.input.clone()).unwrap())
}

async fn run(stage: &Stage, task: &ClaimedTask) -> Value {
    let (_sender, stop) = Stop::pair();
    let (query, input) = operator(stage, task, stop);
    match query.run(input).await.unwrap() {
        OperatorEnd::Completed(output) => output,
        OperatorEnd::Released => panic!("nobody asked it to stop"),
    }
}

async fn status(stage: &Stage) -> Value {
    stage.ask_status(ID).await
}

#[tokio::test]
async fn a_batch_query_is_launched_runs_and_leaves_a_file() {
    let stage = Stage::new().await;
    let inline = stage.ask(json!({ "sql": WIDE, "format": "csv" })).await;
    let task = queued(&stage, WIDE, "csv").await;
    let mut conn = stage.pool.acquire().await.unwrap();
    assert_eq!(outbox::pending(&mut conn).await.unwrap().row_count, 0, "the dispatcher is told");
    let event: i64 = sqlx::query_scalar("SELECT id FROM control.events WHERE body ->> 'fire_key' = $1")
        .bind(ID)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(dispatch::handle_event(&mut conn, EventId(event)).await.unwrap(), [], "no second task");
    let ready = dispatch::ready(&mut conn, 5).await.unwrap();
    assert!(ready.launches.iter().any(|launch| launch.task_id == task), "{ready:?}");

    let claimed = claimed(&stage, task).await;
    assert_eq!(claimed.secrets["DATABASE_URL"], "isotherm/database");
    let (output, lines) = recorded(run(&stage, &claimed)).await;
    assert_eq!((&output["state"], &output["row_count"]), (&json!("completed"), &json!(105)));
    let told = lines.iter().filter(|line| line["query_duration_ms"].is_f64());
    let told: Vec<_> = told.map(|line| (&line["mode"], &line["outcome"])).collect();
    assert_eq!(told, [(&json!("batch"), &json!("completed"))], "{lines:?}");
    let status = status(&stage).await;
    let expected = (&json!("completed"), &json!("batch"), &Value::Null);
    assert_eq!((&status["state"], &status["mode"], &status["error"]), expected);
    let text = String::from_utf8(stage.download(&status["result"]).await).unwrap();
    assert_eq!(json!(text), inline["csv"]);
    assert_eq!(status["answer"]["columns"], inline["columns"]);
    assert_eq!(run(&stage, &claimed).await, json!({ "state": "over" }), "a second run changes nothing");
}

#[tokio::test]
async fn a_batch_query_sees_the_rows_of_its_organisation() {
    let stage = Stage::new().await;
    stage.other_org("other").await;
    stage.ask(json!({ "sql": "select 1", "org": "other" })).await;
    let task = queued(&stage, "select count(*) as n from isotherm.queries", "csv").await;
    assert_eq!(run(&stage, &claimed(&stage, task).await).await["state"], json!("completed"));
    let text = String::from_utf8(stage.download(&status(&stage).await["result"]).await).unwrap();
    assert_eq!(text, "n\n1\n");
}

#[tokio::test]
async fn the_text_of_a_batch_query_is_in_the_bucket_only() {
    let stage = Stage::new().await;
    queued(&stage, "select 'hunter2' as word", "json").await;
    let tables = ["query.queries", "control.tasks", "control.events", "control.audit_log", "control.jobs"];
    for table in tables {
        let sql = format!("SELECT count(*) FROM {table} q WHERE q::text ILIKE '%hunter2%'");
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&stage.pool).await.unwrap();
        assert_eq!(found, 0, "{table}");
    }
}

#[tokio::test]
async fn a_query_that_is_at_fault_fails_and_its_task_does_not() {
    let stage = Stage::new().await;
    let task = queued(&stage, "select hunter2 from blocks", "json").await;
    let output = run(&stage, &claimed(&stage, task).await).await;
    assert_eq!(output, json!({ "state": "failed", "error_code": "query.invalid" }), "without its words");
    let status = status(&stage).await;
    assert_eq!((&status["state"], &status["error"]["code"]), (&json!("failed"), &json!("query.invalid")));
    assert!(status["error"]["message"].as_str().unwrap().contains("hunter2"), "its caller is told: {status}");
}

#[tokio::test]
async fn a_batch_query_ends_by_its_callers_wish_while_it_waits_and_while_it_runs() {
    let stage = Stage::new().await;
    let cancel = json!({ "action": "cancel_query", "query_id": ID });
    let waiting = queued(&stage, ENDLESS, "json").await;
    assert_eq!(stage.direct(cancel.clone()).await["state"], json!("cancelled"));
    let state: String = sqlx::query_scalar("SELECT state FROM control.tasks WHERE id = $1")
        .bind(waiting.0)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(state, "cancelled");

    let stage = Stage::new().await;
    let task = queued(&stage, ENDLESS, "json").await;
    let claimed = claimed(&stage, task).await;
    let wish = async {
        eventually("a query that runs", async || status(&stage).await["state"] == "running").await.unwrap();
        stage.direct(cancel).await
    };
    let (output, _) = tokio::join!(run(&stage, &claimed), wish);
    assert_eq!(output, json!({ "state": "cancelled" }));
    assert_eq!(status(&stage).await["state"], json!("cancelled"));
}

#[tokio::test]
async fn a_worker_that_is_to_stop_gives_the_query_to_the_next_and_writes_no_more() {
    let stage = Stage::new().await;
    let task = queued(&stage, ENDLESS, "json").await;
    let first = claimed(&stage, task).await;
    let (sender, stop) = Stop::pair();
    let (query, input) = operator(&stage, &first, stop);
    let stopping = async {
        eventually("a query that runs", async || status(&stage).await["state"] == "running").await.unwrap();
        sender.request();
    };
    let (end, ()) = tokio::join!(query.run(input), stopping);
    assert_eq!(end.unwrap(), OperatorEnd::Released);
    let mut conn = stage.pool.acquire().await.unwrap();
    tasks::release(&mut conn, task, first.fence, None).await.unwrap();
    assert_eq!(status(&stage).await["state"], json!("running"), "for its caller it goes on");

    let second = claimed(&stage, task).await;
    let (_sender, stop) = Stop::pair();
    let (stale, input) = operator(&stage, &first, stop);
    assert_eq!(stale.run(input).await.unwrap_err().code(), "control.stale_fence");
    stage.direct(json!({ "action": "cancel_query", "query_id": ID })).await;
    assert_eq!(run(&stage, &second).await, json!({ "state": "over" }), "the wish holds for every attempt");
    assert_eq!(status(&stage).await["state"], json!("cancelled"));
}

#[tokio::test]
async fn applying_a_file_leaves_the_job_of_batch_queries_alone() {
    let stage = Stage::new().await;
    let task = queued(&stage, "select 1 as n", "parquet").await;
    let mut conn = stage.pool.acquire().await.unwrap();
    let file = pipeline::parse("{ version: 1, jobs: [{ name: other, operator: noop }] }").unwrap();
    pipeline::apply(&mut conn, stage.org, &file, "test").await.unwrap();
    let output = run(&stage, &claimed(&stage, task).await).await;
    assert_eq!(output["state"], json!("completed"), "its tasks are still claimed");
    // A file's own job of the name takes its place, and goes with the file.
    let text = format!("{{ version: 1, jobs: [{{ name: {}, operator: noop }}] }}", batch::JOB);
    pipeline::apply(&mut conn, stage.org, &pipeline::parse(&text).unwrap(), "test").await.unwrap();
    let refused = stage.direct(json!({ "sql": "select 1", "mode": "batch" })).await;
    assert_eq!(refused["error"]["code"], json!("query.foreign_job"));
}

#[tokio::test]
async fn a_task_that_failed_for_good_is_told_to_whoever_asks() {
    let stage = Stage::new().await;
    let task = queued(&stage, "select 1 as n", "json").await;
    sqlx::query(
        "UPDATE control.tasks SET state = 'failed', finished_at = now(), error_code = 'query.sandbox' WHERE id = $1",
    )
    .bind(task.0)
    .execute(&stage.pool)
    .await
    .unwrap();
    let status = status(&stage).await;
    assert_eq!((&status["state"], &status["error"]["code"]), (&json!("failed"), &json!("query.sandbox")));
}
