//! What a worker and its operator say to each other.
//!
//! The worker writes one [`TaskSpec`] as a line of JSON to the operator's standard input; the operator answers with
//! lines of JSON on standard output, each an [`OperatorLine`], the last one a result. Standard error is for logs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::disposition::{Classified, Disposition, error_chain};
use crate::ids::{Fence, TaskId};

/// Version of this protocol.
pub const OPERATOR_PROTOCOL: u32 = 1;

/// The task as the operator gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// [`OPERATOR_PROTOCOL`].
    pub version: u32,
    /// The task.
    pub task_id: TaskId,
    /// The claim under which it runs; every write of the operator names it.
    pub fence: Fence,
    /// 1 for the first try.
    pub attempt: u32,
    /// Name of the job.
    pub job: String,
    /// The job's own settings.
    pub config: serde_json::Value,
    /// What this task is about, such as a block range.
    pub input: serde_json::Value,
}

/// One line of an operator's standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorLine {
    /// The operator is getting on; also a hint that events may be waiting in the outbox.
    Progress {
        /// Units done so far; grows beyond what it has ever been, or the operator counts as stalled.
        done: u64,
        /// Units in all, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// Short text for people, such as `block 1200`.
        #[serde(default)]
        message: String,
    },
    /// The operator has looked, and there is nothing for it to do yet, such as no new block: a sign of life without
    /// progress, for sources that wait. Said after each look that was answered, never by a timer.
    Waiting,
    /// The end.
    Result(OperatorResult),
}

/// How an operator ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorResult {
    /// The work is done.
    Completed {
        /// Kept in the task's row.
        #[serde(default)]
        output: serde_json::Value,
    },
    /// The work failed.
    Failed {
        /// Stable name of the error.
        code: String,
        /// The error and its causes in words, free of secrets.
        message: String,
        /// What to do about it.
        disposition: Disposition,
    },
    /// Asked to stop, it stopped at a safe point; the task goes back without a burnt attempt.
    Released,
}

impl OperatorResult {
    /// The result that reports `error`.
    pub fn failed<E: Classified + 'static>(error: &E) -> Self {
        Self::Failed { code: error.code().to_owned(), message: error_chain(error), disposition: error.disposition() }
    }
}

/// Exit code of an operator whose last line was `completed` or `released`.
pub const EXIT_OK: i32 = 0;
/// Exit code of an operator whose last line was `failed`.
pub const EXIT_FAILED: i32 = 1;
/// Exit code of an operator whose result nobody read: its worker is gone. Any other end without a result is a crash.
pub const EXIT_NO_READER: i32 = 2;

/// How an operator's process ended. Kept in the attempt's row; what each means is in `docs/operations.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself: [`EXIT_OK`], [`EXIT_FAILED`], [`EXIT_NO_READER`], or a crash.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// Whether SIGKILL ended it, or ended what it ran: shells report 128 and the signal's number.
    ///
    /// Source: signal(7) of Linux; POSIX.1-2024, shell command language, 2.8.2.
    pub fn is_sigkill(self) -> bool {
        matches!(self, Self::Signal(9) | Self::Code(137))
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Variable of every operator, and its value: from how many bytes on glibc maps a block of memory by itself, and gives it
/// back once it is free. Unset, glibc raises this with the blocks that are freed, up to 32 MiB; batches and pages of
/// megabytes then lie among small blocks on the heap of each thread, which keeps what it once had: a compaction of large
/// rows held twice what it used.
///
/// **Source**: mallopt(3), `M_MMAP_THRESHOLD`, "dynamic mmap threshold"; the experiment `memory_cap`.
pub const MMAP_THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "524288");

/// How long an operator has between SIGTERM and SIGKILL. Below Fargate's default `stopTimeout` of 30 s.
pub const STOP_GRACE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_shape_that_operators_in_other_languages_can_write() {
        let line: OperatorLine = serde_json::from_str(r#"{"type":"progress","done":3}"#).unwrap();
        assert_eq!(line, OperatorLine::Progress { done: 3, total: None, message: String::new() });
        assert_eq!(serde_json::to_string(&OperatorLine::Waiting).unwrap(), r#"{"type":"waiting"}"#);
        assert_eq!(serde_json::from_str::<OperatorLine>(r#"{"type":"waiting"}"#).unwrap(), OperatorLine::Waiting);
        let line = OperatorLine::Result(OperatorResult::Failed {
            code: "chain.halted".to_owned(),
            message: "reorg below the finalized block".to_owned(),
            disposition: Disposition::GiveUp,
        });
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            r#"{"type":"result","outcome":"failed","code":"chain.halted","message":"reorg below the finalized block","disposition":"give_up"}"#
        );
        assert_eq!(serde_json::from_str::<OperatorLine>(&text).unwrap(), line);
    }
}
