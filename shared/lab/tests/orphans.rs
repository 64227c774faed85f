//! Nothing outlives its owner, not even when the owner is killed.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::folder::Folder;
use isotherm_lab::ministack::{Ministack, MinistackOptions};
use isotherm_lab::postgres::{Postgres, StartOptions};
use isotherm_lab::process::{Process, ProcessSpec, eventually};
use nix::sys::signal::Signal;

/// A shell that starts a child which ignores SIGTERM, and writes its process id to `grandchild`.
fn family(name: &'static str) -> ProcessSpec {
    let script = "(trap '' TERM; sleep 1000) & echo $! > grandchild; wait";
    ProcessSpec {
        name,
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        environment: Vec::new(),
        folder: Folder::temporary(name),
        stop_signal: Signal::SIGTERM,
        stop_grace: Duration::from_secs(1),
    }
}

async fn grandchild(process: &Process) -> String {
    let file = process.folder().join("grandchild");
    let read = || std::fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
    eventually("a grandchild", async || !read().is_empty()).await.unwrap();
    read()
}

fn is_running(pid: &str) -> bool {
    // A zombie has an empty command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty())
}

/// Run only by the test below, which kills it. By itself it starts everything and ends at once.
#[tokio::test]
#[ignore = "the victim of another test"]
async fn victim() {
    let process = family("family").start().unwrap();
    let (anvil, postgres, ministack) = tokio::join!(
        Anvil::start(AnvilOptions::deterministic()),
        Postgres::start(StartOptions::default()),
        Ministack::start(MinistackOptions::default()),
    );
    let (anvil, postgres, ministack) = (anvil.unwrap(), postgres.unwrap(), ministack.unwrap());
    println!("trace {} {}", grandchild(&process).await, process.folder().display());
    for process in [&process, anvil.process(), postgres.process(), ministack.process()] {
        println!("trace {} {}", process.pid(), process.folder().display());
        println!("trace {} {}", process.guardian_pid(), process.folder().display());
    }
    println!("ready");
    let _ = std::io::stdin().read(&mut [0]);
}

#[tokio::test]
async fn killed_owner_leaves_no_process_and_no_folder() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut traces: Vec<(String, PathBuf)> = Vec::new();
    for line in BufReader::new(victim.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "ready" {
            break;
        }
        if let ["trace", pid, folder] = line.split(' ').collect::<Vec<_>>()[..] {
            traces.push((pid.to_owned(), PathBuf::from(folder)));
        }
    }
    assert_eq!(traces.len(), 9, "the victim started everything");
    assert!(traces.iter().all(|(pid, folder)| is_running(pid) && folder.exists()));
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the end of everything", async || {
        traces.iter().all(|(pid, folder)| !is_running(pid) && !folder.exists())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn dropping_a_process_takes_its_whole_session() {
    let process = family("session").start().unwrap();
    let (pid, folder) = (grandchild(&process).await, process.folder().to_path_buf());
    assert!(is_running(&pid));
    drop(process);
    eventually("the grandchild's end", async || !is_running(&pid)).await.unwrap();
    assert!(!folder.exists());
}

#[tokio::test]
async fn process_that_ends_early_is_an_error_with_its_last_lines() {
    let folder = Folder::temporary("early");
    let spec = ProcessSpec {
        name: "early",
        command: vec!["/bin/sh".into(), "-c".into(), "echo no such luck >&2; exit 3".into()],
        environment: Vec::new(),
        folder: folder.clone(),
        stop_signal: Signal::SIGTERM,
        stop_grace: Duration::from_secs(1),
    };
    let process = spec.start().unwrap();
    let message = process.wait_until_ready(async || false).await.unwrap_err().to_string();
    assert!(message.contains("status 3") && message.contains("no such luck"), "{message}");
    drop(process);
    assert!(!folder.path().exists());
}

#[tokio::test]
async fn folder_of_a_process_that_never_started_goes_too() {
    let prepared = family("unstarted").prepare().unwrap();
    let folder = prepared.folder().to_path_buf();
    assert!(folder.exists());
    drop(prepared);
    assert!(!Path::new(&folder).exists());
}
