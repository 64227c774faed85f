//! The prompt, on a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::scene::{Ended, Scene};

const TERMINAL: &str = include_str!("terminal.py");
const PROMPT: &str = "isotherm> ";

/// Follows the script on a terminal where the prompt runs; what `terminal.py` says if it could not.
async fn follow(scene: &Scene, steps: &Value) -> Ended {
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL, &steps.to_string(), env!("CARGO_BIN_EXE_isotherm"), "--data"]);
    Ended::of(python.arg(scene.folder()).arg("query").kill_on_drop(true).output().await.unwrap())
}

#[tokio::test]
async fn a_person_types_completes_cancels_and_leaves() {
    let scene = Scene::new().await;
    let held = format!("{}/held", scene.server.url);
    let steps = json!([
        // Tab writes the rest of the only column that begins like this; a statement goes over lines until `;`.
        ["see", PROMPT],
        ["type", "select block_nu\t\r"],
        ["see", "\n"],
        ["type", "from blocks;\r"],
        ["see", "2 rows in 5 ms (demo at block 9)"],
        // Ctrl-C on a line clears it.
        ["see", PROMPT],
        ["type", "select garbage"],
        ["see", "garbage"],
        ["type", "\u{3}"],
        ["see", "\n"],
        // Ctrl-C while a query runs cancels it on the server, and the prompt is there again.
        ["see", PROMPT],
        ["type", "hold;\r"],
        ["fetch", held],
        ["type", "\u{3}"],
        ["see", "the query was cancelled"],
        ["see", PROMPT],
        ["type", "wrong form;\r"],
        ["see", "line 1: wrong form"],
        ["see", "^"],
        ["see", PROMPT],
        ["type", "\\as_of 7\r"],
        ["see", "isotherm @7> "],
        ["type", "\\nope\r"],
        ["see", "there is no command"],
        ["see", "isotherm @7> "],
        ["type", "\\d logs\r"],
        ["see", "log_index"],
        ["see", "isotherm @7> "],
        ["type", "\\saved\r"],
        ["see", "tips"],
        ["see", "isotherm @7> "],
        ["type", "\\state\r"],
        ["see", "0xab"],
        ["see", "isotherm @7> "],
        ["type", "\u{4}"],
        ["end", 0],
    ]);
    let ended = follow(&scene, &steps).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let statements = scene.server.statements();
    assert_eq!(statements, ["select block_number\nfrom blocks", "hold", "wrong form", "select 1"], "{statements:?}");
    let held = scene.server.held().await;
    assert!(scene.server.ids("cancel_query").contains(&held));
    assert_eq!(scene.server.requests().last().unwrap()["as_of_block"], json!(7));

    let history = scene.path("query_history");
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let history = fs::read_to_string(history).unwrap();
    assert!(history.contains("hold;") && !history.contains("garbage"), "{history}");
}

#[tokio::test]
async fn what_was_typed_in_one_session_is_there_in_the_next() {
    let scene = Scene::new().await;
    let first = json!([
        ["see", PROMPT],
        ["type", "select 42;\r"],
        ["see", "2 rows in"],
        ["see", PROMPT],
        ["type", "\\q\r"],
        ["end", 0]
    ]);
    // Up twice: the last line, which was `\q`, then the statement.
    let second = json!([
        ["see", PROMPT],
        ["type", "\u{1b}[A\u{1b}[A\r"],
        ["see", "2 rows in"],
        ["see", PROMPT],
        ["type", "\u{4}"],
        ["end", 0]
    ]);
    for steps in [first, second] {
        let ended = follow(&scene, &steps).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    assert_eq!(scene.server.statements(), ["select 42", "select 42"]);
}

#[tokio::test]
async fn rows_are_written_a_line_a_value_after_x() {
    let scene = Scene::new().await;
    let steps = json!([
        ["see", PROMPT],
        ["type", "\\x\r"],
        ["see", "\n"],
        ["see", PROMPT],
        ["type", "select 1;\r"],
        ["see", "row 1"],
        ["see", "2 rows in"],
        ["see", PROMPT],
        ["type", "\\q\r"],
        ["end", 0]
    ]);
    let ended = follow(&scene, &steps).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
