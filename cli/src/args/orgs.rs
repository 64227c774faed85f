//! The words of `isotherm orgs`.

use clap::{Args, Subcommand};
use isotherm_types::Dataset;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct OrgsArguments {
    #[command(subcommand)]
    pub(crate) command: OrgsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrgsCommand {
    /// All organisations, and the datasets that are granted to them
    List {
        #[command(flatten)]
        printed: Printed,
    },
    /// Make an organisation; it has no users and reads nothing yet
    Create {
        /// Its name: 1 to 63 of a-z, 0-9, _ and -
        name: String,
        #[command(flatten)]
        printed: Printed,
    },
    /// Let an organisation read datasets
    Grant(GrantArguments),
    /// Take exactly such a grant away; a wider one stays
    Revoke(GrantArguments),
}

#[derive(Debug, Args)]
pub(crate) struct GrantArguments {
    /// The organisation's name
    pub(crate) org: String,
    /// Name or id of the chain; every chain, also later ones, if absent
    #[arg(long, value_name = "NAME_OR_ID")]
    pub(crate) chain: Option<String>,
    /// blocks, transactions, logs or traces; every one if absent
    #[arg(long, value_name = "DATASET")]
    pub(crate) dataset: Option<Dataset>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
