//! `isotherm`: the platform on one machine, and the questions a person asks of it.
//!
//! It starts the parts, applies the pipeline and reads what the platform wrote. It does no work of the platform itself:
//! that is done by the same Lambda and operator binaries that run on AWS.

mod apply;
mod args;
mod comparison;
mod demo;
mod doctor;
mod down;
mod exit;
mod figures;
mod home;
mod live;
mod machine;
mod output;
mod pipeline;
mod query;
mod schedules;
mod status;
mod tasks;
mod up;

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
        Command::Tasks(arguments) => tasks::run(&home, &arguments).await,
        Command::Doctor => doctor::run(&home).await,
    }
}
