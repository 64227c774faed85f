//! Without a prompt: arguments, files and standard input.

use std::fs;

use isotherm_lab::process::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::process::Child;

use crate::scene::{Ended, Scene};
use crate::server::FILE;

#[tokio::test]
async fn the_request_has_what_the_options_say() {
    let scene = Scene::new().await;
    let options = ["--as-of", "demo:7", "-p", "a=1", "--param", "b=0xab", "--mode", "interactive", "--format", "csv"];
    let ended = scene.run(&[&options[..], &["--timeout-seconds", "5", "select $a, $b"]].concat()).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "n\n1\n2\n"), "{ended:?}");
    let request = &scene.server.requests()[0];
    let mut expected = json!({
        "sql": "select $a, $b", "parameters": { "a": 1, "b": "0xab" }, "format": "csv", "mode": "interactive",
        "timeout_seconds": 5, "as_of_block": { "chain": "demo", "block": 7 },
    });
    expected["query_id"] = request["query_id"].clone();
    assert_eq!(*request, expected);
    assert_eq!(request["query_id"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn statements_run_in_order_until_one_fails() {
    let scene = Scene::new().await;
    let script = "select ';';\n\nwrong form;\nselect 3;\n";
    let ended = scene.run_with_input(&[], script).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stdout.matches("2 rows in 5 ms (demo at block 9)").count(), 1, "{ended:?}");
    assert_eq!(scene.server.statements(), ["select ';'", "wrong form"]);
    assert!(ended.stderr.contains("query.syntax") && ended.stderr.contains("line 3: wrong form"), "{ended:?}");

    let many = scene.run(&["-p", "a=1", "select $a; select 2"]).await;
    assert_eq!(many.code, Some(0), "{many:?}");
    let given: Vec<_> = scene.server.requests().iter().map(|request| request.get("parameters").cloned()).collect();
    assert_eq!(given[2..], [Some(json!({ "a": 1 })), None]);
    let places = scene.run(&["-p", "1=a", "-p", "2=b", "select $1; select ?, ?; select $2"]).await;
    assert_eq!(places.code, Some(0), "{places:?}");
    let given: Vec<_> = scene.server.requests().iter().map(|request| request["parameters"].clone()).collect();
    assert_eq!(given[4..], [json!(["a"]), json!(["a", "b"]), json!({ "2": "b" })]);

    fs::write(scene.path("script.sql"), "select 1; select 2").unwrap();
    let path = scene.path("script.sql").display().to_string();
    let ways = [(["--quiet", "--file", &path], ""), (["-q", "--format=table", "-"], "select 1; select 2")];
    for (arguments, input) in ways {
        let ended = scene.run_with_input(&arguments, input).await;
        assert_eq!((ended.code, ended.stdout.matches("rows").count()), (Some(0), 0), "{ended:?}");
    }
    assert_eq!(scene.server.statements().len(), 11);
    let nothing = scene.run_with_input(&[], " -- nothing\n").await;
    assert!(nothing.code == Some(1) && nothing.stderr.contains("no statement"), "{nothing:?}");
}

#[tokio::test]
async fn rows_go_into_a_file_of_their_own() {
    let scene = Scene::new().await;
    let path = scene.path("rows");
    let name = path.display().to_string();
    let table = scene.run(&["--output", &name, "select 1"]).await;
    assert_eq!((table.code, table.stdout.as_str()), (Some(0), ""), "{table:?}");
    assert!(fs::read_to_string(&path).unwrap().contains("│ n │") && table.stderr.contains("2 rows in"), "{table:?}");
    let json = scene.run(&["-o", &name, "--format", "json", "--quiet", "select 1"]).await;
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""), "{json:?}");
    let whole: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((&whole["rows"], &whole["bytes"]), (&json!([[1], [2]]), &json!(16)));
    let two = scene.run(&["--output", &name, "select 1; select 2"]).await;
    assert!(two.code == Some(1) && two.stderr.contains("one statement"), "{two:?}");
}

#[tokio::test]
async fn a_result_that_lies_elsewhere_is_fetched_and_checked() {
    let scene = Scene::new().await;
    let path = scene.path("rows.csv");
    let name = path.display().to_string();
    let whole = scene.run(&["--format", "csv", "--output", &name, "file"]).await;
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert_eq!(fs::read(&path).unwrap(), FILE);
    assert_eq!(scene.run(&["--format", "csv", "file"]).await.stdout.as_bytes(), FILE);

    let other = scene.path("other.csv").display().to_string();
    let altered = scene.run(&["--format", "csv", "--output", &other, "altered"]).await;
    assert!(altered.code == Some(1) && altered.stderr.contains("SHA-256"), "{altered:?}");
    let kept: Vec<_> = fs::read_dir(scene.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!kept.iter().any(|name| name == "other.csv" || name.to_string_lossy().starts_with('.')), "{kept:?}");
    let shown = scene.run(&["file"]).await;
    assert!(shown.code == Some(1) && shown.stderr.contains("--resume"), "{shown:?}");
}

