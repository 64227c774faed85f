//! One attempt at a task: secrets, operator, heartbeats, publishing, and the end written down.
//!
//! Four things go on at once: the operator is supervised, the lease is kept, the outbox is published upon progress,
//! and the wish to stop is heard. The first that ends the attempt decides through [`super::outcome::decide`].

mod keep;
mod write_down;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use isotherm_control::tasks::{AfterFailure, ClaimedTask, Progress};
use isotherm_types::operator::STOP_GRACE;
use isotherm_types::{CrashPoint, Exit, OperatorLine, OperatorResult};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};
use tracing::Instrument as _;

use crate::fault::Fault;
use crate::secret::Secret;
use crate::secrets;

use super::Worker;
use super::child::Operator;
use super::lease::Lease;
use super::operator_environment::operator_environment;
use super::outcome::{Ended, StopReason, Verdict, decide};
use super::redaction::Redaction;
use super::stall::StallWatch;

/// One attempt.
pub(super) struct Attempt<'a> {
    worker: &'a Worker,
    task: &'a ClaimedTask,
    lease: Lease,
    progress: watch::Sender<Option<Progress>>,
    kick: Arc<Notify>,
}

/// Where the attempt left the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It failed.
    Failure(AfterFailure),
    /// The lease was over before its end could be written down, and nobody has said since that the task is another's.
    LeaseOver,
    /// Done or given back, and written down.
    Over,
    /// Not ours any more.
    NotOurs,
}

/// What an operator's run came to.
struct Run {
    verdict: Verdict,
    stderr_tail: Option<String>,
    /// How the process ended, if there was one.
    exit: Option<Exit>,
}

/// What an operator has said.
struct Heard {
    result: Option<OperatorResult>,
    stall: StallWatch,
}

