//! Progress lines: the first at once, then at most one every 50 ms, and always the last one.
//!
//! The worker publishes the outbox upon each line, so a line must not wait for long; and a loop over a million rows
//! must not write a million lines.

use std::time::Duration;

use isotherm_types::OperatorLine;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::print;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// Says how far the work has come. Clones say it for the same task.
#[derive(Clone, Debug)]
pub struct Progress(watch::Sender<Option<Step>>);

/// The task that writes the lines.
pub(super) struct Writer {
    lines: JoinHandle<()>,
    finish: watch::Sender<bool>,
}

#[derive(Clone, Debug)]
struct Step {
    done: u64,
    total: Option<u64>,
    message: String,
}

impl Progress {
    /// A reporter that writes to standard output, and what ends it.
    pub(super) fn start() -> (Self, Writer) {
        let (steps, latest) = watch::channel(None);
        let (finish, finishing) = watch::channel(false);
        (Self(steps), Writer { lines: tokio::spawn(write_lines(latest, finishing)), finish })
    }

    /// A reporter whose lines go nowhere, for tests of operators.
    pub fn unheard() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Says that `done` units of `total` (if known) are done; `message` is for people, such as `block 1200`.
    pub fn report(&self, done: u64, total: Option<u64>, message: impl Into<String>) {
        self.0.send_replace(Some(Step { done, total, message: message.into() }));
    }
}

impl Writer {
    /// Writes what is left and ends, so that the result comes after it.
    pub(super) async fn finish(self) {
        self.finish.send_replace(true);
        if self.lines.await.is_err() {
            tracing::warn!("the last progress line was not written");
        }
    }
}

async fn write_lines(mut latest: watch::Receiver<Option<Step>>, mut finishing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            _ = finishing.wait_for(|finish| *finish) => {
                if latest.has_changed().unwrap_or(true) {
                    write_latest(&mut latest);
                }
                return;
            }
        }
        if !write_latest(&mut latest) {
            return;
        }
        let _ = tokio::time::timeout(SHORTEST_INTERVAL, finishing.wait_for(|finish| *finish)).await;
    }
}

/// Returns whether anybody reads.
fn write_latest(latest: &mut watch::Receiver<Option<Step>>) -> bool {
    let Some(Step { done, total, message }) = latest.borrow_and_update().clone() else { return true };
    match print(&OperatorLine::Progress { done, total, message }) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error.code = "operator.no_reader", error.message = %error, "progress could not be printed");
            false
        }
    }
}
