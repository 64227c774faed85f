//! `isotherm demo`: a chain with traffic, the platform on top of it, and a comparison of the two.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use isotherm_control::pipeline::ChainSettings;
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_local_stack::egress::AllowList;
use isotherm_platform::stop::Stop;
use isotherm_types::{ChainId, Clock as _, Dataset, SystemClock};
use serde_json::json;
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use crate::args::DemoArguments;
use crate::chains::{self, KnownChain, KnownChains, Source};
use crate::comparison::{self, Comparison};
use crate::home::Home;
use crate::live::{self, Interrupted};
use crate::machine::{Machine, Start};
use crate::output::say;
use crate::{figures, local_key, output, pipeline, up};

/// The demo's chain id; anvil's own default.
const CHAIN_ID: u64 = 31337;
/// Blocks in a partition: small, so that compaction is seen several times in a few minutes.
const PARTITION_BLOCKS: u64 = 50;
/// Blocks taken back in the middle.
const REORG_DEPTH: u64 = 2;
/// Compactions of each dataset that have to be seen.
const MIN_FILES: u64 = 2;
/// How long nothing may happen before the demo gives up waiting.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn run(home: &Home, arguments: &DemoArguments) -> anyhow::Result<ExitCode> {
    let known = match chains::known(arguments.chains.as_deref())? {
        Ok(known) => known,
        Err(refused) => return Ok(refused),
    };
    let settings = settings(profile(&known, arguments.chains.as_deref())?);
    let lock = home.lock()?;
    let folder = home.stack_folder("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("could not empty {}", folder.display()))?;
    }
    let began = Instant::now();
    let stop = Stop::on_signals().context("could not listen for signals")?;
    let chain = start_chain(arguments.block_time_ms).await?;
    let token_issuers = local_key::issuer(home)?.issuers().to_string();
    let sealing_keys = local_key::sealing_keys(home)?;
    let allowed = AllowList::default();
    let start = Start { folder, keep: false, token_issuers, sealing_keys, record_calls: None, allowed };
    let machine = Machine::start(&start, &stop).await?;
    lock.announce(&machine.running("demo", "demo"))?;
    pipeline::start(&machine, &settings, &chain.rpc_url()).await?;
    say!(
        "ready after {:.0} s; a chain with a block each {} ms is being followed",
        began.elapsed().as_secs_f64(),
        arguments.block_time_ms
    );
    let traffic = spawn_traffic(&chain, arguments, stop.clone());
    let outcome = match arguments.once {
        true => once(&machine, &chain, arguments, &stop, &traffic).await,
        false => live::show(&machine, &stop, Some(THINGS_TO_TRY)).await.map(|Interrupted| ExitCode::SUCCESS),
    };
    traffic.abort();
    machine.stop().await;
    outcome
}

/// The profile of the demo's chain. Whoever gives a file means one in it.
fn profile<'a>(known: &'a KnownChains, file: Option<&Path>) -> anyhow::Result<Option<&'a KnownChain>> {
    let found = known.of_id(ChainId(CHAIN_ID));
    if let Some(file) = file {
        ensure!(
            found.is_some_and(|found| found.source == Source::File),
            "{} has no chain with the id {CHAIN_ID}, which is that of the demo's chain: add one, or leave out --chains",
            file.display()
        );
    }
    Ok(found)
}

/// As the profile says, but with short partitions and few pauses.
fn settings(profile: Option<&KnownChain>) -> ChainSettings {
    let settings = ChainSettings::new(ChainId(CHAIN_ID), "demo");
    let settings = match profile {
        Some(known) => up::by_profile(settings, known),
        None => settings,
    };
    ChainSettings { poll_interval_ms: 50, partition_blocks: PARTITION_BLOCKS, ..settings }
}

const THINGS_TO_TRY: &str = "three things to try, from another terminal:
  ./isotherm query \"select block_number, count(*) from transactions group by 1 order by 1 desc limit 5\"
  ./isotherm status
  kill -9 $(pgrep -f operator-block_follower)   # then watch ./isotherm tasks list: it is back in seconds, and nothing is missing
Ctrl-C stops everything.";

