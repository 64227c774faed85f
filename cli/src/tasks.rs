//! `isotherm tasks`: look at the work.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use isotherm_control::task::TaskState;
use isotherm_control::tasks::{self, TaskDetails, TaskFilter, TaskRow};
use isotherm_types::TaskId;
use serde_json::{Value, json};

use crate::args::{Output, State, TasksArguments, TasksCommand};
use crate::home::Home;
use crate::output::say;
use crate::{figures, output};

pub(crate) async fn run(home: &Home, arguments: &TasksArguments) -> anyhow::Result<ExitCode> {
    let stack = home.expect_running()?;
    let mut conn = figures::connect(&stack.database_url).await?;
    match arguments.command {
        TasksCommand::List { state, limit, output } => {
            let filter = TaskFilter { state: state.map(State::of_task), job: None, limit };
            let rows = tasks::list(&mut conn, &filter).await.context("could not list the tasks")?;
            match output {
                Output::Table => print_list(&rows),
                Output::Json => print_json(&rows.iter().map(task_json).collect::<Vec<_>>())?,
            }
        }
        TasksCommand::Show { task, output } => {
            let details =
                tasks::show(&mut conn, TaskId(task)).await.with_context(|| format!("could not show task {task}"))?;
            match output {
                Output::Table => print_details(&details),
                Output::Json => print_json(&details_json(&details))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
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

fn print_list(rows: &[TaskRow]) {
    let mut table = output::table(
        &["task", "job", "key", "state", "attempt", "started", "took", "last said"],
        &["task", "attempt"],
    );
    for row in rows {
        table.add_row([
            row.task_id.0.to_string(),
            row.job.clone(),
            row.idempotency_key.clone(),
            row.state.as_str().to_owned(),
            row.fence.to_string(),
            row.started_at.map_or_else(String::new, clock_time),
            took(row),
            last_said(row),
        ]);
    }
    say!("{table}");
}

/// The error if there is one, else the operator's last words.
fn last_said(row: &TaskRow) -> String {
    match (&row.error, &row.progress.2) {
        (Some((code, message)), _) => format!("{code}: {message}"),
        (None, Some(words)) => words.clone(),
        (None, None) => String::new(),
    }
}

fn took(row: &TaskRow) -> String {
    match (row.started_at, row.finished_at) {
        (Some(started), Some(finished)) => format!("{} ms", (finished - started).num_milliseconds()),
        _ => String::new(),
    }
}

fn clock_time(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn print_details(details: &TaskDetails) {
    let task = &details.task;
    say!("task {} of job {} ({}), {}", task.task_id.0, task.job, task.operator, task.state.as_str());
    say!("key    {}", task.idempotency_key);
    say!("input  {}", task.input);
    if let Some(result) = &task.output {
        say!("output {result}");
    }
    let mut attempts = output::table(&["attempt", "worker", "started", "finished", "outcome", "error"], &["attempt"]);
    for attempt in &details.attempts {
        let error = attempt.error_code.iter().chain(&attempt.error_message).cloned().collect::<Vec<_>>().join(": ");
        attempts.add_row([
            attempt.fence.to_string(),
            attempt.worker.clone(),
            clock_time(attempt.started_at),
            attempt.finished_at.map_or_else(String::new, clock_time),
            attempt.outcome.clone().unwrap_or_else(|| "running".to_owned()),
            error,
        ]);
    }
    say!("{attempts}");
    let mut trail = output::table(&["when", "who", "what", "from", "to", "why"], &[]);
    for entry in &details.trail {
        trail.add_row([
            clock_time(entry.at),
            entry.actor.clone(),
            entry.action.clone(),
            entry.from_state.clone().unwrap_or_default(),
            entry.to_state.clone().unwrap_or_default(),
            entry.reason.clone().unwrap_or_default(),
        ]);
    }
    say!("{trail}");
    for attempt in &details.attempts {
        if let Some(tail) = attempt.stderr_tail.as_ref().filter(|tail| !tail.is_empty()) {
            say!("end of the log of attempt {}:\n{tail}", attempt.fence);
        }
    }
}

fn task_json(row: &TaskRow) -> Value {
    json!({
        "task_id": row.task_id.0, "job": row.job, "operator": row.operator, "key": row.idempotency_key,
        "state": row.state.as_str(), "fence": row.fence.0, "attempts_left": row.attempts_left, "worker": row.worker,
        "input": row.input, "output": row.output,
        "progress": { "done": row.progress.0, "total": row.progress.1, "message": row.progress.2 },
        "error": row.error.as_ref().map(|(code, message)| json!({ "code": code, "message": message })),
        "created_at": row.created_at, "started_at": row.started_at, "finished_at": row.finished_at,
    })
}

fn details_json(details: &TaskDetails) -> Value {
    let attempts = details.attempts.iter().map(|attempt| {
        json!({
            "fence": attempt.fence, "worker": attempt.worker, "started_at": attempt.started_at,
            "finished_at": attempt.finished_at, "outcome": attempt.outcome, "error_code": attempt.error_code,
            "error_message": attempt.error_message, "stderr_tail": attempt.stderr_tail,
        })
    });
    let trail = details.trail.iter().map(|entry| {
        json!({
            "at": entry.at, "actor": entry.actor, "action": entry.action, "from": entry.from_state,
            "to": entry.to_state, "reason": entry.reason,
        })
    });
    let mut whole = task_json(&details.task);
    whole["attempts"] = attempts.collect();
    whole["trail"] = trail.collect();
    whole
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value).context("could not write JSON")?);
    Ok(())
}
