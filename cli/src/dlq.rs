//! `isotherm dlq`: look at dead letters, send them back, drop them.
//!
//! A letter of `dead_letters` stands for a task that failed for good: sending it back is retrying the task. A letter of a
//! queue's own `-dlq` is a message that its reader failed on: sending it back is sending it to that queue again.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use isotherm_control::tasks::{self, Retried};
use isotherm_control::{audit, events};
use isotherm_local_stack::LocalAws;
use isotherm_platform::dead_letters::{self, DeadLetter, Seen, Selection, Verdict};
use isotherm_types::event::TaskWake;

use crate::args::{DlqArguments, DlqCommand, Meant, Output};
use crate::connected::{Connected, actor};
use crate::home::Home;
use crate::output;
use crate::tasks::describe_retry;

mod queues;
mod view;

use queues::DeadQueue;
pub(crate) use queues::depths;
use view::{Letter, Outcome, Shown};

pub(crate) async fn run(home: &Home, arguments: &DlqArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    let aws = connected.aws().await;
    match &arguments.command {
        DlqCommand::List { printed } => {
            let shown = look(&mut connected, &aws).await?;
            output::show(printed.output, &view::to_json(&shown), || view::print(&shown))?;
            Ok(ExitCode::SUCCESS)
        }
        DlqCommand::Redrive { meant, printed } => redrive(&mut connected, &aws, meant, printed.output).await,
        DlqCommand::Drop { meant, yes, printed } => {
            drop_letters(&mut connected, &aws, meant, *yes, printed.output).await
        }
    }
}

async fn look(connected: &mut Connected, aws: &LocalAws) -> anyhow::Result<Shown> {
    let sqs = aws.sqs();
    let peek = async |queue: DeadQueue| -> anyhow::Result<(DeadQueue, Seen)> {
        let seen = dead_letters::peek(&sqs, &queue.url(aws).await?).await;
        let seen = seen.with_context(|| format!("could not look at {}", queue.name))?;
        Ok((queue, seen))
    };
    let mut shown = Shown::default();
    for (queue, seen) in try_join_all(queues::all()?.into_iter().map(peek)).await? {
        if seen.unseen > 0 {
            shown.unseen.insert(queue.name.clone(), seen.unseen);
        }
        let mut letters: Vec<Letter> = seen.letters.iter().map(|letter| Letter::new(&queue.name, letter)).collect();
        if queue.holds_tasks() {
            add_tasks(connected, &mut letters).await?;
        }
        let (of_tasks, messages): (Vec<_>, Vec<_>) = letters.into_iter().partition(|letter| letter.task.is_some());
        shown.failed_tasks.extend(of_tasks);
        shown.messages.extend(messages);
    }
    Ok(shown)
}

/// Adds to each letter the task that it tells of. One that tells of none stays a mere message.
async fn add_tasks(connected: &mut Connected, letters: &mut [Letter]) -> anyhow::Result<()> {
    let event_id = |letter: &Letter| events::parse_wake(&letter.body).ok().map(|wake| wake.event_id);
    let ids: Vec<_> = letters.iter().filter_map(event_id).collect();
    let dead = tasks::dead(&mut connected.conn, &ids).await.context("could not read the tasks of the dead letters")?;
    for letter in letters {
        let told = event_id(letter);
        letter.task = dead.iter().find(|task| Some(task.event_id) == told).map(view::TaskLetter::from);
    }
    Ok(())
}

async fn redrive(
    connected: &mut Connected,
    aws: &LocalAws,
    meant: &Meant,
    printed: Output,
) -> anyhow::Result<ExitCode> {
    let queue = queues::named(&meant.queue)?;
    let (sqs, url, source) = (aws.sqs(), queue.url(aws).await?, queue.source_url(aws).await?);
    let mut outcomes = Vec::new();
    let decide = async |letter: &DeadLetter| -> anyhow::Result<Verdict> {
        let outcome = match &source {
            Some(source) => {
                dead_letters::send_back(&sqs, source, letter).await?;
                write_down(connected, &queue, letter, "redriven").await?;
                Outcome::done(letter, "redriven", format!("message {} is sent back", letter.message_id))
            }
            None => retry(connected, letter).await?,
        };
        let verdict = if outcome.done { Verdict::Delete } else { Verdict::Keep };
        outcomes.push(outcome);
        Ok(verdict)
    };
    let handled = dead_letters::handle(&sqs, &url, &selection(meant), decide).await;
    if queue.holds_tasks() && outcomes.iter().any(|outcome| outcome.word == "retried") {
        connected.sweep().await;
    }
    finish(meant, &queue, outcomes, handled, printed)
}

