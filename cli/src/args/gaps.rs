//! The words of `isotherm gaps`.

use clap::Args;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct MissingArguments {
    /// Only this chain, by name or chain id
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
