//! The command line's words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use isotherm_chain::chain_profile::MOST_PARTITION_BLOCKS;

mod alerts;
mod audit;
mod backfill;
mod chains;
mod channels;
mod cold;
mod cold_repair;
mod cost;
mod deploy;
mod dlq;
mod follower;
mod gaps;
mod jobs;
mod login;
mod orgs;
mod package;
mod query;
mod smoke;
mod span;
mod tasks;
mod triggers;
mod users;
mod verify;
mod whoami;

pub(crate) use alerts::{AlertsArguments, AlertsCommand, ApplyAlertsArguments, OfOrg, Page, TestArguments};
pub(crate) use audit::{AuditArguments, SubjectWord};
pub(crate) use backfill::BackfillArguments;
pub(crate) use chains::{ChainsArguments, ChainsCommand};
pub(crate) use channels::{AddChannelArguments, AddressArguments, ChannelsArguments, ChannelsCommand};
pub(crate) use cold::{ColdArguments, ColdCommand, GcArguments};
pub(crate) use cold_repair::ColdRepairArguments;
pub(crate) use cost::CostArguments;
pub(crate) use deploy::{DeployArguments, DeployStep};
pub(crate) use dlq::{DlqArguments, DlqCommand, Meant};
pub(crate) use follower::{
    EvidenceArguments, FollowerArguments, FollowerCommand, FollowerStatusArguments, GapsArguments, ResumeArguments,
};
pub(crate) use gaps::MissingArguments;
pub(crate) use jobs::{FiringArguments, JobsArguments, JobsCommand};
pub(crate) use login::LoginArguments;
pub(crate) use orgs::{GrantArguments, OrgsArguments, OrgsCommand};
pub(crate) use package::PackageArguments;
pub(crate) use query::{Format, Mode, QueryArguments};
pub(crate) use smoke::SmokeArguments;
pub(crate) use tasks::{ListTasks, State, TasksArguments, TasksCommand};
pub(crate) use triggers::{TriggersArguments, TriggersCommand};
pub(crate) use users::{AddUserArguments, UsersArguments, UsersCommand};
pub(crate) use verify::VerifyArguments;
pub(crate) use whoami::WhoAmIArguments;

