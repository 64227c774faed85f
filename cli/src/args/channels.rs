//! The words of `isotherm channels`.

use clap::{Args, Subcommand};

use super::Printed;
use super::alerts::OfOrg;

#[derive(Debug, Args)]
pub(crate) struct ChannelsArguments {
    #[command(subcommand)]
    pub(crate) command: ChannelsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelsCommand {
    /// Make a channel, or change one: its address, its rate
    #[command(after_help = "\
Examples:
  isotherm channels add hooks --webhook http://127.0.0.1:9000/alerts
  isotherm channels add ann --email ann@example.org --per-minute 10
  isotherm channels add pager --sms +15551234567
  isotherm channels add ops --slack C0123456789 < token.txt      the bot's token, from standard input
A webhook gets a key, which is shown once here and by `isotherm channels show NAME --address`.
A mailbox and a telephone are sent a code: `isotherm channels confirm NAME CODE`.")]
    Add(AddChannelArguments),
    /// All channels, and whether they work; no addresses
    List {
        #[command(flatten)]
        of: OfOrg,
    },
    /// One channel
    Show {
        /// The channel's name
        channel: String,
        /// Show its address and keys as well; the audit trail says who has seen them
        #[arg(long)]
        address: bool,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Put a new key before those of a webhook; both sign until the older is the fourth
    RotateKey {
        /// The channel's name
        channel: String,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Seal the addresses of all channels, of whatever organisation, with the newest key
    #[command(after_help = "\
Examples:
  isotherm channels reseal --new-key    makes a key and hands it to the functions, which use it within a minute
  isotherm channels reseal              then seals with it what other keys have sealed, page by page
It can be ended and given again at any time. Exit code 1 if an address opens with no key. docs/operations.md has all steps.")]
    Reseal {
        /// Make a new key and hand it out; nothing is sealed yet
        #[arg(long)]
        new_key: bool,
        #[command(flatten)]
        printed: Printed,
    },
    /// Send a message that only says that the channel works
    Test {
        /// The channel's name
        channel: String,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Use a disabled channel again; what waits for it is sent
    Enable {
        /// The channel's name
        channel: String,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Confirm a mailbox or a telephone with the code that it was sent; without a code, have another one sent
    #[command(after_help = "\
Examples:
  isotherm channels confirm ann 4TK9Q-Z0M2A
  isotherm channels confirm ann                 sends another code; one a minute, five a day
A code counts for an hour and may be tried five times. No alert is sent to the channel before.")]
    Confirm {
        /// The channel's name
        channel: String,
        /// The code
        code: Option<String>,
        #[command(flatten)]
        of: OfOrg,
    },
    /// Delete a channel and its address, for good; rules that name it tell it no more, and the only one of a rule stays
    Delete {
        /// The channel's name
        channel: String,
        #[command(flatten)]
        of: OfOrg,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddChannelArguments {
    /// What rules call it: 1 to 63 of a-z, 0-9, _ and -
    pub(crate) channel: String,
    #[command(flatten)]
    pub(crate) address: AddressArguments,
    /// Messages a minute; 60 of a new channel
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=6000))]
    pub(crate) per_minute: Option<i32>,
    #[command(flatten)]
    pub(crate) of: OfOrg,
}

/// Where a channel leads; a channel that is there keeps its address if none is given.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct AddressArguments {
    /// One mailbox
    #[arg(long, value_name = "MAILBOX")]
    pub(crate) email: Option<String>,
    /// A telephone number in E.164, such as +15551234567
    #[arg(long, value_name = "NUMBER")]
    pub(crate) sms: Option<String>,
    /// A receiver of Standard Webhooks
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// Id of a channel of Slack; the bot's token is read from standard input
    #[arg(long, value_name = "ID")]
    pub(crate) slack: Option<String>,
}
