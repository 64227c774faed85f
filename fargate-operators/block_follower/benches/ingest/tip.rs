//! At the tip: one new block of 3,000 transactions each 300 ms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use isotherm_lab::benchmark::median;
use isotherm_lab::experiment::{milliseconds, quantile};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_lab::tape::paced::PacedServer;

use crate::program::{CHAIN_ID, Program, Signers};
use crate::stage::Stage;

/// 10,000 transactions a second.
const TRANSACTIONS_PER_BLOCK: usize = 3_000;
const BLOCK_TIME_MS: u64 = 300;
/// A minute, and what comes before it.
const BLOCKS: usize = 220;
/// The first blocks, which are not measured: connections, statements and caches are new.
const WARM_UP_BLOCKS: usize = 20;
/// Sets of transactions that take turns.
const BODIES: usize = 8;
const ROUNDS: usize = 3;
const FIRST_BLOCK: u64 = 1_000_000;
/// A follower that stores nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// One minute of the tip.
struct Minute {
    /// From the moment that the server first served the block to the moment that its commit was heard of.
    since_served: Vec<Duration>,
    /// The same from the moment that the block was there.
    since_revealed: Vec<Duration>,
    seconds: f64,
    follower_cpu: f64,
    postgres_cpu: f64,
    peak_memory_mib: f64,
    /// p50, p95 and p99 in ms, as `hot.block_arrivals` has the lag.
    recorded_ms: Vec<f64>,
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
        block_time_ms: BLOCK_TIME_MS,
    }));
    for (name, signers) in [("all checks", Signers::Recovered), ("without signers", Signers::Believed)] {
        let mut minutes = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            stage.clear().await;
            minutes.push(minute(stage, &chain, signers).await);
        }
        print(name, &minutes);
    }
}

async fn minute(stage: &Stage, chain: &Arc<GeneratedChain>, signers: Signers) -> Minute {
    let server = PacedServer::start(Arc::clone(chain)).await.expect("a server");
    let mut stored = stage.listen().await;
    let follower = Program::start(stage, server.url(), FIRST_BLOCK, signers).await;
    let mut stored_at: Vec<Option<Instant>> = vec![None; BLOCKS];
    let (mut began, mut cpu) = (Instant::now(), (0.0, 0.0));
    for count in 0..BLOCKS {
        let heard = stored.next(PATIENCE).await;
        let (number, at) = heard.unwrap_or_else(|| panic!("nothing is stored any more:\n{}", follower.log()));
        let place = chain.place_of_number(number).expect("the block is of the chain");
        assert!(stored_at[place].replace(at).is_none(), "block {number} was stored twice");
        match count {
            // The follower is there and waits for more.
            0 => server.reveal_each(Duration::from_millis(BLOCK_TIME_MS)),
            WARM_UP_BLOCKS => (began, cpu) = (Instant::now(), (follower.cpu(), stage.postgres_cpu())),
            _ => {}
        }
    }
    let (seconds, cpu_at_end) = (began.elapsed().as_secs_f64(), (follower.cpu(), stage.postgres_cpu()));
    let peak_memory_mib = follower.peak_memory_mib();
    follower.stop().await;
    assert_eq!(stage.count("transactions").await, (BLOCKS * TRANSACTIONS_PER_BLOCK) as u64);
    assert_eq!(stage.count("logs").await, chain.log_count());
    let lags = |from: &dyn Fn(usize) -> Option<Instant>| -> Vec<Duration> {
        let lag = |place: usize| Some(stored_at[place]?.saturating_duration_since(from(place)?));
        (WARM_UP_BLOCKS..BLOCKS).map(|place| lag(place).expect("every block was served and stored")).collect()
    };
    Minute {
        since_served: lags(&|place| server.first_served_at(place)),
        since_revealed: lags(&|place| server.revealed_at(place)),
        seconds,
        follower_cpu: cpu_at_end.0 - cpu.0,
        postgres_cpu: cpu_at_end.1 - cpu.1,
        peak_memory_mib,
        recorded_ms: recorded(stage).await,
    }
}

/// The lag as the platform itself records it: the database's clock before the commit, the follower's at the answer.
async fn recorded(stage: &Stage) -> Vec<f64> {
    let sql = "SELECT percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms)
                 FROM (SELECT extract(epoch FROM committed_at - served_at)::double precision * 1000 AS ms
                         FROM hot.block_arrivals WHERE block_number >= $1) AS arrivals";
    sqlx::query_scalar(sql)
        .bind((FIRST_BLOCK + WARM_UP_BLOCKS as u64).cast_signed())
        .fetch_one(&mut stage.connect().await)
        .await
        .expect("arrivals are recorded")
}

fn print(name: &str, minutes: &[Minute]) {
    println!(
        "  tip, {name}: block_time_ms={BLOCK_TIME_MS} transactions_per_block={TRANSACTIONS_PER_BLOCK} blocks_measured={} \
         rounds={ROUNDS}",
        BLOCKS - WARM_UP_BLOCKS
    );
    let all = |of: fn(&Minute) -> &[Duration]| minutes.iter().flat_map(of).copied().collect::<Vec<_>>();
    let line = |name: &str, of: fn(&Minute) -> &[Duration]| {
        let samples = all(of);
        let at = |share| milliseconds(quantile(&samples, share));
        let by_round: Vec<f64> = minutes.iter().map(|minute| milliseconds(quantile(of(minute), 0.95))).collect();
        println!(
            "    lag since {name:<14} p50 {:.0} ms, p95 {:.0} ms (by round {:.0} to {:.0}), p99 {:.0} ms, \
             most {:.0} ms",
            at(0.5),
            at(0.95),
            by_round.iter().copied().fold(f64::INFINITY, f64::min),
            by_round.iter().copied().fold(0.0, f64::max),
            at(0.99),
            at(1.0),
        );
    };
    line("first served", |minute| &minute.since_served);
    line("it was there", |minute| &minute.since_revealed);
    let middle = |of: &dyn Fn(&Minute) -> f64| median(minutes.iter().map(of));
    println!(
        "    lag as recorded in hot.block_arrivals: p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms",
        middle(&|minute| minute.recorded_ms[0]),
        middle(&|minute| minute.recorded_ms[1]),
        middle(&|minute| minute.recorded_ms[2]),
    );
    println!(
        "    cores: follower {:.2}, postgres {:.2}, together {:.2}   peak memory of the follower {:.0} MiB (medians)",
        middle(&|minute| minute.follower_cpu / minute.seconds),
        middle(&|minute| minute.postgres_cpu / minute.seconds),
        middle(&|minute| (minute.follower_cpu + minute.postgres_cpu) / minute.seconds),
        middle(&|minute| minute.peak_memory_mib),
    );
}