async fn start_chain(block_time_ms: u64) -> anyhow::Result<Anvil> {
    let now = SystemClock.now().timestamp();
    let options = AnvilOptions {
        chain_id: CHAIN_ID,
        timestamp: u64::try_from(now).ok(),
        block_time: Some(Duration::from_millis(block_time_ms)),
        no_mining: false,
        slots_in_an_epoch: 1,
        prune_history: Some(64),
        ..AnvilOptions::default()
    };
    Anvil::start(options).await.context("could not start the demo's chain")
}

/// Sends about one block's transactions each block time.
fn spawn_traffic(chain: &Anvil, arguments: &DemoArguments, stop: Stop) -> JoinHandle<()> {
    let options = TrafficOptions { transactions_per_block: arguments.transactions, ..TrafficOptions::default() };
    let mut traffic = Traffic::new(chain.rpc_url(), CHAIN_ID, arguments.seed, options);
    let mut ticks = tokio::time::interval(Duration::from_millis(arguments.block_time_ms));
    tokio::spawn(async move {
        while !stop.is_requested() {
            ticks.tick().await;
            if let Err(error) = traffic.tick().await {
                tracing::warn!(error = %error, "the chain refused traffic");
            }
        }
    })
}

/// Follows `arguments.blocks` blocks through a reorg and compares the answers with the chain.
async fn once(
    machine: &Machine,
    chain: &Anvil,
    arguments: &DemoArguments,
    stop: &Stop,
    traffic: &JoinHandle<()>,
) -> anyhow::Result<ExitCode> {
    let mut conn = figures::connect(machine.database_url()).await?;
    follow_blocks(&mut conn, arguments.blocks / 2, stop).await?;
    let reorgs = reorg(&mut conn, chain, stop).await?;
    follow_blocks(&mut conn, arguments.blocks, stop).await?;
    wait(&mut conn, "compaction of two partitions", stop, |figures| {
        figures.chains.iter().flat_map(|chain| &chain.datasets).all(|dataset| dataset.cold_files >= MIN_FILES)
    })
    .await?;

    traffic.abort();
    chain.call("evm_setIntervalMining", json!([0])).await.context("could not stop the chain's mining")?;
    let head = settled_head(chain, arguments.block_time_ms).await?;
    wait(&mut conn, "the follower to reach the chain's head", stop, |figures| {
        figures.chains.first().and_then(|chain| chain.cursor.tip).is_some_and(|tip| tip.number.0 == head)
    })
    .await?;

    let figures = figures::collect(&mut conn).await?;
    let comparison = comparison::compare(machine.aws(), chain.rpc()).await?;
    figures::print(&figures);
    print_comparison(&comparison, reorgs);
    ensure!(reorgs > 0, "the reorg was not seen by the follower");
    match comparison.differences.as_slice() {
        [] => {
            say!("the answers equal the chain");
            Ok(ExitCode::SUCCESS)
        }
        differences => {
            differences.iter().for_each(|difference| eprintln!("isotherm: {difference}"));
            bail!("the answers differ from the chain in {} places", differences.len())
        }
    }
}

/// The head once mining has stopped: a block that was being mined when it was told to may still come.
async fn settled_head(chain: &Anvil, block_time_ms: u64) -> anyhow::Result<u64> {
    let ask = async || chain.block_number().await.context("could not ask the chain for its head");
    let mut head = ask().await?;
    loop {
        tokio::time::sleep(Duration::from_millis(2 * block_time_ms)).await;
        let now = ask().await?;
        if now == head {
            return Ok(head);
        }
        head = now;
    }
}

async fn follow_blocks(conn: &mut PgConnection, blocks: u64, stop: &Stop) -> anyhow::Result<()> {
    say!("following until {blocks} blocks are stored …");
    wait(conn, "the follower to store blocks", stop, |figures| {
        figures.chains.first().is_some_and(|chain| figures::stored_blocks(&chain.cursor) >= blocks)
    })
    .await
}

