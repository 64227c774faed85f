//! While it catches up: a chain that is there from the beginning, as fast as the follower takes it, beside bare ways to
//! write the same rows into the same tables, with the same partitions, indexes and transactions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use isotherm_lab::benchmark::{cpu_of_process, median, turns};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_lab::tape::paced::PacedServer;

use crate::program::{CHAIN_ID, Program, Signers};
use crate::rows::{Group, boundaries, groups};
use crate::stage::Stage;
use crate::{copy, unnest};

const TRANSACTIONS_PER_BLOCK: usize = 600;
const BLOCKS: usize = 250;
/// Sets of transactions that take turns.
const BODIES: usize = 16;
const ROUNDS: usize = 7;
const FIRST_BLOCK: u64 = 2_000_000;
/// A follower that stores nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way to write the rows.
#[derive(Clone, Copy, Debug)]
enum Way {
    Follower(Signers),
    Copy,
    Unnest,
}

/// The follower in both ways, then its peers.
const WAYS: [Way; 4] = [Way::Follower(Signers::Recovered), Way::Follower(Signers::Believed), Way::Copy, Way::Unnest];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Follower(Signers::Recovered) => "follower",
            Self::Follower(Signers::Believed) => "without signers",
            Self::Copy => "COPY",
            Self::Unnest => "UNNEST",
        }
    }
}

/// What one leg took.
struct Leg {
    seconds: f64,
    /// Of the client: the follower's program, or this one.
    client_cpu: f64,
    postgres_cpu: f64,
    /// Of the follower.
    peak_memory_mib: Option<f64>,
}

pub(crate) async fn run(stage: &Stage) {
    let chain = Arc::new(GeneratedChain::new(&ChainPlan {
        seed: crate::SEED,
        chain_id: CHAIN_ID,
        first_number: FIRST_BLOCK,
        block_count: BLOCKS,
        transactions_per_block: TRANSACTIONS_PER_BLOCK,
        body_count: BODIES,
        first_timestamp: 1_750_000_000,
        block_time_ms: 300,
    }));
    stage.clear().await;
    // Makes the partitions, and shows what it writes in one transaction.
    follower(stage, &chain, Signers::Recovered).await;
    let groups = groups(&chain, &boundaries(stage).await);
    let mut legs: [Vec<Leg>; 4] = Default::default();
    for round in 0..=ROUNDS {
        for leg in turns(WAYS.len(), round) {
            stage.clear().await;
            let took = match WAYS[leg] {
                Way::Follower(signers) => follower(stage, &chain, signers).await,
                Way::Copy => bare(stage, copy::write(&mut stage.connect().await, &groups)).await,
                Way::Unnest => bare(stage, unnest::write(&mut stage.connect().await, &groups)).await,
            };
            let counts = (stage.count("transactions").await, stage.count("logs").await);
            assert_eq!(counts, ((BLOCKS * TRANSACTIONS_PER_BLOCK) as u64, chain.log_count()), "{:?}", WAYS[leg]);
            // In the first round the caches are cold.
            if round > 0 {
                legs[leg].push(took);
            }
        }
    }
    print(&legs, &chain, &groups);
}

/// From the start of the program to the commit of the last block.
async fn follower(stage: &Stage, chain: &Arc<GeneratedChain>, signers: Signers) -> Leg {
    let server = PacedServer::start(Arc::clone(chain)).await.expect("a server");
    server.reveal_all();
    let mut stored = stage.listen().await;
    let (postgres_cpu, began) = (stage.postgres_cpu(), Instant::now());
    let follower = Program::start(stage, server.url(), FIRST_BLOCK, signers).await;
    let mut ended = began;
    for _ in 0..BLOCKS {
        let heard = stored.next(PATIENCE).await;
        (_, ended) = heard.unwrap_or_else(|| panic!("nothing is stored any more:\n{}", follower.log()));
    }
    let leg = Leg {
        seconds: ended.duration_since(began).as_secs_f64(),
        client_cpu: follower.cpu(),
        postgres_cpu: stage.postgres_cpu() - postgres_cpu,
        peak_memory_mib: Some(follower.peak_memory_mib()),
    };
    follower.stop().await;
    leg
}

/// From the first transaction to the commit of the last.
async fn bare(stage: &Stage, write: impl Future<Output = ()>) -> Leg {
    let (postgres_cpu, client_cpu, began) = (stage.postgres_cpu(), cpu_of_process(), Instant::now());
    write.await;
    Leg {
        seconds: began.elapsed().as_secs_f64(),
        client_cpu: cpu_of_process() - client_cpu,
        postgres_cpu: stage.postgres_cpu() - postgres_cpu,
        peak_memory_mib: None,
    }
}

fn print(legs: &[Vec<Leg>; 4], chain: &GeneratedChain, groups: &[Group]) {
    let rows: usize = groups.iter().map(Group::row_count).sum();
    let json_bytes: usize = (0..BLOCKS).map(|place| chain.batch_answer(place..place + 1).len()).sum();
    println!(
        "  catch_up: blocks={BLOCKS} transactions_per_block={TRANSACTIONS_PER_BLOCK} rows={rows} \
         json_bytes={json_bytes} transactions_of_postgres={} rounds={ROUNDS}",
        groups.len()
    );
    for (way, taken) in WAYS.iter().zip(legs) {
        let seconds = || taken.iter().map(|leg| leg.seconds);
        let middle = median(seconds());
        let cpu = |of: fn(&Leg) -> f64| median(taken.iter().map(of));
        println!(
            "    {:<15} {:>7.1} blocks/s (min {:.1}, max {:.1})   {:>8.0} rows/s   {:>6.1} MB/s of JSON   \
             CPU-seconds in {middle:.2} s: client {:.2}, postgres {:.2}",
            way.name(),
            BLOCKS as f64 / middle,
            BLOCKS as f64 / seconds().fold(0.0, f64::max),
            BLOCKS as f64 / seconds().fold(f64::INFINITY, f64::min),
            rows as f64 / middle,
            json_bytes as f64 / 1e6 / middle,
            cpu(|leg| leg.client_cpu),
            cpu(|leg| leg.postgres_cpu),
        );
    }
    let (followers, peers) = legs.split_at(2);
    let pairs = WAYS.iter().zip(followers).flat_map(|own| WAYS[2..].iter().zip(peers).map(move |peer| (own, peer)));
    for ((own_way, own), (way, peer)) in pairs {
        let by = |time: fn(&Leg) -> f64| median(own.iter().zip(peer).map(|(ours, peer)| time(peer) / time(ours)));
        println!(
            "    {:<15} to {:<7} {:.2} by wall time, {:.2} by CPU time, {:.2} by Postgres's (medians over rounds)",
            own_way.name(),
            way.name(),
            by(|leg| leg.seconds),
            by(|leg| leg.client_cpu + leg.postgres_cpu),
            by(|leg| leg.postgres_cpu),
        );
    }
    let peaks = followers.iter().flatten().filter_map(|leg| leg.peak_memory_mib);
    println!("    peak memory of the follower {:.0} MiB (the most of all rounds)", peaks.fold(0.0, f64::max));
}
