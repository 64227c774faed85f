//! Asking, waiting, and giving up: a query's way through the function `query` by direct invocation.
//!
//! Ctrl-C cancels a query whose answer comes with the call, and leaves alone one that has become a task of its own.

use std::io::IsTerminal as _;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use anyhow::Context;
use isotherm_local_stack::{LocalAws, names};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use uuid::Uuid;

use super::reply::{self, Answer, CANCELLED, QueryFault, Reply, SavedQuery};
use super::request::{self, Settings};
use crate::live::Progress;
use crate::machine;
use crate::output::span;

/// Between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(200);
/// A query that is faster needs no spinner.
const SHOWN_AFTER: Duration = Duration::from_millis(500);
/// Between two looks at a query that runs on its own.
const POLL: Duration = Duration::from_secs(1);
/// The word is sent again until the query ends, since the first one may come before it has begun.
const CANCEL_TRIES: u32 = 10;
/// Between two words.
const CANCEL_INTERVAL: Duration = Duration::from_millis(500);
/// Longest time for one word.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// The function `query` of a stack.
pub(super) struct Server {
    aws: LocalAws,
}

/// How a question ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Answered(Box<Answer>),
    Refused(QueryFault),
    /// By Ctrl-C.
    Cancelled,
    /// Ctrl-C; the query runs on.
    LeftRunning,
}

impl Outcome {
    /// What came of a query that was to be stopped, of which the server says `reply`.
    fn of_stopped(reply: Reply) -> Self {
        match reply {
            Reply::Answered(answer) => Self::Answered(answer),
            // As a task of its own, or it has not seen yet that it is to end.
            Reply::Pending(_) => Self::LeftRunning,
            Reply::Refused(fault) if fault.code == CANCELLED => Self::Cancelled,
            Reply::Refused(fault) => Self::Refused(fault),
        }
    }
}

/// Ctrl-C, from when it is made.
pub(super) struct Interrupts(Signal);

impl Interrupts {
    /// Listens.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self(signal(SignalKind::interrupt()).context("could not listen to Ctrl-C")?))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// What moves on a terminal while a query runs.
pub(super) struct Spinner {
    began: Instant,
    shown: Option<Progress>,
}

impl Spinner {
    /// Shows nothing if `quiet`, or where nobody looks.
    pub(super) fn new(quiet: bool) -> Self {
        let looked_at = !quiet && std::io::stderr().is_terminal();
        Self { began: Instant::now(), shown: looked_at.then(Progress::new) }
    }

    /// Shows `words` and the time since it was made.
    pub(super) fn show(&mut self, words: &str) {
        let elapsed = self.began.elapsed();
        if let Some(shown) = self.shown.as_mut().filter(|_| elapsed >= SHOWN_AFTER) {
            shown.show(&format!("{words}, {}", span(elapsed)));
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(shown) = &mut self.shown {
            shown.clear();
        }
    }
}

impl Server {
    /// Behind the clients of a stack.
    pub(super) fn new(aws: LocalAws) -> Self {
        Self { aws }
    }

    async fn invoke(&self, request: &Value) -> anyhow::Result<Reply> {
        let payload = machine::invoke(&self.aws, "query", request).await?;
        // Not the payload itself: it may hold rows, or the address of a result.
        Reply::parse(&payload).with_context(|| {
            format!("{} bytes that {} has answered are not understood", payload.len(), names::function("query"))
        })
    }

