//! The words of `isotherm users`.

use clap::{Args, Subcommand};
use isotherm_access::Role;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct UsersArguments {
    #[command(subcommand)]
    pub(crate) command: UsersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// The users of an organisation, the newest first
    List {
        /// The organisation's name
        #[arg(long, default_value = "default", value_name = "NAME")]
        org: String,
        /// Only users before the one with this number: the next page
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// At most this many
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        #[command(flatten)]
        printed: Printed,
    },
    /// Add a user to an organisation
    Add(AddUserArguments),
    /// Give a user another role; it counts from the next call on
    SetRole {
        /// The user's name
        name: String,
        /// reader, writer or admin
        role: Role,
        /// The organisation's name
        #[arg(long, default_value = "default", value_name = "NAME")]
        org: String,
        #[command(flatten)]
        printed: Printed,
    },
    /// Shut a user out, from the next call on
    Deactivate {
        /// The user's name
        name: String,
        /// The organisation's name
        #[arg(long, default_value = "default", value_name = "NAME")]
        org: String,
        #[command(flatten)]
        printed: Printed,
    },
    /// Let a user in again who was shut out
    Activate {
        /// The user's name
        name: String,
        /// The organisation's name
        #[arg(long, default_value = "default", value_name = "NAME")]
        org: String,
        #[command(flatten)]
        printed: Printed,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddUserArguments {
    /// What the user is called, in lists and audit trails
    pub(crate) name: String,
    /// The organisation's name
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) org: String,
    /// reader, writer or admin
    #[arg(long, default_value = "reader", value_name = "ROLE")]
    pub(crate) role: Role,
    /// `sub` of the user's tokens, or an AWS principal's ARN; the name if absent
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// `iss` of the user's tokens, or `aws_iam`; this machine's own issuer (`isotherm login`) if absent
    #[arg(long, value_name = "TEXT")]
    pub(crate) issuer: Option<String>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
