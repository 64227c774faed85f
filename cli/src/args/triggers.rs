//! The words of `isotherm triggers`.

use clap::{Args, Subcommand};

use super::Printed;
use super::jobs::FiringArguments;

#[derive(Debug, Args)]
pub(crate) struct TriggersArguments {
    #[command(subcommand)]
    pub(crate) command: TriggersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TriggersCommand {
    /// All triggers: when they fire next, and what they last did
    List {
        #[command(flatten)]
        printed: Printed,
    },
    /// Fire a trigger by hand, once
    Fire {
        /// The trigger's name
        trigger: String,
        #[command(flatten)]
        firing: FiringArguments,
        #[command(flatten)]
        printed: Printed,
    },
    /// A trigger's firings, newest first, those that were skipped or missed included, and the tasks that came of them
    History {
        /// The trigger's name
        trigger: String,
        /// At most this many
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        printed: Printed,
    },
}
