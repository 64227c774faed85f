//! The words of `isotherm login`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// The user to be; if absent, you as this machine knows you, made an admin if there is no such user yet
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Organisation in which you are made a user; if the user is there already, it has to be theirs
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Option<String>,
}
