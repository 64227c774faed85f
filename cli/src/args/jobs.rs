//! The words of `isotherm jobs`.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct JobsArguments {
    #[command(subcommand)]
    pub(crate) command: JobsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// All jobs with their tasks, limits and triggers
    List {
        #[command(flatten)]
        printed: Printed,
    },
    /// One job with all its settings
    Show {
        /// The job's name
        job: String,
        #[command(flatten)]
        printed: Printed,
    },
    /// Hold a job's queued tasks back; what runs goes on to its end
    Pause {
        /// The job's name
        job: String,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        printed: Printed,
    },
    /// Let a paused job go on
    Resume {
        /// The job's name
        job: String,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        printed: Printed,
    },
    /// Make one task of a job
    Run {
        /// The job's name
        job: String,
        #[command(flatten)]
        firing: FiringArguments,
        #[command(flatten)]
        printed: Printed,
    },
}

/// What a firing by hand may be given.
#[derive(Debug, Args)]
pub(crate) struct FiringArguments {
    /// Parameters of the task, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json)]
    pub(crate) input: Value,
    /// Names this firing: the same key twice makes one task; made up if absent
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}