impl Run {
    fn without_operator(verdict: Verdict) -> Self {
        Self { verdict, stderr_tail: None, exit: None }
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn new(worker: &'a Worker, task: &'a ClaimedTask, lease: Lease) -> Self {
        Self { worker, task, lease, progress: watch::Sender::new(None), kick: Arc::new(Notify::new()) }
    }

    /// Runs the operator and writes the end down. Its log lines name the cause that the task follows from.
    pub(super) async fn run(self) -> After {
        let trace_id = self.task.trace_id.map(String::from);
        let span = tracing::info_span!("task", task.id = self.task.task_id.0, trace.id = trace_id.as_deref());
        self.run_to_the_end().instrument(span).await
    }

    async fn run_to_the_end(mut self) -> After {
        let began = Instant::now();
        tracing::info!(
            task.id = self.task.task_id.0,
            task.fence = self.task.fence.0,
            task.attempt = self.task.attempt,
            job.name = self.task.job,
            "the attempt begins"
        );
        let run = self.operate_under_lease().await;
        let duration = began.elapsed();
        CrashPoint::WorkerOperatorEnded.pass();
        let after = match run.verdict {
            Verdict::Abandon => After::NotOurs,
            Verdict::ReleaseLate => After::LeaseOver,
            _ => self.write_down(&run).await,
        };
        CrashPoint::WorkerWrittenDown.pass();
        self.log_end(&run.verdict, after, duration);
        after
    }

    /// Lets the operator run while the lease is kept and the outbox is published.
    async fn operate_under_lease(&mut self) -> Run {
        let (lost, lost_lease) = watch::channel(None);
        let (over, is_over) = watch::channel(false);
        tokio::spawn(self.worker.publisher().publish_when_kicked(Arc::clone(&self.kick), is_over));
        let mut lease = self.lease;
        let run = {
            let mut operate = pin!(self.operate(lost_lease));
            let mut keep = pin!(self.keep(&mut lease));
            tokio::select! {
                run = &mut operate => run,
                reason = &mut keep => {
                    lost.send_replace(Some(reason));
                    operate.await
                }
            }
        };
        over.send_replace(true);
        self.lease = lease;
        run
    }

    async fn operate(&self, lost_lease: watch::Receiver<Option<StopReason>>) -> Run {
        match self.try_operate(lost_lease).await {
            Ok(run) => run,
            Err(fault) => Run::without_operator(verdict_of(&fault)),
        }
    }

    async fn try_operate(&self, lost_lease: watch::Receiver<Option<StopReason>>) -> Result<Run, Fault> {
        let started = tokio::select! {
            biased;
            reason = lost(lost_lease.clone()) => return Ok(Run::without_operator(stopped_before_the_start(reason))),
            () = self.worker.stop.requested() => return Ok(Run::without_operator(Verdict::Release)),
            started = self.start() => started?,
        };
        let (mut operator, lines, redaction) = started;
        let ended = self.supervise(&mut operator, lines, &redaction, lost_lease).await?;
        operator.logs_read().await;
        let tail = operator.stderr.text();
        let exit = Some(ended.exit);
        let verdict = without_secrets(decide(ended), &redaction);
        Ok(Run { verdict, stderr_tail: (!tail.is_empty()).then_some(tail), exit })
    }

    /// Fetches the job's secrets and starts the operator with them.
    async fn start(&self) -> Result<(Operator, mpsc::Receiver<OperatorLine>, Redaction), Fault> {
        let mut values: BTreeMap<String, Secret<String>> = BTreeMap::new();
        for (variable, id) in &self.task.secrets {
            let value = secrets::fetch(self.worker.clients.secrets_manager(), id).await?;
            values.insert(variable.clone(), value);
        }
        let redaction = Redaction::of(&values);
        let settings = &self.worker.settings;
        let trace_id = self.task.trace_id.map(String::from);
        let environment = operator_environment(&settings.passed_on, trace_id.as_deref(), &values);
        let spec = self.task.spec();
        let (operator, lines) = Operator::start(&settings.operator_binary, &environment, redaction.clone(), &spec)?;
        Ok((operator, lines, redaction))
    }

    /// Listens to the operator until its process has ended, and stops it when that is due.
    async fn supervise(
        &self,
        operator: &mut Operator,
        mut lines: mpsc::Receiver<OperatorLine>,
        redaction: &Redaction,
        lost_lease: watch::Receiver<Option<StopReason>>,
    ) -> Result<Ended, Fault> {
        let far = TokioInstant::now() + Duration::from_secs(365 * 24 * 3600);
        let mut kill_at = self.task.run_timeout.map_or(far, |limit| TokioInstant::now() + limit);
        let mut stopped = None;
        let mut killed = false;
        let mut fenced_off = false;
        let mut heard = Heard { result: None, stall: StallWatch::new(self.task.stall_timeout, TokioInstant::now()) };
        let mut listening = true;
        loop {
            tokio::select! {
                line = lines.recv(), if listening => match line {
                    Some(line) => self.hear(line, redaction, &mut heard),
                    None => listening = false,
                },
                exit = operator.wait() => {
                    let exit = exit?;
                    self.hear_the_rest(lines, redaction, &mut heard).await;
                    return Ok(Ended { result: heard.result, exit, stopped });
                }
                // Heard even after a kill: the end of a task that is not ours any more is not written down.
                reason = lost(lost_lease.clone()), if !fenced_off => {
                    stopped = Some(reason);
                    (killed, fenced_off) = (true, true);
                    operator.kill();
                }
                () = self.worker.stop.requested(), if stopped.is_none() => {
                    stopped = Some(StopReason::Shutdown);
                    kill_at = kill_at.min(TokioInstant::now() + STOP_GRACE);
                    operator.terminate();
                }
                () = sleep_until(heard.stall.over_at().unwrap_or(far)), if stopped.is_none() => {
                    if heard.stall.is_stalled(TokioInstant::now()) {
                        stopped = Some(StopReason::Stalled);
                        killed = true;
                        operator.kill();
                    }
                }
                () = sleep_until(kill_at), if !killed => {
                    stopped = stopped.or(Some(StopReason::RunTimeout));
                    killed = true;
                    operator.kill();
                }
            }
        }
    }

    /// Reads what was still in the pipe when the operator ended.
    async fn hear_the_rest(&self, mut lines: mpsc::Receiver<OperatorLine>, redaction: &Redaction, heard: &mut Heard) {
        let rest = async {
            while let Some(line) = lines.recv().await {
                self.hear(line, redaction, heard);
            }
        };
        // The pipe closes with the last process of the group; the time-out is for one that left the group.
        let _ = timeout(Duration::from_secs(2), rest).await;
    }

    fn hear(&self, line: OperatorLine, redaction: &Redaction, heard: &mut Heard) {
        match line {
            OperatorLine::Progress { done, total, message } => {
                heard.stall.done(done, TokioInstant::now());
                let message = redaction.apply(&message);
                self.progress.send_replace(Some(Progress { done, total, message }));
                self.kick.notify_one();
            }
            OperatorLine::Waiting => heard.stall.waits(TokioInstant::now()),
            OperatorLine::Result(_) if heard.result.is_some() => {
                tracing::warn!(
                    task.id = self.task.task_id.0,
                    error.code = "operator.second_result",
                    "a second result is ignored"
                );
            }
            OperatorLine::Result(last) => heard.result = Some(last),
        }
    }
}

/// `verdict` as it may be kept and logged.
fn without_secrets(verdict: Verdict, redaction: &Redaction) -> Verdict {
    match verdict {
        Verdict::Complete { output } => Verdict::Complete { output: redaction.apply_to_json(output) },
        Verdict::Fail { code, message, disposition } => {
            Verdict::Fail { code: redaction.apply(&code), message: redaction.apply(&message), disposition }
        }
        Verdict::Release | Verdict::ReleaseLate | Verdict::Abandon => verdict,
    }
}

/// Waits until the lease is lost, and says how.
async fn lost(mut lost_lease: watch::Receiver<Option<StopReason>>) -> StopReason {
    loop {
        let reason = *lost_lease.borrow_and_update();
        match reason {
            Some(reason) => return reason,
            None if lost_lease.changed().await.is_ok() => {}
            None => std::future::pending().await,
        }
    }
}

/// An operator that was never started did nothing: the task is given back or not ours.
fn stopped_before_the_start(reason: StopReason) -> Verdict {
    match reason {
        StopReason::FencedOff => Verdict::Abandon,
        StopReason::LeaseLost => Verdict::ReleaseLate,
        StopReason::Shutdown | StopReason::RunTimeout | StopReason::Stalled => Verdict::Release,
    }
}

fn verdict_of(fault: &Fault) -> Verdict {
    Verdict::Fail { code: fault.code().to_owned(), message: fault.message(), disposition: fault.disposition() }
}
