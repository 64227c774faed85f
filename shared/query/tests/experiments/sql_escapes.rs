//! Hundreds of attempts to get at what is not the asker's, against each of three layers: the gate in front of the
//! engine, the engine's locks, the process. Each must hold with the others gone.
//!
//! The attempts run in a process of its own, the parent of all sandboxes, whose environment, memory and open files hold
//! secrets as a production process's do.

mod corpus;
mod forged;
mod legs;
mod listener;
mod planted;
mod wire;

use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use isotherm_lab::experiment::Experiment;
use isotherm_lab::ministack::account;
use isotherm_types::sandbox::OpenDoor;
use legs::Leg;
use planted::Planted;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// Holds the parent's order.
const ORDER: &str = "ISOTHERM_SQL_ESCAPES";

/// What the parent is to do.
#[derive(Serialize, Deserialize)]
struct Order {
    /// Part of every secret.
    mark: String,
    /// Every how manieth attempt is tried: at the gate, at the other layers.
    strides: (usize, usize),
    /// The guard that is taken out.
    lacks: Option<String>,
    /// Where the report goes.
    report: PathBuf,
}

/// What came of it.
#[derive(Default, Serialize, Deserialize)]
struct Report {
    figures: Vec<(String, String)>,
    /// Name, count, what it must be.
    counts: Vec<(String, i64, i64)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_sql_escapes() {
    let mut experiment = Experiment::begin("sql_escapes", &["gate", "locks", "process"]);
    let folder = tempfile::tempdir().unwrap();
    let (report, log) = (folder.path().join("report.json"), folder.path().join("log"));
    let lacks = ["gate", "locks", "process"].into_iter().find(|guard| experiment.lacks(guard));
    let order = Order {
        mark: account(),
        strides: experiment.scaled((4, 16), (1, 1)),
        lacks: lacks.map(str::to_owned),
        report: report.clone(),
    };
    let output = std::fs::File::create(&log).unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sql_escapes::the_parent", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(ORDER, serde_json::to_string(&order).unwrap())
        .envs(planted::environment(&order.mark))
        .stdin(Stdio::piped())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Open for as long as this process lives.
    let held = parent.stdin.take();
    let status = parent.wait().await.unwrap();
    drop(held);
    let said = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    assert!(status.success() && report.exists(), "the parent ended early:\n{said}");
    println!("{said}");
    let report: Report = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    for (key, value) in report.figures {
        experiment.figure(&key, value);
    }
    for (key, count, expected) in report.counts {
        experiment.equal(&key, count, expected);
    }
    experiment.zero("logged", i64::try_from(planted::revealed(&order.mark, &said).len()).unwrap());
    experiment.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is started by experiment_sql_escapes, with secrets in its environment"]
async fn the_parent() {
    let Some(order) = order() else { return };
    let planted = Planted::new(&order.mark).await;
    let attempts = corpus::attempts();
    let distinct: std::collections::BTreeSet<&str> = attempts.iter().map(|attempt| attempt.sql.as_str()).collect();
    assert!(distinct.len() >= 250, "{} attempts", distinct.len());
    let at_the_gate = corpus::sample(&attempts, order.strides.0);
    let tried = corpus::sample(&attempts, order.strides.1);
    let forged = forged::trees(planted.place("file"), planted.place("out"));
    let lacks = |guard: &str| order.lacks.as_deref() == Some(guard);
    let unlike = |guard, with, without| if lacks(guard) { without } else { with };

    let gate = legs::watched(&planted, legs::gate(&planted, &at_the_gate, !lacks("gate"))).await;
    let session = legs::watched(&planted, legs::session(&planted, &tried, &forged)).await;
    let layers = unlike("locks", ["locked", "bare"], ["open", "bare"]);
    let locks = legs::watched(&planted, legs::raw(&planted, &tried, layers)).await;
    let layers = unlike("process", ["open", "confined"], ["open", "bare"]);
    let process = legs::watched(&planted, legs::raw(&planted, &tried, layers)).await;

    let mut report = Report::default();
    let counts = [("attempts", distinct.len()), ("at_the_gate", at_the_gate.len()), ("at_each_other", tried.len())];
    report.figures.extend(counts.map(|(key, count)| (key.to_owned(), count.to_string())));
    report.figures.push(("forged_trees".to_owned(), forged.len().to_string()));
    report.figures.push(("open_doors".to_owned(), in_words(&process.open_doors)));
    report.add("gate", &gate);
    report.add("session", &session);
    report.add("locks_alone", &locks);
    // A kernel without Landlock has nothing by which the process alone could hold; docs/adr/0025 says so.
    if process.open_doors.iter().any(|door| matches!(door, OpenDoor::Files | OpenDoor::Connections)) {
        report.figures.push(("process_alone".to_owned(), "not_judged".to_owned()));
    } else {
        report.add("process_alone", &process);
    }
    std::fs::write(&order.report, serde_json::to_vec(&report).unwrap()).unwrap();
}

impl Report {
    fn add(&mut self, name: &str, leg: &Leg) {
        for line in leg.let_through.iter().chain(&leg.leaks) {
            // Some of them have megabytes.
            println!("{name}: {}", line.chars().take(300).collect::<String>());
        }
        let length = |list: &[String]| i64::try_from(list.len()).unwrap();
        let figures = [("answered", leg.answered), ("broken_off", leg.broken_off)];
        self.figures.extend(figures.map(|(key, count)| (format!("{name}_{key}"), count.to_string())));
        let zeroes = [
            ("let_through", length(&leg.let_through)),
            ("leaks", length(&leg.leaks)),
            ("written", leg.written),
            ("connections", leg.connections),
        ];
        self.counts.extend(zeroes.map(|(key, count)| (format!("{name}_{key}"), count, 0)));
        self.counts.push((format!("{name}_healthy"), i64::from(leg.healthy), 1));
    }
}

fn in_words(doors: &[OpenDoor]) -> String {
    let words: Vec<String> = doors.iter().map(|door| format!("{door:?}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join("+") }
}

/// The order of this process, which from here on ends when its owner does; `None` if nobody gave one.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
fn order() -> Option<Order> {
    let order = std::env::var(ORDER).ok()?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    Some(serde_json::from_str(&order).expect("the order is JSON"))
}