/// Follows an EVM chain into Postgres and Parquet, and answers SQL over both.
#[derive(Debug, Parser)]
#[command(name = "isotherm", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Arguments {
    /// Folder for the data, logs and state of this machine's stack
    #[arg(long, global = true, env = "ISOTHERM_DATA", default_value = ".isotherm", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine with a chain of its own, and check the answers against that chain
    Demo(DemoArguments),
    /// Follow a chain on this machine; data stay between runs
    Up(UpArguments),
    /// Stop what runs on this machine
    Down(DownArguments),
    /// Show tip, lag, rows, watermarks and tasks of the running stack
    Status(StatusArguments),
    /// Ask the running stack in SQL: one statement, a file of them, or a prompt
    Query(QueryArguments),
    /// Check a pipeline file and show what applying it would change
    Plan(PlanArguments),
    /// Put a pipeline file into effect: jobs, triggers and schedules
    Apply(ApplyArguments),
    /// Look at the chains that are known, check a file of them
    Chains(ChainsArguments),
    /// Look at cold storage's objects: have damaged ones restored, remove those that nothing names
    Cold(ColdArguments),
    /// Look at tasks, retry and cancel them
    Tasks(TasksArguments),
    /// Look at jobs, pause, resume and run them
    Jobs(JobsArguments),
    /// Look at how chains are followed, decide about a halted one, find gaps
    Follower(FollowerArguments),
    /// Fetch history from the chain into cold storage, and watch it come
    Backfill(BackfillArguments),
    /// Blocks that are missing in hot and cold storage together, and how to fill them; exit code 1 if there are any
    Gaps(MissingArguments),
    /// Look at triggers and their firings, and fire them
    Triggers(TriggersArguments),
    /// Rules over rows and SQL: put a file of them into effect, try them, look at what they have found and who was told
    Alerts(AlertsArguments),
    /// Where people are told of alerts: mailboxes, telephones, webhooks, Slack
    Channels(ChannelsArguments),
    /// Look at dead letters, send them back or drop them
    Dlq(DlqArguments),
    /// Who changed what, when and why, newest first
    Audit(AuditArguments),
    /// Be a user of the running stack for half a day
    Login(LoginArguments),
    /// Who the API takes you for, and what you may do
    #[command(name = "whoami")]
    WhoAmI(WhoAmIArguments),
    /// Organisations, and the datasets that they may read
    Orgs(OrgsArguments),
    /// Users of organisations, and their roles
    Users(UsersArguments),
    /// Store what webhooks are signed with
    Secrets(SecretsArguments),
    /// Check cold storage against one manifest, from its objects alone; exit code 3 if something is wrong
    Verify(VerifyArguments),
    /// What a month on AWS costs, by service, with what is fixed and what grows: an estimate at list prices
    ///
    /// Reckoned from terraform/stack.yaml, terraform/environments/ENV/figures.yaml, a dated list of prices, and counts
    /// that were measured or are assumed (--explain shows which). Free tiers, discounts, taxes, SMS and what the chain's
    /// endpoint costs are left out. Needs neither a running stack nor an AWS account. docs/cost.md has tables, and says
    /// how to pay less.
    Cost(CostArguments),
    /// Put together what goes to AWS, from the programs of a release build; `./isotherm package` builds and calls this
    Package(PackageArguments),
    /// Put a release into an AWS account, step by step: package, upload, migrate, apply
    ///
    /// Needs terraform, the AWS command line, and docker, podman or buildah for the images; credentials of the account in the
    /// environment. Every step can be repeated, and done alone (--step). docs/operations.md has what each does.
    Deploy(DeployArguments),
    /// Try what a stack needs, from outside and from inside its network, one line a check; exit code 3 if one fails
    Smoke(SmokeArguments),
    /// Check each part that is needed, and say how to mend what is not right
    Doctor,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Follow the chain for a while, compare with it, print the figures and end; exit code 1 if they differ
    #[arg(long)]
    pub(crate) once: bool,
    /// Blocks to follow before comparing
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u64).range(20..=100_000))]
    pub(crate) blocks: u64,
    /// Milliseconds between blocks
    #[arg(long, default_value_t = 350, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=10_000))]
    pub(crate) block_time_ms: u64,
    /// Seed of the traffic; the same seed makes the same transactions
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Transactions sent for each block
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) transactions: u32,
    /// File with what is peculiar to chains, among them the demo's, whose id is 31337: it is followed, backfilled and
    /// checked as its profile there says
    #[arg(long, value_name = "FILE")]
    pub(crate) chains: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// JSON-RPC endpoint of the chain, over HTTP; several separated by commas, the first is preferred; ws:// and wss://
    /// ones only announce new blocks
    #[arg(long, env = "ISOTHERM_RPC_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) rpc_url: String,
    /// Name or id of a known chain (`isotherm chains list`); without --chains also a new name, used in object keys
    #[arg(long, value_name = "NAME_OR_ID")]
    pub(crate) chain: String,
    /// File with what is peculiar to chains; it wins over what is built in
    #[arg(long, value_name = "FILE")]
    pub(crate) chains: Option<PathBuf>,
    /// Chain id that the endpoint has to answer; what it answers is taken if this is absent
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: Option<u64>,
    /// Where to begin on the first run: `latest` or a block number; later runs go on from what is stored
    #[arg(long, default_value = "latest", value_name = "BLOCK")]
    pub(crate) start: String,
    /// Blocks in each partition, hot and cold, fixed by the first run; if absent, what the chain's profile has, else
    /// 10000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_PARTITION_BLOCKS))]
    pub(crate) partition_blocks: Option<u64>,
    /// Blocks below the latest one that count as final, for chains without a `finalized` tag; if absent, what the
    /// chain's profile has
    #[arg(long, value_name = "N")]
    pub(crate) finality_depth: Option<u64>,
    /// File for every AWS call that functions and operators make, once each: what their roles need. It is begun anew
    #[arg(long, value_name = "FILE")]
    pub(crate) record_calls: Option<PathBuf>,
    /// A host that operators and functions may reach besides the chain's endpoints, such as rpc.example.com or
    /// *.example.com; several times for several
    #[arg(long = "allow-host", value_name = "HOST")]
    pub(crate) allowed_hosts: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DownArguments {
    /// Remove the data as well
    #[arg(long)]
    pub(crate) wipe: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Table for people or JSON for programs
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The pipeline file; docs/pipeline.md explains it
    pub(crate) file: PathBuf,
    /// Organisation whose jobs and triggers these are
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) org: String,
    /// Only check the file; needs no running stack
    #[arg(long, conflicts_with_all = ["org", "exit_code"])]
    pub(crate) offline: bool,
    /// End with exit code 2 if there is something to change
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Text for people or JSON for programs
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// The pipeline file; docs/pipeline.md explains it
    pub(crate) file: PathBuf,
    /// Organisation whose jobs and triggers these are
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) org: String,
    /// Text for people or JSON for programs
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct SecretsArguments {
    #[command(subcommand)]
    pub(crate) command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Store a secret of the running stack; its value is read from standard input
    Set {
        /// `webhook/NAME`: the signing key that triggers name as `isotherm/webhook/NAME`
        name: String,
    },
}

/// How a list or an outcome is printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Printed {
    /// Table for people or JSON for programs
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// How lists are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
