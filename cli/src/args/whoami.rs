//! The words of `isotherm whoami`.

use clap::Args;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct WhoAmIArguments {
    #[command(flatten)]
    pub(crate) printed: Printed,
}
