//! The words of `isotherm follower`.

use clap::{Args, Subcommand};
use isotherm_types::B256;

use super::{Output, Printed};

#[derive(Debug, Args)]
pub(crate) struct FollowerArguments {
    #[command(subcommand)]
    pub(crate) command: FollowerCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FollowerCommand {
    /// Where each follower stands: tip, lag, last reorg, endpoints, and what to do about a chain that is halted
    Status(FollowerStatusArguments),
    /// Decide about a halted chain, or only see what there is to decide; exit code 1 if nothing was done
    Resume(ResumeArguments),
    /// Look for stored blocks that are missing or not whole; exit code 1 if there are any
    Gaps(GapsArguments),
    /// What endpoints were caught at, with the beginnings of their answers: the newest 100 of each chain
    Evidence(EvidenceArguments),
}

#[derive(Debug, Args)]
pub(crate) struct FollowerStatusArguments {
    /// Only this chain, by name or chain id
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    /// Show it anew every second until Ctrl-C; as JSON, one line each time
    #[arg(long)]
    pub(crate) watch: bool,
    /// Table for people or JSON for programs
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The chain, by name or chain id
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: String,
    /// Have the follower replace exactly the reorg that it halted for, once, and nothing deeper
    #[arg(long, conflicts_with = "look_again")]
    pub(crate) accept_reorg: bool,
    /// Hash that the right branch has where the branches were seen to differ; anything else is refused
    #[arg(long, value_name = "HASH", requires = "accept_reorg")]
    pub(crate) to_block_hash: Option<B256>,
    /// Keep what is stored and have the follower look at the chain again: it halts again unless the cause is gone
    #[arg(long)]
    pub(crate) look_again: bool,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT", default_value = "decided by hand")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Debug, Args)]
pub(crate) struct GapsArguments {
    /// Only this chain, by name or chain id
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    /// Have the follower fetch what is missing and write it anew, and wait until that is done
    #[arg(long)]
    pub(crate) repair: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceArguments {
    /// Only this chain, by name or chain id
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
