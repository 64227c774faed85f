//! `isotherm`: the platform on one machine, and the questions a person asks of it.
//!
//! It starts the parts, applies the pipeline and reads what the platform wrote. It does no work of the platform itself:
//! that is done by the same Lambda and operator binaries that run on AWS.

mod alerts;
mod apply;
mod args;
mod audit;
mod backfill;
mod chains;
mod channels;
mod cold;
mod cold_repair;
mod comparison;
mod connected;
mod cost;
mod demo;
mod deploy;
mod dlq;
mod doctor;
mod down;
mod exit;
mod figures;
mod fire;
mod follower;
mod gaps;
#[cfg(test)]
mod golden;
mod home;
mod jobs;
mod live;
mod local_key;
mod login;
mod machine;
mod orgs;
mod output;
mod package;
mod pipeline;
mod query;
mod schedules;
mod secrets;
mod smoke;
mod status;
mod stored_chains;
mod tasks;
mod triggers;
mod up;
mod users;
mod verify;
mod whoami;
mod yaml_file;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::home::Home;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::new(error).context("could not start the runtime")),
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let home = Home::new(arguments.data);
    match arguments.command {
        Command::Demo(arguments) => demo::run(&home, &arguments).await,
        Command::Up(arguments) => up::run(&home, &arguments).await,
        Command::Down(arguments) => down::run(&home, &arguments).await,
        Command::Status(arguments) => status::run(&home, &arguments).await,
        Command::Query(arguments) => query::run(&home, &arguments).await,
        Command::Plan(arguments) => apply::plan(&home, &arguments).await,
        Command::Apply(arguments) => apply::apply(&home, &arguments).await,
        Command::Chains(arguments) => chains::run(&arguments),
        Command::Cold(arguments) => cold::run(&home, &arguments).await,
        Command::Tasks(arguments) => tasks::run(&home, &arguments).await,
        Command::Jobs(arguments) => jobs::run(&home, &arguments).await,
        Command::Follower(arguments) => follower::run(&home, &arguments).await,
        Command::Backfill(arguments) => backfill::run(&home, &arguments).await,
        Command::Gaps(arguments) => gaps::run(&home, &arguments).await,
        Command::Triggers(arguments) => triggers::run(&home, &arguments).await,
        Command::Alerts(arguments) => alerts::run(&home, &arguments).await,
        Command::Channels(arguments) => channels::run(&home, &arguments).await,
        Command::Dlq(arguments) => dlq::run(&home, &arguments).await,
        Command::Audit(arguments) => audit::run(&home, &arguments).await,
        Command::Login(arguments) => login::run(&home, &arguments).await,
        Command::WhoAmI(arguments) => whoami::run(&home, &arguments).await,
        Command::Orgs(arguments) => orgs::run(&home, &arguments).await,
        Command::Users(arguments) => users::run(&home, &arguments).await,
        Command::Secrets(arguments) => secrets::run(&home, &arguments).await,
        Command::Verify(arguments) => verify::run(&arguments).await,
        Command::Cost(arguments) => cost::run(&arguments),
        Command::Package(arguments) => package::run(&arguments),
        Command::Deploy(arguments) => deploy::run(&arguments).await,
        Command::Smoke(arguments) => smoke::run(&home, &arguments).await,
        Command::Doctor => doctor::run(&home).await,
    }
}
