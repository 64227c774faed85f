//! `isotherm up`: follow a chain on this machine, data kept between runs.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_platform::stop::Stop;

use crate::args::UpArguments;
use crate::home::Home;
use crate::live::{self, Interrupted};
use crate::machine::{Machine, Start};
use crate::output::say;
use crate::pipeline::{self, Follow, StartAt};

pub(crate) async fn run(home: &Home, arguments: &UpArguments) -> anyhow::Result<ExitCode> {
    let start: StartAt = arguments.start.parse()?;
    let lock = home.lock()?;
    // Asked before anything is started, so that a wrong address costs a second and leaves nothing behind.
    let chain_id = pipeline::ask_chain_id(&arguments.rpc_url, &arguments.chain, arguments.chain_id).await?;
    say!("following chain {} (id {chain_id})", arguments.chain);
    let stop = Stop::on_signals().context("could not listen for signals")?;
    let machine = Machine::start(&Start { folder: home.stack_folder("up"), keep: true }, &stop).await?;
    let follow = Follow {
        chain: arguments.chain.clone(),
        chain_id,
        rpc_urls: arguments.rpc_url.clone(),
        start,
        partition_blocks: arguments.partition_blocks,
        finality_depth: arguments.finality_depth,
        poll_interval_ms: 100,
    };
    let outcome = match pipeline::start(&machine, &follow).await {
        Ok(()) => {
            lock.announce(&machine.running("up", &arguments.chain))?;
            say!("ready; API at {}", machine.provisioned().api_url);
            live::show(&machine, &stop, None).await.map(|Interrupted| ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
    };
    machine.stop().await;
    outcome
}
