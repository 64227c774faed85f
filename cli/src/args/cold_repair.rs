//! The words of `isotherm cold repair`.

use clap::Args;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct ColdRepairArguments {
    /// The chain, by name or chain id
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: String,
    /// Restore this object, by its key
    #[arg(long, value_name = "KEY", conflicts_with = "all")]
    pub(crate) object: Option<String>,
    /// Restore every object that can be; without this and --object nothing is done, only shown
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
