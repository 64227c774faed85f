//! The words of `isotherm tasks`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::Printed;
use super::span::span;

#[derive(Debug, Args)]
pub(crate) struct TasksArguments {
    #[command(subcommand)]
    pub(crate) command: TasksCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TasksCommand {
    /// The latest tasks, newest first; of queued ones, why they wait
    List(ListTasks),
    /// One task: what it works on, its attempts and every change of its state
    Show {
        /// The task's number
        task: i64,
        #[command(flatten)]
        printed: Printed,
    },
    /// The end of each attempt's log, and where the whole log lies
    Logs {
        /// The task's number
        task: i64,
        /// Only this attempt, by the number that `tasks show` gives it
        #[arg(long, value_name = "K")]
        attempt: Option<i64>,
        #[command(flatten)]
        printed: Printed,
    },
    /// Queue failed or cancelled tasks again, each with all the attempts that its job allows; exit code 1 if any could not
    Retry {
        /// The tasks' numbers
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<i64>,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT", default_value = "asked for by hand")]
        reason: String,
        #[command(flatten)]
        printed: Printed,
    },
    /// Take queued or running tasks back for good; exit code 1 if any could not
    Cancel {
        /// The tasks' numbers
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<i64>,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        printed: Printed,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ListTasks {
    /// Only tasks in this state
    #[arg(long, value_enum)]
    pub(crate) state: Option<State>,
    /// Short for `--state failed`
    #[arg(long, conflicts_with = "state")]
    pub(crate) failed: bool,
    /// Only tasks of this job
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Only tasks of this operator
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
    /// Only tasks that were made, claimed or ended within this time, such as 90s, 15m, 1h or 7d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) since: Option<Duration>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// State of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
}
