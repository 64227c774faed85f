//! The words of `isotherm alerts`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::Printed;
use super::span::span;

#[derive(Debug, Args)]
pub(crate) struct AlertsArguments {
    #[command(subcommand)]
    pub(crate) command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Put a file of rules into effect: those that are new are made, those that differ are changed
    #[command(after_help = "\
Rules that are not in the file stay as they are, unless --pause-others is given: rules also come from the API.

Examples:
  isotherm alerts apply alerts.yaml --offline      check the file alone; needs no running stack
  isotherm alerts apply alerts.yaml --plan         show what would change
  isotherm alerts apply alerts.yaml                do it
A fault is printed as FILE:LINE:COLUMN: message; then nothing is changed, and the exit code is 1.
docs/examples/alerts.yaml is such a file, docs/alerts.md explains every key.")]
    Apply(ApplyAlertsArguments),
    /// All rules: whether they are at work, and what they found last
    List {
        #[command(flatten)]
        of: OfOrg,
    },
    /// One rule with its definition
    #[command(after_help = "Example:\n  isotherm alerts show large-transfers --output json")]
    Show {
        /// The rule's name
        rule: String,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Show what a rule would have told of in blocks that are stored; nothing is sent
    #[command(after_help = "\
Examples:
  isotherm alerts test large-transfers --from 12000 --to 13000
  isotherm alerts test large-transfers --from 12000 --to 13000 --file alerts.yaml    as the file has it, saved or not
At most 10,000 blocks at a time; the answer says where to go on.")]
    Test(TestArguments),
    /// Have a rule look no further; what it has found already is sent and corrected all the same
    Pause {
        /// The rule's name
        rule: String,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Have a paused rule, or one in quarantine, go on
    Resume {
        /// The rule's name
        rule: String,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Have a rule tell nobody for a while; what it finds is in `isotherm alerts events` as suppressed
    #[command(after_help = "\
Examples:
  isotherm alerts mute large-transfers --for 2h
  isotherm alerts mute large-transfers --off")]
    Mute {
        /// The rule's name
        rule: String,
        /// For how long, such as 90s, 15m, 1h or 7d; 30d at most
        #[arg(long = "for", value_name = "SPAN", value_parser = span, required_unless_present = "off")]
        time: Option<Duration>,
        /// Tell people again
        #[arg(long, conflicts_with = "time")]
        off: bool,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Delete a rule; what it has found stays, and what was not sent yet is not sent any more
    Delete {
        /// The rule's name
        rule: String,
        #[command(flatten)]
        of: OfOrg,
    },
    /// What rules have found, the newest first; one of them with its history and deliveries
    #[command(after_help = "\
Examples:
  isotherm alerts events --rule large-transfers --state retracted
  isotherm alerts events 5f0c7a52-6e1d-8a3b-9f10-2b7d4c1e8a90")]
    Events {
        /// Id of one of them
        id: Option<Uuid>,
        /// Only those of this rule
        #[arg(long, value_name = "NAME", conflicts_with = "id")]
        rule: Option<String>,
        /// Only those in this state
        #[arg(long, value_name = "STATE", conflicts_with = "id",
              value_parser = clap::builder::PossibleValuesParser::new(isotherm_alerts::listing::STATES))]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Messages to channels, the newest first
    #[command(after_help = "Example:\n  isotherm alerts deliveries --channel hooks --state failed")]
    Deliveries {
        /// Only those to this channel
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// Only those about this alert
        #[arg(long, value_name = "ID")]
        alert: Option<Uuid>,
        /// Only those in this state
        #[arg(long, value_name = "STATE",
              value_parser = ["queued", "sending", "delivered", "folded", "failed", "cancelled"])]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Send messages that are over once more, under the same ids; exit code 1 if any could not be
    Replay {
        /// Ids of deliveries
        #[arg(required = true, value_name = "ID")]
        deliveries: Vec<Uuid>,
        #[command(flatten)]
        of: OfOrg,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ApplyAlertsArguments {
    /// The file of rules
    pub(crate) file: PathBuf,
    /// Only check the file; needs no running stack
    #[arg(long, conflicts_with_all = ["plan", "pause_others"])]
    pub(crate) offline: bool,
    /// Only show what would change
    #[arg(long)]
    pub(crate) plan: bool,
    /// Pause the rules that are at work and not in the file
    #[arg(long)]
    pub(crate) pause_others: bool,
    #[command(flatten)]
    pub(crate) of: OfOrg,
}

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// The rule's name
    pub(crate) rule: String,
    /// The first block
    #[arg(long, value_name = "BLOCK")]
    pub(crate) from: u64,
    /// The block after the last one
    #[arg(long, value_name = "BLOCK")]
    pub(crate) to: u64,
    /// Take the rule from this file, whether or not it is saved
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) of: OfOrg,
}

/// Whose rules or channels are meant, and how the outcome is printed.
#[derive(Debug, Args)]
pub(crate) struct OfOrg {
    /// The organisation's name
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) org: String,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// A page of a list.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// Only those before this one: what the page before ends with
    #[arg(long, value_name = "PLACE")]
    pub(crate) before: Option<isotherm_alerts::listing::Place>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
}