/// Retries the task that the letter tells of. The letter goes unless the task is still to be looked at.
async fn retry(connected: &mut Connected, letter: &DeadLetter) -> anyhow::Result<Outcome> {
    let told = match events::parse_wake(&letter.body) {
        Ok(wake) => tasks::dead(&mut connected.conn, &[wake.event_id]).await?.pop(),
        Err(_) => None,
    };
    let Some(dead) = told else {
        let words = format!("message {} tells of no task that failed; `dlq drop` removes it", letter.message_id);
        return Ok(Outcome::refused(letter, "no_task", words));
    };
    let reason = format!("dead letter {}", letter.message_id);
    let retried = tasks::retry(&mut connected.conn, dead.task_id, &actor(), &reason).await?;
    let (word, words) = describe_retry(dead.task_id, &retried);
    Ok(match retried {
        Retried::Now { .. } => Outcome::done(letter, word, words),
        Retried::Live(_) | Retried::Completed | Retried::SourceIsLive(_) => {
            Outcome::done(letter, word, format!("{words}; its letter is removed"))
        }
        Retried::MovedOn => Outcome::refused(letter, word, words),
    })
}

async fn drop_letters(
    connected: &mut Connected,
    aws: &LocalAws,
    meant: &Meant,
    yes: bool,
    printed: Output,
) -> anyhow::Result<ExitCode> {
    let queue = queues::named(&meant.queue)?;
    let (sqs, url) = (aws.sqs(), queue.url(aws).await?);
    if !yes {
        let count = if meant.all { dead_letters::depth(&sqs, &url).await? } else { meant.ids.len() as u64 };
        if !confirmed(&format!("delete {count} messages of {} for good?", queue.name))? {
            bail!("nothing was deleted");
        }
    }
    let mut outcomes = Vec::new();
    let decide = async |letter: &DeadLetter| -> anyhow::Result<Verdict> {
        write_down(connected, &queue, letter, "dropped").await?;
        outcomes.push(Outcome::done(letter, "dropped", format!("message {} is deleted", letter.message_id)));
        Ok(Verdict::Delete)
    };
    let handled = dead_letters::handle(&sqs, &url, &selection(meant), decide).await;
    finish(meant, &queue, outcomes, handled, printed)
}

fn confirmed(question: &str) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("{question} Nobody can be asked here: give --yes");
    }
    eprintln!("{question} Type yes:");
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("could not read the answer")?;
    Ok(answer.trim() == "yes")
}

fn selection(meant: &Meant) -> Selection {
    if meant.all { Selection::All } else { Selection::Ids(meant.ids.iter().cloned().collect()) }
}

/// Tells what was done, also if it did not go to the end, and of each message that was not found. Exit code 1 if any is not as
/// asked.
fn finish(
    meant: &Meant,
    queue: &DeadQueue,
    mut outcomes: Vec<Outcome>,
    handled: anyhow::Result<BTreeSet<String>>,
    printed: Output,
) -> anyhow::Result<ExitCode> {
    if let Ok(handled) = &handled {
        let absent = meant.ids.iter().filter(|id| !handled.contains(*id));
        outcomes.extend(absent.map(|id| Outcome::absent(id, &queue.name)));
    }
    output::show(printed, &view::outcomes_json(&outcomes), || view::print_outcomes(&outcomes))?;
    handled.with_context(|| format!("{} was not gone through to its end", queue.name))?;
    Ok(if outcomes.iter().all(|outcome| outcome.done) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Notes in the trail what was done with a message.
async fn write_down(
    connected: &mut Connected,
    queue: &DeadQueue,
    letter: &DeadLetter,
    action: &str,
) -> Result<(), anyhow::Error> {
    let (subject, subject_id) = subject(&letter.body);
    let (actor, reason) = (actor(), format!("message {} of {}", letter.message_id, queue.name));
    let change = audit::Change {
        org_id: Some(connected.org_id),
        actor: &actor,
        action,
        subject,
        subject_id,
        reason: Some(&reason),
        ..audit::Change::default()
    };
    audit::record(&mut connected.conn, &change).await.context("could not write down what is done")
}

/// What the message is about: the event or task that it wakes, else the queue, which has no number.
fn subject(body: &str) -> (&'static str, i64) {
    if let Ok(wake) = events::parse_wake(body) {
        return ("event", wake.event_id.0);
    }
    serde_json::from_str::<TaskWake>(body).map_or(("queue", 0), |wake| ("task", wake.task_id.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_about_what_it_wakes() {
        for (body, expected) in [
            (r#"{"version":1,"event_id":7}"#, ("event", 7)),
            (r#"{"version":1,"task_id":5,"fence":2}"#, ("task", 5)),
            ("{", ("queue", 0)),
            (r#"{"version":1}"#, ("queue", 0)),
        ] {
            assert_eq!(subject(body), expected, "{body}");
        }
    }
}
