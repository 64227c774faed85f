//! Statements one after the other, without a prompt.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use uuid::Uuid;

use super::ask::{Interrupts, Outcome, Server, left_running};
use super::reply::QueryFault;
use super::request::Settings;
use super::target::Target;
use super::{deliver, fault, screen, statements};

/// Exit code of a command that Ctrl-C has ended. **Source**: 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs the statements of `text` until one fails.
///
/// # Errors
/// If there is none, or the server cannot be reached.
pub(super) async fn run(
    server: &Server,
    text: &str,
    settings: &Settings,
    output: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let statements = statements::split(text);
    if statements.is_empty() {
        bail!("there is no statement to run");
    }
    if let (Some(path), 2..) = (output, statements.len()) {
        bail!("{} takes the answer of one statement, and there are {}", path.display(), statements.len());
    }
    let mut interrupts = Interrupts::listen()?;
    let is_alone = statements.len() == 1;
    for statement in statements {
        let query_id = Uuid::now_v7();
        let own = if is_alone { settings.clone() } else { settings.for_one_of_many(statement.text) };
        let outcome = server.ask(statement.text, &own, query_id, &mut interrupts).await?;
        let describe = |fault: &QueryFault| fault::describe(text, statement.offset, fault);
        let code = end(outcome, query_id, settings, output, &mut interrupts, describe).await?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for a query that runs on its own, and writes its answer.
///
/// # Errors
/// If the server cannot be reached.
pub(super) async fn resume(
    server: &Server,
    query_id: Uuid,
    settings: &Settings,
    output: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let outcome = server.resume(query_id, settings.quiet, &mut interrupts).await?;
    // Its text is not known here, so that no place in it can be shown.
    let describe = |fault: &QueryFault| fault::describe("", 0, fault);
    end(outcome, query_id, settings, output, &mut interrupts, describe).await
}

async fn end(
    outcome: Outcome,
    query_id: Uuid,
    settings: &Settings,
    output: Option<&Path>,
    interrupts: &mut Interrupts,
    describe: impl Fn(&QueryFault) -> String,
) -> anyhow::Result<ExitCode> {
    match outcome {
        Outcome::Answered(answer) => {
            let target = output.map_or(Target::Screen, Target::File);
            deliver::deliver(&answer, query_id, settings, target, screen::width(), interrupts).await?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Refused(fault) => {
            eprint!("{}", describe(&fault));
            Ok(ExitCode::FAILURE)
        }
        Outcome::Cancelled => {
            eprintln!("isotherm: the query was cancelled");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Outcome::LeftRunning => {
            eprintln!("isotherm: {}", left_running(query_id));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// The text of a file, or of standard input if it is called `-`.
///
/// # Errors
/// If it cannot be read, or is no text.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("could not read the statements from standard input")?;
    Ok(text)
}