#[tokio::test]
async fn what_cannot_be_is_said_before_anything_is_asked() {
    let scene = Scene::new().await;
    let table: [(&[&str], i32, &str); 6] = [
        (&["--format", "parquet", "select 1"], 1, "--output"),
        (&["-p", "1=a", "-p", "x=b", "select 1"], 1, "not both"),
        (&["-p", "a", "select 1"], 2, "NAME=VALUE"),
        (&["--as-of", "yesterday", "select 1"], 2, "CHAIN:NUMBER"),
        (&["--resume", "7"], 2, "--resume"),
        (&["--file", "x.sql", "select 1"], 2, "cannot be used with"),
    ];
    for (arguments, code, words) in table {
        let ended = scene.run(arguments).await;
        assert!(ended.code == Some(code) && ended.stderr.contains(words), "{arguments:?}: {ended:?}");
    }
    assert_eq!(scene.server.requests(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_batch_is_waited_for_and_can_be_asked_for_again() {
    let scene = Scene::new().await;
    let ended = scene.run(&["--mode", "batch", "batch"]).await;
    assert!(ended.code == Some(0) && ended.stdout.contains("2 rows in"), "{ended:?}");
    let asked = scene.server.requests()[0].clone();
    assert_eq!((&asked["mode"], asked.get("timeout_seconds")), (&json!("batch"), None));
    let id = asked["query_id"].as_str().unwrap();
    assert_eq!(scene.server.ids("query_status"), [id, id], "running, then done");
    let again = scene.run(&["--resume", id, "--format", "csv"]).await;
    assert_eq!((again.code, again.stdout.as_bytes()), (Some(0), FILE), "{again:?}");
    let cancelled = scene.run(&["--cancel", id]).await;
    assert!(cancelled.code == Some(0) && cancelled.stdout.contains("is cancelled"), "{cancelled:?}");
    assert_eq!(scene.server.ids("cancel_query"), [id]);
}

#[tokio::test]
async fn ctrl_c_cancels_a_query_that_is_waited_for() {
    let scene = Scene::new().await;
    let child = scene.command(&["hold"]).spawn().unwrap();
    let id = scene.server.held().await;
    interrupt(&child);
    let ended = Ended::of(child.wait_with_output().await.unwrap());
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(scene.server.ids("cancel_query").contains(&id), "{:?}", scene.server.requests());
}

#[tokio::test]
async fn ctrl_c_leaves_a_batch_alone_and_says_how_to_come_back() {
    let scene = Scene::new().await;
    let child = scene.command(&["batch"]).spawn().unwrap();
    eventually("a look at the query", async || !scene.server.ids("query_status").is_empty()).await.unwrap();
    interrupt(&child);
    let ended = Ended::of(child.wait_with_output().await.unwrap());
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let id = scene.server.requests()[0]["query_id"].as_str().unwrap().to_owned();
    assert!(ended.stderr.contains(&format!("--resume {id}")), "{ended:?}");
    assert_eq!(scene.server.ids("cancel_query"), Vec::<String>::new());
}

/// Red switch: the word for its end is refused, as nobody knows the query yet, and its end is told all the same.
#[tokio::test]
async fn ctrl_c_claims_no_end_of_a_batch_that_was_not_recorded_yet() {
    let scene = Scene::new().await;
    let child = scene.command(&["--mode", "batch", "late"]).spawn().unwrap();
    let id = scene.server.held().await;
    interrupt(&child);
    let ended = Ended::of(child.wait_with_output().await.unwrap());
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stderr.contains(&format!("--resume {id}")) && !ended.stderr.contains("cancelled"), "{ended:?}");
    assert!(scene.server.ids("cancel_query").contains(&id), "{:?}", scene.server.requests());
}

#[tokio::test]
async fn an_answer_that_is_there_before_the_word_comes_all_the_same() {
    let scene = Scene::new().await;
    let child = scene.command(&["quick"]).spawn().unwrap();
    scene.server.held().await;
    interrupt(&child);
    let ended = Ended::of(child.wait_with_output().await.unwrap());
    assert!(ended.code == Some(0) && ended.stdout.contains("2 rows in"), "{ended:?}");
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(child.id().unwrap().cast_signed()), Signal::SIGINT).unwrap();
}
