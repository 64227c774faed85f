//! `isotherm smoke`: whether a stack works, tried by using it, one line a check.
//!
//! What can be tried from here is; the rest a `noop` task tries inside the network (`operator_noop::checks`), and its output is read
//! by SQL, through the function that answers everybody's. On one machine and on AWS it is the same way. It must never change
//! anything but its own organisation, what its own secret holds, and objects below `smoke/`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use isotherm_lab::tools;
use uuid::Uuid;

use crate::args::{Output, SmokeArguments};
use crate::deploy;
use crate::exit::UNSOUND;
use crate::home::Home;

mod checks;
mod evidence;
mod inside;
mod invoke;
mod outcome;
mod side;
mod webhook;

use outcome::Outcome;
use side::Side;

pub(crate) async fn run(home: &Home, arguments: &SmokeArguments) -> anyhow::Result<ExitCode> {
    let side = match &arguments.env {
        None => Side::here(home, arguments).await?,
        Some(env) => {
            let root = tools::repository_root().context("could not find the repository")?;
            deploy::check_environment(&root, env)?;
            let account = deploy::var_file::read(&deploy::var_file(env, arguments.var_file.as_deref()))?;
            Side::of_account(root, env, &account, arguments).await?
        }
    };
    let patience = Duration::from_secs(arguments.timeout_seconds);
    let nonce = Uuid::now_v7().simple().to_string();
    let output = if arguments.json { Output::Json } else { arguments.printed.output };
    let outcomes = checks::all(&side, &nonce, patience, output).await;
    outcome::end(output, &outcomes)?;
    Ok(if outcomes.iter().all(Outcome::is_ok) { ExitCode::SUCCESS } else { ExitCode::from(UNSOUND) })
}
