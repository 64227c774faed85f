//! The words of `isotherm dlq`.

use clap::{Args, Subcommand};

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct DlqArguments {
    #[command(subcommand)]
    pub(crate) command: DlqCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// All dead letters: tasks that failed for good, and messages that a queue's reader failed on
    List {
        #[command(flatten)]
        printed: Printed,
    },
    /// Send dead letters back to their queue; those of `dead_letters`: retry their tasks
    Redrive {
        #[command(flatten)]
        meant: Meant,
        #[command(flatten)]
        printed: Printed,
    },
    /// Delete dead letters for good; a task that failed stays as it is
    Drop {
        #[command(flatten)]
        meant: Meant,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        printed: Printed,
    },
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub(crate) struct Meant {
    /// The queue as `dlq list` names it: `dead_letters`, or a dead-letter queue such as `events-dlq`
    pub(crate) queue: String,
    /// Only the message with this id; may be given more than once
    #[arg(long = "id", value_name = "MESSAGE", required_unless_present = "all")]
    pub(crate) ids: Vec<String>,
    /// Every message of the queue
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
}
