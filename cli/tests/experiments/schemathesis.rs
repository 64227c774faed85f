//! Schemathesis makes calls from the description that the API serves, good ones and bad ones, and judges each answer by it:
//! the status is documented, the content and the headers are of its schema, no fault of the platform, nothing accepted that
//! is not allowed, nothing told without a token. The functions are the real programs, behind the emulator's API Gateway.

use std::path::Path;
use std::process::Stdio;

use isotherm_access::Role;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::tools;
use rand::Rng;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::api_stage::Stage;

/// Calls at one time; the functions and Schemathesis itself share the machine.
const WORKERS: &str = "2";
/// Schemathesis's exit status if it has found something. Source: its documentation, "Exit codes".
const FOUND: i32 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_schemathesis() {
    let mut experiment = Experiment::begin("schemathesis", &["statuses", "schemas"]);
    let (examples, phases) =
        experiment.scaled(("8", "examples,coverage,fuzzing"), ("120", "examples,coverage,fuzzing,stateful"));
    let seed: u32 = experiment.random(0).random();
    let stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.database.connect().await.unwrap()).await;
    stage.add_user(stage.org, "ann", Role::Admin).await;

    let mut document = served(&stage).await;
    if experiment.lacks("statuses") {
        forget_refusals(&mut document);
    }
    if experiment.lacks("schemas") {
        document["components"]["schemas"]["PlainError"]["required"] = json!(["code", "message", "hint"]);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("openapi.json"), document.to_string()).unwrap();
    let report = judge(&stage, folder.path(), &["--max-examples", examples, "--phases", phases], seed).await;

    experiment.figure("seed_of_calls", seed);
    experiment.figure("operations", &report["operations"]["tested"]);
    experiment.figure("calls", &report["test_cases"]["generated"]);
    let described = i64::try_from(operations(&document)).unwrap();
    experiment.equal("selected", report["operations"]["selected"].as_i64().unwrap(), described);
    experiment.zero("cut_short", i64::from(report["complete"] != json!(true)));
    let count = |list: &Value| i64::try_from(list.as_array().unwrap().len()).unwrap();
    experiment.zero("findings", count(&report["failures"]));
    experiment.zero("errors", count(&report["errors"]));
    experiment.finish();
}

/// The description as everybody gets it.
async fn served(stage: &Stage) -> Value {
    let answer = reqwest::get(format!("{}/v1/openapi.json", stage.made.api_url)).await.unwrap();
    assert_eq!(answer.status(), 200);
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

fn operations(document: &Value) -> usize {
    let paths = document["paths"].as_object().unwrap().values();
    let of_path = |path: &Value| path.as_object().unwrap().keys().filter(|method| *method != "parameters").count();
    paths.map(of_path).sum()
}

/// Takes 400 and 404 out of the description.
fn forget_refusals(document: &mut Value) {
    for path in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in path.as_object_mut().unwrap().values_mut() {
            if let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                answers.retain(|status, _| status != "400" && status != "404");
            }
        }
    }
}

/// Runs Schemathesis in `folder`, prints what it says, and returns its report.
async fn judge(stage: &Stage, folder: &Path, options: &[&str], seed: u32) -> Value {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/experiments/schemathesis.toml");
    let mut command = Command::new(tools::schemathesis().unwrap());
    command.current_dir(folder).arg("--config-file").arg(config).args(["run", "openapi.json", "--no-color"]);
    command.args(["--url", &stage.made.api_url, "--header", &format!("Authorization: Bearer {}", stage.token("ann"))]);
    command.args(["--seed", &seed.to_string(), "--workers", WORKERS, "--generation-database", "none"]).args(options);
    // The order of Python's sets is one thing less in which two runs of a seed differ; the two workers are another.
    command.env("PYTHONHASHSEED", "0");
    command.args(["--max-failures", "20", "--request-timeout", "40"]);
    command.args(["--report", "json", "--report-json-path", "report.json"]);
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let [said, faults] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    println!("{said}{faults}");
    assert!(ended.status.success() || ended.status.code() == Some(FOUND), "Schemathesis did not run: {}", ended.status);
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap()
}
