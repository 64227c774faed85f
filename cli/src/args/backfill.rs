//! The words of `isotherm backfill`.

use clap::Args;
use isotherm_types::Dataset;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct BackfillArguments {
    /// The chain, by name or chain id
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: String,
    /// First block; a multiple of the chain's partition size, or in the partition of block 0
    #[arg(long, value_name = "BLOCK")]
    pub(crate) from: u64,
    /// The block after the last one; a multiple of the chain's partition size
    #[arg(long, value_name = "BLOCK")]
    pub(crate) to: u64,
    /// What to fetch, separated by commas: blocks, transactions, logs, traces; those of the chain's job if absent
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) datasets: Option<Vec<Dataset>>,
    /// The job that does it, if several are for the chain
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Let --from stand inside a partition: no older history is wanted, then or later
    #[arg(long)]
    pub(crate) may_begin_inside: bool,
    /// Do not ask after the estimate
    #[arg(long)]
    pub(crate) yes: bool,
    /// Make the tasks and return; `isotherm backfill` with the same range watches them later
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
