//! `isotherm smoke` against a whole stack: green, and red for each thing that is broken on purpose.

use std::collections::BTreeSet;

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::ministack::REGION;
use isotherm_local_stack::LocalAws;
use operator_migrate::smoke::SIGNING_KEY;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::stack::Stack;

const CHECKS: [&str; 16] = [
    "query",
    "refused_host_from_here",
    "bucket_put",
    "api",
    "webhook",
    "task",
    "webhook_task",
    "secret",
    "database",
    "queue",
    "bucket",
    "allowed_host",
    "refused_host",
    "bucket_delete",
    "log",
    "metric",
];

/// The account of the emulator.
const ACCOUNT: &str = "000000000000";
/// A host of this machine on which nobody has put a list, and where nobody listens.
const OFF_THE_LIST: &str = "http://127.0.0.4:9/";

async fn smoke(stack: &Stack, more: &[&str]) -> (Option<i32>, Value) {
    let patience: &[&str] = if more.contains(&"--timeout-seconds") { &[] } else { &["--timeout-seconds", "60"] };
    let ended = stack.run(&[&["smoke", "--json"], patience, more].concat()).await;
    let printed = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    (ended.code, printed)
}

/// The checks that fail, with the exit code that goes with it.
async fn failed(stack: &Stack, more: &[&str]) -> BTreeSet<String> {
    let (code, printed) = smoke(stack, more).await;
    let checks = printed["checks"].as_array().unwrap();
    let failed: BTreeSet<String> = checks
        .iter()
        .filter(|check| check["ok"] == false)
        .map(|check| {
            assert!(check["advice"].is_string() && check["detail"].is_string(), "{check}");
            check["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(code, Some(if failed.is_empty() { 0 } else { 3 }), "{printed:#}");
    failed
}

fn named(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn end_to_end_smoke_is_green_and_each_planted_failure_turns_its_checks_red() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let mut stack = Stack::new();
    stack.start(&["up", "--rpc-url", &chain.rpc_url(), "--chain", "test", "--start", "0"]).await;

    let running = stack.running().unwrap();
    let aws = LocalAws::new(running["endpoint_url"].as_str().unwrap(), REGION, ACCOUNT).await;
    let gone = aws.secrets().delete_secret().secret_id(SIGNING_KEY).force_delete_without_recovery(true);
    gone.send().await.unwrap();
    assert_eq!(failed(&stack, &[]).await, named(&["webhook", "webhook_task"]), "smoke makes no secret of its own");
    assert!(aws.secrets().describe_secret().secret_id(SIGNING_KEY).send().await.is_err());
    aws.secrets().create_secret().name(SIGNING_KEY).send().await.unwrap();

    let (code, printed) = smoke(&stack, &[]).await;
    assert_eq!((code, &printed["ok"]), (Some(0), &Value::Bool(true)), "{printed:#}");
    let names: Vec<&str> =
        printed["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, CHECKS);
    let lines = stack.run(&["smoke"]).await;
    assert_eq!(lines.stdout.lines().filter(|line| line.starts_with("ok: ")).count(), CHECKS.len(), "{lines:?}");

    let probe = running["egress_probe"].as_str().unwrap();
    assert_eq!(
        failed(&stack, &["--refused", probe]).await,
        named(&["refused_host"]),
        "the list lets through what it should not"
    );
    assert_eq!(failed(&stack, &["--allowed", OFF_THE_LIST]).await, named(&["allowed_host"]), "the list lacks a host");
    assert_eq!(
        failed(&stack, &["--refused", OFF_THE_LIST]).await,
        named(&["refused_host_from_here"]),
        "a host that nobody reaches is refused by nobody"
    );

    let mut conn = PgConnection::connect(running["database_url"].as_str().unwrap()).await.unwrap();
    sqlx::raw_sql("UPDATE _sqlx_migrations SET success = false").execute(&mut conn).await.unwrap();
    assert_eq!(failed(&stack, &[]).await, named(&["database"]), "the database is not migrated");
    sqlx::raw_sql("UPDATE _sqlx_migrations SET success = true").execute(&mut conn).await.unwrap();

    let bucket = "isotherm-results-local";
    aws.s3().delete_bucket().bucket(bucket).send().await.unwrap();
    let of_bucket = ["bucket_put", "bucket", "allowed_host", "refused_host", "bucket_delete"];
    assert_eq!(failed(&stack, &[]).await, named(&of_bucket), "the bucket is not there");
    aws.s3().create_bucket().bucket(bucket).send().await.unwrap();
    assert_eq!(failed(&stack, &[]).await, named(&[]));

    let delete = async |function: &str| aws.lambda().delete_function().function_name(function).send().await.unwrap();
    delete("isotherm-trigger-webhook").await;
    assert_eq!(failed(&stack, &[]).await, named(&["webhook", "webhook_task"]), "the webhook's function is gone");
    delete("isotherm-api").await;
    let untouched = ["query", "refused_host_from_here", "bucket_put"];
    let without_task = CHECKS.iter().copied().filter(|name| !untouched.contains(name));
    assert_eq!(
        failed(&stack, &["--timeout-seconds", "1"]).await,
        without_task.map(str::to_owned).collect(),
        "nobody runs the job"
    );
    delete("isotherm-query").await;
    assert!(failed(&stack, &["--timeout-seconds", "1"]).await.contains("query"));
    assert_eq!(stack.run(&["down", "--wipe"]).await.code, Some(0));
}
