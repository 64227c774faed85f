//! The words of `isotherm cost`.

use std::path::PathBuf;

use clap::Args;

use super::Output;

#[derive(Debug, Args)]
pub(crate) struct CostArguments {
    /// Environment: a folder of terraform/environments with a figures.yaml
    #[arg(long, default_value = "dev", value_name = "NAME")]
    pub(crate) env: String,
    /// Transactions a second, on average over the month
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub(crate) tps: u32,
    /// Name or id of a known chain (`isotherm chains list`), for its time of a block and its partitions
    #[arg(long, default_value = "monad", value_name = "NAME_OR_ID")]
    pub(crate) chain: String,
    /// File with what is peculiar to chains; it wins over what is built in
    #[arg(long, value_name = "FILE")]
    pub(crate) chains: Option<PathBuf>,
    /// Milliseconds from block to block; if absent, what the chain's profile has
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(crate) block_time_ms: Option<u64>,
    /// Rules of alerts, all organisations together
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) rules: u32,
    /// Queries a day
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) queries_per_day: u32,
    /// Hours for which rows stay hot after they have become cold (`drop_hot_after_seconds` of the compaction's job)
    #[arg(long, default_value_t = 24, value_name = "HOURS")]
    pub(crate) hot_hours: u32,
    /// Months of the chain, at this load, that lie in cold storage
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_200))]
    pub(crate) history_months: u32,
    /// Another list of prices, of the form of cli/src/cost/prices.yaml
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
    /// Show also each count with where it comes from, and each price with its page
    #[arg(long)]
    pub(crate) explain: bool,
    /// Tables for people or JSON for programs
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) format: Output,
}
