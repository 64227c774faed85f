//! Dead letters for people and for programs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use isotherm_control::tasks::{DeadTask, SinceThen};
use isotherm_platform::dead_letters::DeadLetter;
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::{instant, maybe_instant, say, table};

/// Longest body in a table; JSON has all of it.
const BODY_WIDTH: usize = 80;

/// All dead letters that could be seen.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) failed_tasks: Vec<Letter>,
    pub(super) messages: Vec<Letter>,
    /// Queue → messages that it holds besides.
    pub(super) unseen: BTreeMap<String, u64>,
}

/// One message.
#[derive(Serialize)]
pub(super) struct Letter {
    queue: String,
    message_id: String,
    group: String,
    receive_count: u64,
    first_received_at: Option<DateTime<Utc>>,
    sent_at: Option<DateTime<Utc>>,
    pub(super) body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<TaskLetter>,
}

/// The task that failed for good.
#[derive(Serialize)]
pub(super) struct TaskLetter {
    task_id: i64,
    job: String,
    fence: i64,
    code: String,
    failed_at: DateTime<Utc>,
    since: &'static str,
}

impl From<&DeadTask> for TaskLetter {
    fn from(task: &DeadTask) -> Self {
        Self {
            task_id: task.task_id.0,
            job: task.job.clone(),
            fence: task.fence.0,
            code: task.code.clone(),
            failed_at: task.failed_at,
            since: task.since.as_str(),
        }
    }
}

impl Letter {
    pub(super) fn new(queue: &str, letter: &DeadLetter) -> Self {
        Self {
            queue: queue.to_owned(),
            message_id: letter.message_id.clone(),
            group: letter.group_id.clone(),
            receive_count: letter.receive_count,
            first_received_at: letter.first_received_at,
            sent_at: letter.sent_at,
            body: letter.body.clone(),
            task: None,
        }
    }
}

pub(super) fn print(shown: &Shown) {
    if shown.failed_tasks.is_empty() && shown.messages.is_empty() {
        say!("no dead letters");
    }
    if !shown.failed_tasks.is_empty() {
        let headings = ["task", "job", "error", "failed (UTC)", "since then", "message"];
        let mut tasks = table(&headings, &["task"]);
        for letter in &shown.failed_tasks {
            let Some(task) = &letter.task else { continue };
            let since = if task.since == SinceThen::Nothing.as_str() { "" } else { task.since };
            tasks.add_row([
                task.task_id.to_string(),
                task.job.clone(),
                task.code.clone(),
                instant(task.failed_at),
                since.replace('_', " "),
                letter.message_id.clone(),
            ]);
        }
        say!("tasks that failed for good (dead_letters):\n{tasks}");
    }
    if !shown.messages.is_empty() {
        let headings = ["queue", "message", "group", "received", "first received (UTC)", "body"];
        let mut messages = table(&headings, &["received"]);
        for letter in &shown.messages {
            messages.add_row([
                letter.queue.clone(),
                letter.message_id.clone(),
                letter.group.clone(),
                letter.receive_count.to_string(),
                maybe_instant(letter.first_received_at),
                shortened(&letter.body),
            ]);
        }
        say!("messages that a reader failed on:\n{messages}");
    }
    for (queue, unseen) in &shown.unseen {
        say!("{queue} holds {unseen} more, behind others of their group or looked at by somebody else just now");
    }
}

/// On one line, cut where it gets long.
fn shortened(body: &str) -> String {
    let line: String = body.chars().take(BODY_WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if body.chars().nth(BODY_WIDTH).is_some() { format!("{line}…") } else { line }
}

pub(super) fn to_json(shown: &Shown) -> Value {
    json!({
        "failed_tasks": shown.failed_tasks, "messages": shown.messages, "unseen": shown.unseen,
        "complete": shown.unseen.is_empty(),
    })
}

/// What became of one letter.
pub(super) struct Outcome {
    message_id: String,
    /// Whether it is as asked now.
    pub(super) done: bool,
    /// Stable word.
    pub(super) word: &'static str,
    message: String,
}

impl Outcome {
    pub(super) fn done(letter: &DeadLetter, word: &'static str, message: String) -> Self {
        Self { message_id: letter.message_id.clone(), done: true, word, message }
    }

    pub(super) fn refused(letter: &DeadLetter, word: &'static str, message: String) -> Self {
        Self { message_id: letter.message_id.clone(), done: false, word, message }
    }

    pub(super) fn absent(message_id: &str, queue: &str) -> Self {
        let message =
            format!("message {message_id} was not found in {queue}: it is gone, or behind others of its group");
        Self { message_id: message_id.to_owned(), done: false, word: "not_found", message }
    }
}

pub(super) fn print_outcomes(outcomes: &[Outcome]) {
    if outcomes.is_empty() {
        say!("no dead letters");
    }
    for outcome in outcomes {
        say!("{}{}", if outcome.done { "" } else { "refused: " }, outcome.message);
    }
}

pub(super) fn outcomes_json(outcomes: &[Outcome]) -> Value {
    let each = |outcome: &Outcome| {
        json!({
            "message_id": outcome.message_id, "done": outcome.done, "outcome": outcome.word,
            "message": outcome.message,
        })
    };
    outcomes.iter().map(each).collect()
}

#[cfg(test)]
mod tests {
    use isotherm_types::{EventId, Fence, TaskId};

    use super::*;
    use crate::golden;

    fn letter(queue: &str, body: &str) -> Letter {
        Letter {
            queue: queue.to_owned(),
            message_id: "4fbb58a6-5f33-4f0f-b4a5-0b5f1c7a9d0e".to_owned(),
            group: "org-1-job-1".to_owned(),
            receive_count: 5,
            first_received_at: Some("2026-11-26T10:00:00Z".parse().unwrap()),
            sent_at: Some("2026-11-26T09:59:00Z".parse().unwrap()),
            body: body.to_owned(),
            task: None,
        }
    }

    #[test]
    fn dead_letters_for_programs_are_the_golden_files() {
        let dead = DeadTask {
            event_id: EventId(4),
            task_id: TaskId(7),
            job: "work".to_owned(),
            fence: Fence(2),
            code: "noop.failed".to_owned(),
            failed_at: "2026-11-26T09:59:00Z".parse().unwrap(),
            since: SinceThen::FailedAgain,
        };
        let failed = letter("dead_letters", r#"{"version":1,"event_id":4}"#);
        let shown = Shown {
            failed_tasks: vec![Letter { task: Some(TaskLetter::from(&dead)), ..failed }],
            messages: vec![letter("events-dlq", "{")],
            unseen: BTreeMap::from([("events-dlq".to_owned(), 2)]),
        };
        golden::check("dlq_list", &to_json(&shown));
        golden::check("dlq_redrive", &outcomes_json(&[Outcome::absent("4fbb58a6", "events-dlq")]));
    }

    #[test]
    fn a_body_is_shown_on_one_line() {
        assert_eq!(shortened("{\n}"), "{ }");
        assert_eq!(shortened(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
    }
}
