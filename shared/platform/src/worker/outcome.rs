//! What is written down about an attempt: one pure `match` over how the operator ended.

use isotherm_types::operator::EXIT_NO_READER;
use isotherm_types::{Disposition, OperatorResult};
use serde_json::Value;

pub use isotherm_types::Exit;

/// Why the worker stopped the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The worker was told to stop.
    Shutdown,
    /// The task is not ours any more: somebody else claimed it, or it was cancelled.
    FencedOff,
    /// No heartbeat got through before the lease was nearly over.
    LeaseLost,
    /// It ran longer than its job allows.
    RunTimeout,
    /// Its progress stood still for longer than its job allows.
    Stalled,
}

/// How an operator ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its result line, if it wrote one.
    pub result: Option<OperatorResult>,
    /// The end of its process.
    pub exit: Exit,
    /// Whether the worker stopped it, and why.
    pub stopped: Option<StopReason>,
}

/// What to write down.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The work is done.
    Complete {
        /// Kept in the task's row.
        output: Value,
    },
    /// The attempt failed.
    Fail {
        /// Stable name of the error.
        code: String,
        /// The error in words.
        message: String,
        /// What to do about it.
        disposition: Disposition,
    },
    /// The task goes back without a burnt attempt.
    Release,
    /// The task goes back as soon as the database answers again; until then nobody else can have it either, unless the
    /// reaper is first.
    ReleaseLate,
    /// Nothing: the task is not ours any more.
    Abandon,
}

/// Decides what to write down.
///
/// A result line counts as what it says, even if the worker had begun to stop the operator: it finished just in time.
/// A `completed` that does not end with exit code 0 is not believed. Any end without a result is a crash, which is
/// retried, since nothing is known that speaks against it.
pub fn decide(ended: Ended) -> Verdict {
    let fail =
        |code: &str, message: String| Verdict::Fail { code: code.to_owned(), message, disposition: Disposition::Retry };
    let exit = ended.exit;
    match (ended.stopped, ended.result, exit) {
        (Some(StopReason::FencedOff), _, _) => Verdict::Abandon,
        (Some(StopReason::LeaseLost), _, _) => Verdict::ReleaseLate,
        (_, Some(OperatorResult::Completed { output }), Exit::Code(0)) => Verdict::Complete { output },
        (_, Some(OperatorResult::Failed { code, message, disposition }), _) => {
            Verdict::Fail { code, message, disposition }
        }
        (Some(StopReason::Shutdown), _, _) => Verdict::Release,
        (Some(StopReason::RunTimeout), _, _) => {
            fail("worker.run_timeout", "the operator ran longer than its job allows and was killed".to_owned())
        }
        (Some(StopReason::Stalled), _, _) => fail(
            "worker.stalled",
            "the operator's progress stood still for longer than its job allows, and it was killed".to_owned(),
        ),
        (None, Some(OperatorResult::Completed { .. }), _) => {
            fail("operator.bad_exit", format!("the operator said completed and then ended with {exit}"))
        }
        (None, Some(OperatorResult::Released), _) => {
            fail("operator.released_unasked", "the operator gave the task back without being asked to stop".to_owned())
        }
        (None, None, Exit::Code(0)) => {
            fail("operator.no_result", "the operator ended with exit code 0 but without a result".to_owned())
        }
        (None, None, Exit::Code(EXIT_NO_READER)) => {
            fail("operator.crashed", format!("the operator could not print its result and ended with {exit}"))
        }
        (None, None, exit) if exit.is_sigkill() => fail(
            "operator.crashed",
            format!("the operator was killed ({exit}), and not by its worker: probably the machine was out of memory"),
        ),
        (None, None, Exit::Code(_) | Exit::Signal(_)) => {
            fail("operator.crashed", format!("the operator ended with {exit} and without a result"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Option<OperatorResult>, exit: Exit, stopped: Option<StopReason>) -> String {
        match decide(Ended { result, exit, stopped }) {
            Verdict::Complete { .. } => "complete".to_owned(),
            Verdict::Fail { code, .. } => code,
            Verdict::Release => "release".to_owned(),
            Verdict::ReleaseLate => "release late".to_owned(),
            Verdict::Abandon => "abandon".to_owned(),
        }
    }

    #[test]
    fn every_end_has_its_verdict() {
        use StopReason::{FencedOff, LeaseLost, RunTimeout, Shutdown, Stalled};
        let completed = || Some(OperatorResult::Completed { output: Value::Null });
        let released = || Some(OperatorResult::Released);
        let failed = || {
            Some(OperatorResult::Failed {
                code: "chain.halted".to_owned(),
                message: String::new(),
                disposition: Disposition::GiveUp,
            })
        };
        let (ok, bad, killed) = (Exit::Code(0), Exit::Code(1), Exit::Signal(9));
        let cases = [
            (completed(), ok, None, "complete"),
            (completed(), ok, Some(Shutdown), "complete"),
            (completed(), ok, Some(RunTimeout), "complete"),
            (completed(), bad, None, "operator.bad_exit"),
            (completed(), killed, None, "operator.bad_exit"),
            (completed(), killed, Some(Shutdown), "release"),
            (completed(), killed, Some(RunTimeout), "worker.run_timeout"),
            (failed(), bad, None, "chain.halted"),
            (failed(), ok, None, "chain.halted"),
            (failed(), bad, Some(Shutdown), "chain.halted"),
            (failed(), killed, Some(RunTimeout), "chain.halted"),
            (released(), ok, Some(Shutdown), "release"),
            (released(), ok, None, "operator.released_unasked"),
            (released(), ok, Some(RunTimeout), "worker.run_timeout"),
            (None, ok, None, "operator.no_result"),
            (None, bad, None, "operator.crashed"),
            (None, killed, None, "operator.crashed"),
            (None, killed, Some(Shutdown), "release"),
            (None, killed, Some(RunTimeout), "worker.run_timeout"),
            (completed(), ok, Some(Stalled), "complete"),
            (completed(), killed, Some(Stalled), "worker.stalled"),
            (failed(), bad, Some(Stalled), "chain.halted"),
            (released(), ok, Some(Stalled), "worker.stalled"),
            (None, killed, Some(Stalled), "worker.stalled"),
        ];
        for (result, exit, stopped, expected) in cases {
            assert_eq!(code(result.clone(), exit, stopped), expected, "{result:?} {exit} {stopped:?}");
        }
        for (stopped, expected) in [(FencedOff, "abandon"), (LeaseLost, "release late")] {
            for result in [completed(), failed(), released(), None] {
                assert_eq!(code(result, ok, Some(stopped)), expected);
            }
        }
    }

    #[test]
    fn a_stall_is_tried_again() {
        let ended = Ended { result: None, exit: Exit::Signal(9), stopped: Some(StopReason::Stalled) };
        assert!(matches!(decide(ended), Verdict::Fail { disposition: Disposition::Retry, .. }));
    }

    #[test]
    fn a_crash_says_what_its_exit_means() {
        let cases = [
            (Exit::Signal(9), "out of memory"),
            (Exit::Code(137), "out of memory"),
            (Exit::Signal(11), "ended with signal 11"),
            (Exit::Code(EXIT_NO_READER), "could not print its result"),
            (Exit::Code(101), "ended with exit code 101"),
        ];
        for (exit, expected) in cases {
            let Verdict::Fail { message, .. } = decide(Ended { result: None, exit, stopped: None }) else { panic!() };
            assert!(message.contains(expected), "{exit}: {message}");
        }
    }
}