    /// Asks `sql` under the name `query_id`, and waits for how it ends.
    ///
    /// # Errors
    /// If the function cannot be reached or understood.
    pub(super) async fn ask(
        &self,
        sql: &str,
        settings: &Settings,
        query_id: Uuid,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Outcome> {
        let request = settings.request(sql, query_id)?;
        let mut asked = pin!(self.invoke(&request));
        let mut spinner = Spinner::new(settings.quiet);
        let reply = loop {
            tokio::select! {
                reply = asked.as_mut() => break reply?,
                () = interrupts.next() => {
                    drop(spinner);
                    return self.stop(query_id, asked, interrupts).await;
                }
                () = tokio::time::sleep(TICK) => spinner.show("running; Ctrl-C cancels"),
            }
        };
        self.wait(query_id, reply, &mut spinner, interrupts).await
    }

    /// Waits for a query that runs on its own.
    ///
    /// # Errors
    /// If the function cannot be reached or understood.
    pub(super) async fn resume(
        &self,
        query_id: Uuid,
        quiet: bool,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Outcome> {
        let reply = self.invoke(&request::status(query_id)).await?;
        self.wait(query_id, reply, &mut Spinner::new(quiet), interrupts).await
    }

    async fn wait(
        &self,
        query_id: Uuid,
        mut reply: Reply,
        spinner: &mut Spinner,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Outcome> {
        loop {
            let state = match reply {
                Reply::Answered(answer) => return Ok(Outcome::Answered(answer)),
                Reply::Refused(fault) => return Ok(Outcome::Refused(fault)),
                Reply::Pending(state) => state,
            };
            let next_look = Instant::now() + POLL;
            while Instant::now() < next_look {
                spinner.show(&format!("query {query_id} is {state}; Ctrl-C leaves it alone"));
                tokio::select! {
                    () = interrupts.next() => return Ok(Outcome::LeftRunning),
                    () = tokio::time::sleep(TICK) => {}
                }
            }
            reply = self.invoke(&request::status(query_id)).await.with_context(|| left_running(query_id))?;
        }
    }

    /// Has the query stopped whose answer `asked` waits for, and tells what came of it: that it was cancelled only if
    /// the server says so. A second Ctrl-C waits no longer.
    async fn stop<F>(
        &self,
        query_id: Uuid,
        mut asked: Pin<&mut F>,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Outcome>
    where
        F: Future<Output = anyhow::Result<Reply>>,
    {
        let mut last = Ok(Reply::Pending(String::new()));
        for _ in 0..CANCEL_TRIES {
            last = self.cancel(query_id).await;
            tokio::select! {
                reply = asked.as_mut() => {
                    return if is_cancelled(&last) { Ok(Outcome::Cancelled) } else { reply.map(Outcome::of_stopped) };
                }
                () = interrupts.next() => break,
                () = tokio::time::sleep(CANCEL_INTERVAL) => {}
            }
        }
        let said = last.context("the query could not be cancelled; the server stops it when its time is over")?;
        Ok(match said {
            // It has ended by itself; what the server says to this are not its rows.
            Reply::Answered(_) => Outcome::LeftRunning,
            said => Outcome::of_stopped(said),
        })
    }

    /// Queries that were saved under a name, or why they are not told.
    ///
    /// # Errors
    /// If the function cannot be reached or understood.
    pub(super) async fn saved(&self) -> anyhow::Result<Result<Vec<SavedQuery>, QueryFault>> {
        let payload = machine::invoke(&self.aws, "query", &request::saved()).await?;
        reply::saved(&payload).context("the list of saved queries is not understood")
    }

    /// Asks for the end of a query; what the server says of it.
    ///
    /// # Errors
    /// If the function cannot be reached or understood.
    pub(super) async fn cancel(&self, query_id: Uuid) -> anyhow::Result<Reply> {
        let cancel = request::cancel(query_id);
        let said = tokio::time::timeout(CANCEL_TIMEOUT, self.invoke(&cancel)).await;
        said.context("the server has not answered in time")?
    }
}

fn is_cancelled(said: &anyhow::Result<Reply>) -> bool {
    matches!(said, Ok(Reply::Refused(fault)) if fault.code == CANCELLED)
}

/// What to say of a query that nobody waits for any more.
pub(super) fn left_running(query_id: Uuid) -> String {
    format!(
        "query {query_id} goes on; `isotherm query --resume {query_id}` asks for its answer, `isotherm query --cancel \
         {query_id}` ends it"
    )
}
