//! `isotherm tasks`: look at the work, retry it, take it back.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_control::task::TaskState;
use isotherm_control::tasks::{self, Cancelled, Retried, TaskFilter};
use isotherm_types::TaskId;
use serde_json::{Value, json};

use crate::args::{ListTasks, Output, State, TasksArguments, TasksCommand};
use crate::connected::{Connected, actor};
use crate::home::Home;
use crate::output;
use crate::output::say;

mod logs;
mod view;

pub(crate) async fn run(home: &Home, arguments: &TasksArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    match &arguments.command {
        TasksCommand::List(wanted) => list(&mut connected, wanted).await,
        TasksCommand::Show { task, printed } => {
            let details = show(&mut connected, *task).await?;
            output::show(printed.output, &view::details_json(&details), || view::print_details(&details))?;
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::Logs { task, attempt, printed } => {
            let details = show(&mut connected, *task).await?;
            let folder = home.stack_folder(&connected.stack.kind).join("logs");
            let logs = logs::of(&details, *attempt, &folder)?;
            output::show(printed.output, &logs::to_json(&logs), || logs::print(&logs))?;
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::Retry { tasks, reason, printed } => retry(&mut connected, tasks, reason, printed.output).await,
        TasksCommand::Cancel { tasks, reason, printed } => cancel(&mut connected, tasks, reason, printed.output).await,
    }
}

async fn list(connected: &mut Connected, wanted: &ListTasks) -> anyhow::Result<ExitCode> {
    let filter = TaskFilter {
        state: if wanted.failed { Some(TaskState::Failed) } else { wanted.state.map(State::of_task) },
        job: wanted.job.clone(),
        operator: wanted.operator.clone(),
        since: wanted.since,
        limit: wanted.limit,
    };
    let rows = tasks::list(&mut connected.conn, &filter).await.context("could not list the tasks")?;
    let json = rows.iter().map(view::task_json).collect();
    output::show(wanted.printed.output, &json, || view::print_list(&rows))?;
    Ok(ExitCode::SUCCESS)
}

async fn show(connected: &mut Connected, task: i64) -> anyhow::Result<tasks::TaskDetails> {
    tasks::show(&mut connected.conn, TaskId(task)).await.with_context(|| format!("could not show task {task}"))
}

impl State {
    fn of_task(self) -> TaskState {
        match self {
            Self::Queued => TaskState::Queued,
            Self::Running => TaskState::Running,
            Self::Completed => TaskState::Completed,
            Self::Failed => TaskState::Failed,
            Self::Cancelled => TaskState::Cancelled,
        }
    }
}

/// What became of one task of several.
struct Outcome {
    task_id: TaskId,
    /// Whether it is as asked now.
    done: bool,
    /// Stable word.
    word: &'static str,
    message: String,
}

async fn retry(connected: &mut Connected, tasks: &[i64], reason: &str, printed: Output) -> anyhow::Result<ExitCode> {
    let mut outcomes = Vec::with_capacity(tasks.len());
    for &task in tasks {
        let task_id = TaskId(task);
        let retried = tasks::retry(&mut connected.conn, task_id, &actor(), reason).await;
        outcomes.push(match retried {
            Ok(retried @ Retried::Now { .. }) => {
                let task = show(connected, task).await?.task;
                let (word, message) = describe_retry(task_id, &retried);
                Outcome { task_id, done: true, word, message: format!("{message}; {}", task.wait.reason()) }
            }
            Ok(retried) => {
                let (word, message) = describe_retry(task_id, &retried);
                Outcome { task_id, done: false, word, message }
            }
            Err(error) => fault(task_id, error),
        });
    }
    if outcomes.iter().any(|outcome| outcome.done) {
        connected.sweep().await;
    }
    print_outcomes(&outcomes, printed)
}

/// Stable word and sentence for what became of a retry.
pub(crate) fn describe_retry(task_id: TaskId, retried: &Retried) -> (&'static str, String) {
    match retried {
        Retried::Now { attempts } => ("retried", format!("{task_id} is queued again with {attempts} attempts")),
        Retried::Live(state) => ("live", format!("{task_id} is {state}: there is nothing to retry")),
        Retried::Completed => (
            "completed",
            format!("{task_id} is completed; to do its work again, run its job with another key (`isotherm jobs run`)"),
        ),
        Retried::SourceIsLive(other) => {
            ("source_is_live", format!("{task_id} is an old task of a source, of which {other} is alive"))
        }
        Retried::MovedOn => ("moved_on", format!("{task_id} was changed by somebody else just now; look at it again")),
    }
}

async fn cancel(connected: &mut Connected, tasks: &[i64], reason: &str, printed: Output) -> anyhow::Result<ExitCode> {
    let mut outcomes = Vec::with_capacity(tasks.len());
    for &task in tasks {
        let task_id = TaskId(task);
        let cancelled = tasks::cancel(&mut connected.conn, task_id, &actor(), reason).await;
        outcomes.push(match cancelled {
            Ok(Cancelled::Now) => {
                Outcome { task_id, done: true, word: "cancelled", message: format!("{task_id} is cancelled") }
            }
            Ok(Cancelled::AlreadyOver(state)) => {
                let message = format!("{task_id} is {state}: there is nothing to cancel");
                Outcome { task_id, done: false, word: "already_over", message }
            }
            Err(error) => fault(task_id, error),
        });
    }
    print_outcomes(&outcomes, printed)
}

fn fault(task_id: TaskId, error: isotherm_control::ControlError) -> Outcome {
    Outcome { task_id, done: false, word: "error", message: format!("{:#}", anyhow::Error::new(error)) }
}

/// Exit code 1 if any is not as asked.
fn print_outcomes(outcomes: &[Outcome], printed: Output) -> anyhow::Result<ExitCode> {
    output::show(printed, &outcomes_json(outcomes), || {
        for outcome in outcomes {
            say!("{}{}", if outcome.done { "" } else { "refused: " }, outcome.message);
        }
    })?;
    Ok(if outcomes.iter().all(|outcome| outcome.done) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn outcomes_json(outcomes: &[Outcome]) -> Value {
    let each = |outcome: &Outcome| json!({ "task_id": outcome.task_id.0, "done": outcome.done, "outcome": outcome.word, "message": outcome.message });
    outcomes.iter().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn outcomes_for_programs_are_the_golden_file() {
        let retries = [
            Retried::Now { attempts: 3 },
            Retried::Live(TaskState::Running),
            Retried::Completed,
            Retried::SourceIsLive(TaskId(9)),
            Retried::MovedOn,
        ];
        let outcomes: Vec<Outcome> = (1..)
            .map(TaskId)
            .zip(&retries)
            .map(|(task_id, retried)| {
                let (word, message) = describe_retry(task_id, retried);
                Outcome { task_id, done: word == "retried", word, message }
            })
            .collect();
        golden::check("tasks_retry", &outcomes_json(&outcomes));
    }
}
