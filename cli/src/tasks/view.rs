//! Tasks for people and for programs.

use isotherm_control::task::TaskState;
use isotherm_control::tasks::{AnsweredEvent, Attempt, TaskDetails, TaskRow, Wait};
use serde_json::{Value, json};

use crate::output::{instant, maybe_instant, say, table};

pub(super) fn print_list(rows: &[TaskRow]) {
    let mut table = table(
        &[
            "task",
            "job",
            "key",
            "state",
            "priority",
            "used/left",
            "started (UTC)",
            "took",
            "why it waits, or last said",
        ],
        &["task", "priority", "used/left", "took"],
    );
    for row in rows {
        table.add_row([
            row.task_id.0.to_string(),
            row.job.clone(),
            row.idempotency_key.clone(),
            row.state.as_str().to_owned(),
            row.priority.to_string(),
            attempts(row),
            maybe_instant(row.started_at),
            took(row),
            last_said(row),
        ]);
    }
    say!("{table}");
}

/// Tries made and tries left; a source has no end of them.
fn attempts(row: &TaskRow) -> String {
    if row.always_on {
        return format!("{}/∞", row.attempts_used);
    }
    format!("{}/{}", row.attempts_used, row.attempts_left)
}

/// Why it waits, with the error that made it; else the error if there is one, else the operator's last words.
fn last_said(row: &TaskRow) -> String {
    let error = row.error.as_ref().map(|(code, message)| format!("{code}: {message}"));
    match (row.state, error) {
        (TaskState::Queued, None) => row.wait.reason().to_string(),
        (TaskState::Queued, Some(error)) => format!("{}; last error {error}", row.wait.reason()),
        (_, Some(error)) => error,
        (_, None) => row.progress.2.clone().unwrap_or_default(),
    }
}

fn took(row: &TaskRow) -> String {
    match (row.started_at, row.finished_at) {
        (Some(started), Some(finished)) => format!("{} ms", (finished - started).num_milliseconds()),
        _ => String::new(),
    }
}

pub(super) fn print_details(details: &TaskDetails) {
    let task = &details.task;
    say!("task {} of job {} ({}), {}", task.task_id.0, task.job, task.operator, task.state);
    if task.state == TaskState::Queued {
        say!("waits    {}", task.wait.reason());
    }
    say!("key      {}", task.idempotency_key);
    say!("priority {}", task.priority);
    say!("attempts {} used/left, {} allowed by the job", attempts(task), task.max_attempts);
    say!("created  {}", instant(task.created_at));
    say!("input    {}", task.input);
    if let Some(result) = &task.output {
        say!("output   {result}");
    }
    if let Some(arn) = &task.ecs_task_arn {
        say!("ECS task {arn}");
    }
    if !details.inputs.is_empty() {
        print_inputs(&details.inputs);
    }
    let headings = ["attempt", "worker", "started (UTC)", "finished (UTC)", "outcome", "exit", "error"];
    let mut attempts = table(&headings, &["attempt"]);
    for attempt in &details.attempts {
        let error = attempt.error_code.iter().chain(&attempt.error_message).cloned().collect::<Vec<_>>().join(": ");
        attempts.add_row([
            attempt.fence.to_string(),
            attempt.worker.clone(),
            instant(attempt.started_at),
            maybe_instant(attempt.finished_at),
            attempt.outcome.clone().unwrap_or_else(|| "running".to_owned()),
            exit(attempt),
            error,
        ]);
    }
    say!("{attempts}");
    let mut trail = table(&["when (UTC)", "who", "what", "from", "to", "why"], &[]);
    for entry in &details.trail {
        trail.add_row([
            instant(entry.at),
            entry.actor.clone(),
            entry.action.clone(),
            entry.from_state.clone().unwrap_or_default(),
            entry.to_state.clone().unwrap_or_default(),
            entry.reason.clone().unwrap_or_default(),
        ]);
    }
    say!("{trail}");
    if details.attempts.iter().any(|attempt| attempt.stderr_tail.as_ref().is_some_and(|tail| !tail.is_empty())) {
        say!("the attempts' logs: `isotherm tasks logs {}`", task.task_id.0);
    }
}

fn print_inputs(inputs: &[AnsweredEvent]) {
    let mut shown = table(&["event", "kind", "chain", "dataset", "blocks"], &["event", "chain"]);
    for input in inputs {
        let blocks = match (input.start_block, input.end_block) {
            (Some(start), Some(end)) => format!("{start}..{end}"),
            _ => String::new(),
        };
        shown.add_row([
            input.event_id.to_string(),
            input.kind.clone(),
            input.chain_id.map_or_else(String::new, |chain_id| chain_id.to_string()),
            input.dataset.clone().unwrap_or_default(),
            blocks,
        ]);
    }
    say!("{shown}");
}

/// How the operator's process ended.
fn exit(attempt: &Attempt) -> String {
    match (attempt.exit_code, attempt.exit_signal) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => String::new(),
    }
}

pub(super) fn task_json(row: &TaskRow) -> Value {
    json!({
        "task_id": row.task_id.0, "job": row.job, "operator": row.operator, "key": row.idempotency_key,
        "state": row.state.as_str(), "priority": row.priority, "fence": row.fence.0, "always_on": row.always_on,
        "attempts_used": row.attempts_used, "attempts_left": row.attempts_left, "max_attempts": row.max_attempts,
        "waits": (row.state == TaskState::Queued).then(|| wait_json(row.wait.reason())),
        "worker": row.worker, "ecs_task_arn": row.ecs_task_arn, "input": row.input, "output": row.output,
        "progress": { "done": row.progress.0, "total": row.progress.1, "message": row.progress.2 },
        "error": row.error.as_ref().map(|(code, message)| json!({ "code": code, "message": message })),
        "created_at": row.created_at, "started_at": row.started_at, "finished_at": row.finished_at,
    })
}

