//! The words of `isotherm cold`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::span::span;
use super::{ColdRepairArguments, Printed};

#[derive(Debug, Args)]
pub(crate) struct ColdArguments {
    #[command(subcommand)]
    pub(crate) command: ColdCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ColdCommand {
    /// Data files that nothing names: no manifest, old or new, and none that waits; only shown without --delete
    Gc(GcArguments),
    /// Have files restored that a check has found damaged or gone, or only see which; exit code 1 if any cannot be
    Repair(ColdRepairArguments),
}

#[derive(Debug, Args)]
pub(crate) struct GcArguments {
    /// The chain, by name or chain id
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: String,
    /// Remove them; the chain's jobs that write cold storage must be paused
    #[arg(long)]
    pub(crate) delete: bool,
    /// Only those that were written longer ago than this, such as 90m, 24h or 7d
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = span)]
    pub(crate) older_than: Duration,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
