//! `isotherm doctor`: is every part there, and what mends it if not.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use isotherm_lab::{LabError, tools};
use isotherm_local_stack::{LocalAws, Stack};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use crate::figures::{self, Figures};
use crate::home::{Home, RunningStack};
use crate::output::say;
use crate::{connected, dlq, machine, output, status};

/// Time after which a part counts as unreachable.
const REACH: Duration = Duration::from_secs(3);
/// Age of an event in the outbox from which on somebody should look: the dispatcher's sweep has passed it by twice.
const OUTBOX_PATIENCE: Duration = Duration::from_secs(120);
/// Space below which a build or a long run is likely to fail.
const MIN_FREE_BYTES: u64 = 5 << 30;

/// One thing that was looked at.
struct Finding {
    part: String,
    outcome: Outcome,
}

enum Outcome {
    Right(String),
    /// Not there, and nothing is wrong with that.
    Absent(String),
    /// It works, and somebody should look at it: the exit code stays 0.
    Warning {
        problem: String,
        mend: String,
    },
    Wrong {
        problem: String,
        mend: String,
    },
}

pub(crate) async fn run(home: &Home) -> anyhow::Result<ExitCode> {
    let mut findings = tool_findings();
    findings.extend(program_findings());
    findings.push(disk_finding(home.base()));
    match home.running()? {
        Some(stack) => findings.extend(stack_findings(&stack).await),
        None => findings.push(Finding {
            part: "running stack".to_owned(),
            outcome: Outcome::Absent(format!(
                "none in {}; `./isotherm demo` or `./isotherm up` starts one",
                home.base().display()
            )),
        }),
    }
    print(&findings);
    let wrong = findings.iter().filter(|finding| matches!(finding.outcome, Outcome::Wrong { .. })).count();
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(findings: &[Finding]) {
    let mut table = output::table(&["part", "", "what was found", "what to do"], &[]);
    for finding in findings {
        let (mark, found, mend) = match &finding.outcome {
            Outcome::Right(found) => ("ok", found.as_str(), ""),
            Outcome::Absent(found) => ("-", found.as_str(), ""),
            Outcome::Warning { problem, mend } => ("warn", problem.as_str(), mend.as_str()),
            Outcome::Wrong { problem, mend } => ("WRONG", problem.as_str(), mend.as_str()),
        };
        table.add_row([finding.part.as_str(), mark, found, mend]);
    }
    say!("{table}");
}

fn finding(part: impl Into<String>, outcome: Result<String, String>, mend: &str) -> Finding {
    let outcome = match outcome {
        Ok(found) => Outcome::Right(found),
        Err(problem) => Outcome::Wrong { problem, mend: mend.to_owned() },
    };
    Finding { part: part.into(), outcome }
}

fn tool_findings() -> Vec<Finding> {
    let duckdb = |file: &str| {
        let path = tools::tools_folder()?.join("duckdb").join(file);
        if path.is_file() { Ok(path) } else { Err(LabError::ToolMissing { tool: "DuckDB", path }) }
    };
    let pieces = [
        ("Postgres", tools::postgres_bin()),
        ("AWS emulator", tools::ministack_python()),
        ("chain node (anvil)", tools::anvil()),
        ("DuckDB library", duckdb("lib/libduckdb.so")),
        ("DuckDB httpfs", duckdb("extensions/httpfs.duckdb_extension")),
    ];
    let mend = "run `./isotherm tools`: it fetches and checks the pinned pieces";
    pieces
        .into_iter()
        .map(|(part, found)| {
            finding(part, found.map(|path| path.display().to_string()).map_err(|error| error.to_string()), mend)
        })
        .collect()
}

fn program_findings() -> Vec<Finding> {
    let listed = || -> anyhow::Result<Vec<String>> {
        let root = tools::repository_root()?;
        let stack = Stack::read(&root.join("terraform/stack.yaml"))?;
        let functions = stack.functions.keys().map(|key| format!("lambda-{key}"));
        let operators = stack.operators.keys().map(|key| format!("operator-{key}"));
        let others = ["operator-worker", "isotherm-sql-sandbox"].map(str::to_owned);
        Ok(functions.chain(operators).chain(others).collect())
    };
    let programs = match listed() {
        Ok(programs) => programs,
        Err(error) => {
            return vec![finding(
                "stack file",
                Err(format!("{error:#}")),
                "mend terraform/stack.yaml as the message says",
            )];
        }
    };
    let folder = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_path_buf)).unwrap_or_default();
    let missing: Vec<&String> = programs.iter().filter(|program| !folder.join(program).is_file()).collect();
    let outcome = if missing.is_empty() {
        Ok(format!("{} in {}", programs.len(), folder.display()))
    } else {
        Err(format!("not built: {}", missing.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")))
    };
    vec![
        finding("stack file", Ok("valid".to_owned()), ""),
        finding("programs", outcome, "run any `./isotherm` command: the script builds them"),
    ]
}

fn disk_finding(folder: &Path) -> Finding {
    let existing = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let free = nix::sys::statvfs::statvfs(existing).map(|stats| stats.blocks_available() * stats.fragment_size());
    let outcome = match free {
        Ok(bytes) if bytes >= MIN_FREE_BYTES => Ok(format!("{} GiB free for {}", bytes >> 30, folder.display())),
        Ok(bytes) => Err(format!("only {} MiB free for {}", bytes >> 20, folder.display())),
        Err(error) => Err(format!("could not look at {}: {error}", existing.display())),
    };
    finding("disk", outcome, "free some space, or name another folder with --data")
}

async fn stack_findings(stack: &RunningStack) -> Vec<Finding> {
    let restart = "`./isotherm down`, then start it again";
    let alive = kill(Pid::from_raw(stack.pid), None).map(|()| format!("{} stack, process {}", stack.kind, stack.pid));
    let mut findings = vec![finding("running stack", alive.map_err(|error| error.to_string()), restart)];
    findings.push(finding("database", database(stack).await.map_err(|error| format!("{error:#}")), restart));
    findings.push(finding("AWS endpoint", reach(&stack.endpoint_url), restart));
    let aws = connected::aws(stack).await;
    let asked = machine::invoke(&aws, "query", &json!({ "sql": "select 1" })).await;
    let query = asked.map(|answer| format!("answers ({} bytes)", answer.len())).map_err(|error| format!("{error:#}"));
    findings.push(finding("query Lambda", query, "look at the emulator's log in the data folder"));
    findings.push(dead_letter_finding(&aws).await);
    findings.extend(figures_findings(stack).await);
    findings
}

async fn dead_letter_finding(aws: &LocalAws) -> Finding {
    let part = "dead letters".to_owned();
    let outcome = match dlq::depths(aws).await {
        Ok(depths) => {
            let depths: BTreeMap<String, u64> = depths.into_iter().filter(|(_, depth)| *depth > 0).collect();
            let words = status::dead_letters_line(&depths);
            warn_unless(depths.is_empty(), words, "`./isotherm dlq list` says more, `dlq redrive` tries again")
        }
        Err(error) => Outcome::Wrong {
            problem: format!("{error:#}"),
            mend: "look at the emulator's log in the data folder".to_owned(),
        },
    };
    Finding { part, outcome }
}

fn warn_unless(right: bool, found: String, mend: &str) -> Outcome {
    if right { Outcome::Right(found) } else { Outcome::Warning { problem: found, mend: mend.to_owned() } }
}

/// What waits longer than it should, and what a person holds back.
fn waiting_findings(figures: &Figures) -> Vec<Finding> {
    let none_is_late = figures.outbox_lag.is_none_or(|lag| lag <= OUTBOX_PATIENCE);
    let jobs = &figures.paused_jobs;
    let paused = if jobs.is_empty() { "none".to_owned() } else { jobs.join(", ") };
    vec![
        Finding {
            part: "outbox".to_owned(),
            outcome: warn_unless(
                none_is_late,
                figures::outbox_line(figures),
                "the dispatcher publishes it once a minute: look for its errors in the emulator's log",
            ),
        },
        Finding {
            part: "paused jobs".to_owned(),
            outcome: warn_unless(jobs.is_empty(), paused, "`./isotherm jobs resume NAME` lets one go on"),
        },
    ]
}

async fn database(stack: &RunningStack) -> anyhow::Result<String> {
    let mut conn = figures::connect(&stack.database_url).await?;
    let figures = figures::collect(&mut conn).await?;
    Ok(figures::line(&figures))
}

/// What the database says: what waits, and one finding a chain: following, or why not.
async fn figures_findings(stack: &RunningStack) -> Vec<Finding> {
    let read = async {
        let mut conn = figures::connect(&stack.database_url).await?;
        figures::collect(&mut conn).await
    };
    let Ok(figures) = read.await else { return Vec::new() };
    let chains = figures.chains.iter().map(|chain| {
        let part = format!("chain {}", chain.cursor.chain);
        match &chain.cursor.halted {
            Some(halt) => finding(
                part,
                Err(format!("halted: {} ({})", halt.message, halt.code)),
                "compare both hashes with a source you trust; docs/operations.md says how",
            ),
            None => {
                finding(part, Ok(format!("following, {} blocks stored", figures::stored_blocks(&chain.cursor))), "")
            }
        }
    });
    waiting_findings(&figures).into_iter().chain(chains).collect()
}

/// Whether something listens at the address of `url`.
fn reach(url: &str) -> Result<String, String> {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(url);
    let connect = || -> anyhow::Result<()> {
        let address = authority.to_socket_addrs()?.next().context("the name has no address")?;
        TcpStream::connect_timeout(&address, REACH)?;
        Ok(())
    };
    connect()
        .map(|()| format!("listens at {authority}"))
        .map_err(|error| format!("{authority} does not answer: {error:#}"))
}