fn wait_json(wait: Wait) -> Value {
    let until = match wait {
        Wait::BackOff { until } => Some(until),
        _ => None,
    };
    json!({ "reason": wait.as_str(), "message": wait.to_string(), "until": until })
}

pub(super) fn details_json(details: &TaskDetails) -> Value {
    let inputs = details.inputs.iter().map(|input| {
        json!({
            "event_id": input.event_id, "kind": input.kind, "chain_id": input.chain_id, "dataset": input.dataset,
            "start_block": input.start_block, "end_block": input.end_block,
        })
    });
    let attempts = details.attempts.iter().map(|attempt| {
        json!({
            "fence": attempt.fence, "worker": attempt.worker, "started_at": attempt.started_at,
            "finished_at": attempt.finished_at, "outcome": attempt.outcome, "error_code": attempt.error_code,
            "error_message": attempt.error_message, "stderr_tail": attempt.stderr_tail,
            "exit_code": attempt.exit_code, "exit_signal": attempt.exit_signal,
        })
    });
    let trail = details.trail.iter().map(|entry| {
        json!({
            "at": entry.at, "actor": entry.actor, "action": entry.action, "from": entry.from_state,
            "to": entry.to_state, "reason": entry.reason,
        })
    });
    let mut whole = task_json(&details.task);
    whole["inputs"] = inputs.collect();
    whole["attempts"] = attempts.collect();
    whole["trail"] = trail.collect();
    whole
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::{DateTime, Utc};
    use isotherm_control::audit;
    use isotherm_control::tasks::WaitFacts;
    use isotherm_types::{Fence, TaskId};

    use super::*;
    use crate::golden;

    fn at(second: u32) -> DateTime<Utc> {
        format!("2026-11-26T10:00:{second:02}Z").parse().unwrap()
    }

    fn task(state: TaskState) -> TaskRow {
        TaskRow {
            task_id: TaskId(7),
            job: "work".to_owned(),
            operator: "noop".to_owned(),
            idempotency_key: "trigger-1-tick".to_owned(),
            state,
            fence: Fence(2),
            attempts_left: 1,
            attempts_used: 2,
            max_attempts: 3,
            always_on: false,
            priority: 5,
            wait: WaitFacts {
                not_before: at(30),
                is_due: false,
                job_active: true,
                job_paused: false,
                job_running: 0,
                job_limit: 1,
                org_running: 0,
                org_limit: None,
            },
            worker: None,
            ecs_task_arn: Some("arn:aws:ecs:us-east-1:000000000000:task/isotherm/abc".to_owned()),
            input: json!({ "from": "file" }),
            output: None,
            progress: (Some(3), Some(10), Some("step 3".to_owned())),
            error: Some(("noop.failed".to_owned(), "it was told to".to_owned())),
            created_at: at(0),
            started_at: Some(at(1)),
            finished_at: None,
        }
    }

    /// A task with two attempts.
    pub(in super::super) fn details() -> TaskDetails {
        let attempt = |fence: i64, worker: &str, tail: &str| Attempt {
            fence,
            worker: worker.to_owned(),
            started_at: at(1),
            finished_at: Some(at(2)),
            outcome: Some("failed".to_owned()),
            error_code: Some("noop.failed".to_owned()),
            error_message: Some("it was told to".to_owned()),
            stderr_tail: Some(tail.to_owned()),
            exit_code: Some(1),
            exit_signal: None,
        };
        TaskDetails {
            task: task(TaskState::Queued),
            inputs: vec![AnsweredEvent {
                event_id: 4,
                kind: "partition_committed".to_owned(),
                chain_id: Some(143),
                dataset: Some("logs".to_owned()),
                start_block: Some(0),
                end_block: Some(100),
            }],
            attempts: vec![attempt(1, "noop-a", "first words\n"), attempt(2, "noop-b", "last words\n")],
            trail: vec![audit::Entry {
                at: at(0),
                actor: "dispatcher".to_owned(),
                action: "created".to_owned(),
                from_state: None,
                to_state: Some("queued".to_owned()),
                reason: Some("trigger-1-tick".to_owned()),
            }],
        }
    }

    #[test]
    fn tasks_for_programs_are_the_golden_files() {
        let finished = TaskRow { finished_at: Some(at(9)), ..task(TaskState::Completed) };
        golden::check("tasks_list", &[task(TaskState::Queued), finished].iter().map(task_json).collect());
        golden::check("tasks_show", &details_json(&details()));
    }

    #[test]
    fn a_list_says_why_a_task_waits_or_what_it_last_said() {
        let queued = task(TaskState::Queued);
        assert_eq!(last_said(&queued), "backs off until 2026-11-26T10:00:30Z; last error noop.failed: it was told to");
        let fresh = TaskRow { error: None, ..queued.clone() };
        assert_eq!(last_said(&fresh), "backs off until 2026-11-26T10:00:30Z");
        assert_eq!(last_said(&TaskRow { state: TaskState::Running, ..fresh.clone() }), "step 3");
        assert_eq!(last_said(&TaskRow { state: TaskState::Failed, ..queued }), "noop.failed: it was told to");
        assert_eq!(attempts(&fresh), "2/1");
        assert_eq!(attempts(&TaskRow { always_on: true, ..fresh }), "2/∞");
    }
}
