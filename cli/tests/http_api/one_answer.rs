//! One query, asked as people and programs ask: by boto3 (direct invocation), by curl (the HTTP API, with a token) and by
//! `isotherm query`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use isotherm_access::Role;
use isotherm_lab::tools;
use isotherm_local_stack::names;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::stage::{CHAIN_NAME, Stage};

const INVOKE: &str = include_str!("invoke.py");

/// Rows on both sides of the boundary between cold and hot, of every kind that has to be written exactly.
const SQL: &str = "select block_number, transaction_hash, nonce, value, value_binary, value_f64, success, \
     value::HUGEINT as wide from transactions where block_number between 15 and 24 \
     order by block_number, transaction_index";

/// What `command` prints; it has to end well, or as `code` says.
async fn output(command: &mut Command, input: &str, code: i32) -> (String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let ended = child.wait_with_output().await.unwrap();
    let [stdout, stderr] = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(ended.status.code(), Some(code), "{command:?}: {stdout}{stderr}");
    (stdout, stderr)
}

/// Direct invocation.
async fn by_boto3(stage: &Stage, request: &Value) -> Value {
    let mut python = Command::new(tools::callers_python().unwrap());
    python.args(["-c", INVOKE, &names::function("query"), &request.to_string()]).env_clear();
    // boto3 has a name of its own for the variable of the region.
    python.envs(stage.aws.variables()).env("AWS_DEFAULT_REGION", stage.aws.region());
    serde_json::from_str(&output(&mut python, "", 0).await.0).unwrap()
}

/// `POST /v1/query`: status and body. The token is read from standard input, where no other user sees it.
async fn by_curl(stage: &Stage, token: &str, request: &Value) -> (u16, Value) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--header", "@-", "--header", "content-type: application/json"]);
    curl.args(["--write-out", "\n%{http_code}", "--data-binary", &request.to_string()]);
    curl.arg(format!("{}/v1/query", stage.made.api_url));
    let (printed, _) = output(&mut curl, &format!("authorization: Bearer {token}\n"), 0).await;
    let (body, status) = printed.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// A data folder that says that this stack runs.
struct Home {
    folder: TempDir,
    _lock: Flock<File>,
}

impl Home {
    fn of(stage: &Stage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("lock")).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        let running = json!({
            "pid": std::process::id(), "kind": "up", "chain": CHAIN_NAME, "endpoint_url": stage.made.endpoint_url,
            "api_url": stage.made.api_url, "database_url": stage.database.url, "cron_target": stage.made.cron_target,
        });
        fs::write(folder.path().join("running.json"), running.to_string()).unwrap();
        Self { folder, _lock: lock }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// `isotherm query --format json`, which has to end with `code`.
async fn by_command(home: &Home, arguments: &[&str], code: i32) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
    command.arg("--data").arg(home.path()).args(["query", "--format", "json"]).args(arguments);
    output(&mut command, "", code).await
}

/// The part of an answer that does not depend on when it was asked.
fn lasting(answer: &Value) -> Value {
    let part = |name: &str| (name.to_owned(), answer[name].clone());
    ["columns", "rows", "row_count", "state", "as_of"].into_iter().map(part).collect()
}

#[tokio::test]
async fn a_query_has_one_answer_by_boto3_by_curl_and_by_the_command() {
    let stage = Stage::new().await;
    stage.add_user(stage.org, "ann", Role::Reader).await;
    let (home, token) = (Home::of(&stage), stage.token("ann"));
    let pin = format!("{CHAIN_NAME}:22");
    let pinned = json!({ "sql": SQL, "as_of_block": { "chain": CHAIN_NAME, "block": 22 } });
    let ways: [(Value, &[&str], usize); 2] =
        [(json!({ "sql": SQL }), &[SQL], 30), (pinned, &["--as-of", &pin, SQL], 24)];
    for (request, arguments, rows) in ways {
        let invoked = by_boto3(&stage, &request).await;
        let (status, called) = by_curl(&stage, &token, &request).await;
        let (commanded, _) = by_command(&home, arguments, 0).await;
        let commanded: Value = serde_json::from_str(&commanded).unwrap();
        assert_eq!((status, invoked["rows"].as_array().map(Vec::len)), (200, Some(rows)), "{invoked}");
        let state = &invoked["state"][0];
        assert_eq!(
            (&state["chain"], &state["tip_number"], &state["watermark"]),
            (&json!(CHAIN_NAME), &json!(34), &json!(19))
        );
        assert_eq!(lasting(&called), lasting(&invoked));
        assert_eq!(lasting(&commanded), lasting(&invoked));
    }

    let wrong = json!({ "sql": "select *\nform blocks" });
    let invoked = by_boto3(&stage, &wrong).await;
    let (status, called) = by_curl(&stage, &token, &wrong).await;
    assert_eq!((status, &called), (400, &invoked["error"]));
    assert_eq!(called["code"], json!("query.syntax"));
    let (_, told) = by_command(&home, &["select *\nform blocks"], 1).await;
    assert!(told.contains("query.syntax") && told.contains(called["message"].as_str().unwrap()), "{told}");
}