/// Takes the chain's last two blocks back until the follower has had to do the same, and returns how often it did.
async fn reorg(conn: &mut PgConnection, chain: &Anvil, stop: &Stop) -> anyhow::Result<u64> {
    say!("taking back the last {REORG_DEPTH} blocks of the chain …");
    for _ in 0..5 {
        chain.reorg(REORG_DEPTH, &[]).await.context("could not reorganise the chain")?;
        let replaced = chain.block_number().await.context("could not ask the chain for its head")?;
        wait(conn, "the follower to pass the reorg", stop, |figures| {
            figures.chains.first().and_then(|chain| chain.cursor.tip).is_some_and(|tip| tip.number.0 > replaced)
        })
        .await?;
        let seen = figures::reorg_count(conn).await?;
        if seen > 0 {
            return Ok(seen);
        }
    }
    Ok(0)
}

/// Waits until `reached` holds; gives up when the figures stand still for [`PATIENCE`].
async fn wait(
    conn: &mut PgConnection,
    what: &str,
    stop: &Stop,
    reached: impl Fn(&figures::Figures) -> bool,
) -> anyhow::Result<()> {
    let mut progress = live::Progress::new();
    let mut last_change = Instant::now();
    let mut last_line = String::new();
    loop {
        let figures = figures::collect(conn).await?;
        if reached(&figures) {
            progress.clear();
            return Ok(());
        }
        let line = figures::line(&figures);
        if line != last_line {
            progress.show(&line);
            last_line = line;
            last_change = Instant::now();
        }
        if let Some(halt) = figures.chains.first().and_then(|chain| chain.cursor.halted.as_ref()) {
            bail!("the chain is halted: {} ({})", halt.message, halt.code);
        }
        ensure!(
            last_change.elapsed() < PATIENCE,
            "waited {} s for {what} and nothing moved; `./isotherm doctor` and the logs say more",
            PATIENCE.as_secs()
        );
        tokio::select! {
            () = stop.requested() => bail!("stopped while waiting for {what}"),
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
    }
}

fn print_comparison(comparison: &Comparison, reorgs: u64) {
    let mut table = output::table(
        &["rows", "by SQL over hot and cold", "by the chain's RPC"],
        &["by SQL over hot and cold", "by the chain's RPC"],
    );
    for dataset in [Dataset::Blocks, Dataset::Transactions, Dataset::Logs] {
        let (answered, expected) = comparison.totals(dataset);
        table.add_row([dataset.to_string(), output::grouped(answered), output::grouped(expected)]);
    }
    say!("{table}");
    say!(
        "compared block by block from {} to {}: hash, transactions, logs; reorgs passed: {reorgs}",
        output::grouped(comparison.first_block),
        output::grouped(comparison.last_block),
    );
}

#[cfg(test)]
mod tests {
    use isotherm_chain::{ChainProfile, Check, Checks, Finality};

    use super::*;

    fn file(chain_id: u64) -> KnownChains {
        let unknown = ChainProfile::unknown(ChainId(chain_id), "mine".to_owned(), Finality::Tags {});
        let checks = Checks { sender: Check::Never, ..Checks::ALL };
        KnownChains::of(vec![ChainProfile { max_reorg_depth: 9, checks, ..unknown }])
    }

    #[test]
    fn a_file_is_followed_in_what_it_says_of_the_demos_chain() {
        let known = file(CHAIN_ID);
        let settings = settings(profile(&known, Some(Path::new("chains.yaml"))).unwrap());
        assert_eq!((settings.chain.as_str(), settings.partition_blocks, settings.poll_interval_ms), ("demo", 50, 50));
        assert_eq!(settings.max_reorg_depth, 9);
        assert_eq!(settings.profile.unwrap()["checks"]["sender"], "never");
    }

    #[test]
    fn without_a_file_the_chain_is_followed_as_it_is_known() {
        let known = KnownChains::of(Vec::new());
        let expected = ChainSettings {
            poll_interval_ms: 50,
            partition_blocks: PARTITION_BLOCKS,
            ..ChainSettings::new(ChainId(CHAIN_ID), "demo")
        };
        assert_eq!(settings(profile(&known, None).unwrap()), expected);
    }

    #[test]
    fn a_file_without_the_demos_chain_is_refused() {
        let error = profile(&file(5), Some(Path::new("chains.yaml"))).unwrap_err().to_string();
        assert!(error.starts_with("chains.yaml has no chain with the id 31337"), "{error}");
    }
}
