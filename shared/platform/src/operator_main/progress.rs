//! Progress lines: the first at once, then at most one every 50 ms, and always the last one; `waiting` lines at most one a
//! second.
//!
//! The worker publishes the outbox upon each line of progress, so one must not wait for long; and a loop over a million
//! rows must not write a million lines.

use std::time::Duration;

use isotherm_types::OperatorLine;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::print;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
const WAITING_INTERVAL: Duration = Duration::from_secs(1);

/// Says how far the work has come. Clones say it for the same task.
#[derive(Clone, Debug)]
pub struct Progress(watch::Sender<Said>);

/// The task that writes the lines.
pub(super) struct Writer {
    lines: JoinHandle<()>,
    finish: watch::Sender<bool>,
}

/// What has been said so far. The counts tell a writer which of it is new.
#[derive(Clone, Debug, Default)]
struct Said {
    step: Step,
    steps: u64,
    waits: u64,
}

#[derive(Clone, Debug, Default)]
struct Step {
    done: u64,
    total: Option<u64>,
    message: String,
}

/// What has been written so far.
#[derive(Debug, Default)]
struct Written {
    steps: u64,
    waits: u64,
    waited_at: Option<Instant>,
}

impl Progress {
    /// A reporter that writes to standard output, and what ends it.
    pub(super) fn start() -> (Self, Writer) {
        let (said, latest) = watch::channel(Said::default());
        let (finish, finishing) = watch::channel(false);
        (Self(said), Writer { lines: tokio::spawn(write_lines(latest, finishing)), finish })
    }

    /// A reporter whose lines go nowhere, for tests of operators.
    pub fn unheard() -> Self {
        Self(watch::Sender::new(Said::default()))
    }

    /// Says that `done` units of `total` (if known) are done; `message` is for people, such as `block 1200`.
    ///
    /// Where the job has a `stall_timeout_seconds`, `done` must grow within it.
    pub fn report(&self, done: u64, total: Option<u64>, message: impl Into<String>) {
        let step = Step { done, total, message: message.into() };
        self.0.send_modify(|said| {
            said.step = step;
            said.steps += 1;
        });
    }

    /// Says that the operator has looked and that there is nothing to do yet, so that waiting does not count as stalling.
    ///
    /// To be called after each look that was answered: an operator whose look hangs is stalled.
    pub fn waiting(&self) {
        self.0.send_modify(|said| said.waits += 1);
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

async fn write_lines(mut latest: watch::Receiver<Said>, mut finishing: watch::Receiver<bool>) {
    let mut written = Written::default();
    loop {
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            _ = finishing.wait_for(|finish| *finish) => {
                if latest.has_changed().unwrap_or(true) {
                    written.catch_up(&mut latest);
                }
                return;
            }
        }
        if !written.catch_up(&mut latest) {
            return;
        }
        let _ = tokio::time::timeout(SHORTEST_INTERVAL, finishing.wait_for(|finish| *finish)).await;
    }
}

impl Written {
    /// Writes what is new; returns whether anybody reads.
    fn catch_up(&mut self, latest: &mut watch::Receiver<Said>) -> bool {
        let Said { step: Step { done, total, message }, steps, waits } = latest.borrow_and_update().clone();
        let mut lines = Vec::new();
        if steps > self.steps {
            lines.push(OperatorLine::Progress { done, total, message });
        }
        let now = Instant::now();
        if waits > self.waits && self.waited_at.is_none_or(|at| now - at >= WAITING_INTERVAL) {
            lines.push(OperatorLine::Waiting);
            self.waited_at = Some(now);
        }
        (self.steps, self.waits) = (steps, waits);
        match lines.iter().try_for_each(print) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error.code = "operator.no_reader", error.message = %error, "progress could not be printed");
                false
            }
        }
    }
}
