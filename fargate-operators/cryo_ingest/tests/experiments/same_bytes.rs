//! The same blocks, fetched in pieces of every size, by one task or several at once, killed at random moments, or moved
//! from hot storage: one set of files, byte by byte. Once a leg the endpoint lies.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use isotherm_chain::VerifiedBlock;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::tape::{Fault, FaultRule, Tape};
use isotherm_types::BlockRange;
use rand::Rng;
use serde_json::{Value, json};

use crate::attempts::Attempts;
use crate::compaction::compact;
use crate::judge::{Digests, Faults, Objects, differences};
use crate::program::{Program, bury, claim};
use crate::world::{CHAIN_ID, World, fetch, range, recorded_blocks};

/// Blocks of the chain that are not final, and one.
const MARGIN_BLOCKS: u64 = 3;
/// Attempts at a task beside those that are killed: the one that is lied to, and the last one, and some to spare.
const MORE_ATTEMPTS: i64 = 10;

/// A way to the files.
#[derive(Clone, Copy, Debug)]
struct Leg {
    /// Blocks of a fetch, about: its bytes are what can be set.
    fetch_blocks: usize,
    /// Tasks at once.
    workers: usize,
    /// Attempts that are to be killed.
    kills: usize,
}

const SHORT_LEGS: &[Leg] = &[
    Leg { fetch_blocks: 1, workers: 1, kills: 0 },
    Leg { fetch_blocks: 7, workers: 2, kills: 2 },
    Leg { fetch_blocks: 500, workers: 8, kills: 1 },
];

/// All combinations, those without kills first.
fn long_legs() -> Vec<Leg> {
    let mut legs = Vec::new();
    for kills in [0, 8] {
        for fetch_blocks in [1, 7, 64, 500] {
            legs.extend([1, 2, 8].map(|workers| Leg { fetch_blocks, workers, kills }));
        }
    }
    legs
}

/// What all legs go over.
struct Stretch {
    tape: Tape,
    partition_blocks: u64,
    partitions: u64,
    /// Bytes of JSON in a block, on the average.
    block_bytes: usize,
    /// The chain's profile, if it is not as the chain id says.
    profile: Option<Value>,
}

/// A leg at work.
struct Work<'a> {
    world: &'a World,
    changes: Value,
    partition_blocks: u64,
    most_attempts: i64,
    /// When attempts are to be killed, as shares of the time of two partitions.
    moments: Mutex<VecDeque<f64>>,
    /// How long a partition takes whose task nobody kills.
    partition_time: Duration,
}

impl Stretch {
    async fn create(tape: Tape, partition_blocks: u64, partitions: u64, profile: Option<Value>) -> (Self, Digests) {
        let blocks = range(0, partition_blocks * partitions);
        let followed = World::create(tape.clone()).await;
        let fetched = fetch(&followed.client().await, blocks).await;
        let block_bytes = fetched.iter().map(VerifiedBlock::size_bytes).sum::<usize>() / fetched.len();
        followed.follow_in(blocks, partition_blocks).await;
        compact(&followed, blocks).await;
        let expected = Objects::of(&followed).await.data_digests();
        (Self { tape, partition_blocks, partitions, block_bytes, profile }, expected)
    }

    fn blocks(&self) -> BlockRange {
        range(0, self.partition_blocks * self.partitions)
    }

    /// The job's settings for a leg.
    fn changes(&self, leg: Leg) -> Value {
        let batch_bytes = (leg.fetch_blocks - 1) * self.block_bytes + 1;
        let mut changes = json!({ "partition_blocks": self.partition_blocks, "batch_bytes": batch_bytes });
        if let Some(profile) = &self.profile {
            changes["profile"] = profile.clone();
        }
        changes
    }

    /// The ranges of so many tasks, or as many as there are partitions.
    fn tasks(&self, workers: usize) -> Vec<BlockRange> {
        let partitions = usize::try_from(self.partitions).unwrap();
        let blocks = self.partition_blocks * partitions.div_ceil(workers) as u64;
        let end = self.blocks().end().0;
        let starts = (0..end).step_by(usize::try_from(blocks).unwrap());
        starts.map(|start| range(start, end.min(start + blocks))).collect()
    }
}

impl Work<'_> {
    /// Attempts at a task until one completes it, and how long they took for a partition.
    async fn complete(&self, blocks: BlockRange) -> (Attempts, Duration) {
        let (mut attempts, mut worked) = (Attempts::default(), Duration::ZERO);
        let program = Program::of(self.world);
        loop {
            let moment = self.moments.lock().unwrap().pop_front();
            let life = moment.map(|share| self.partition_time.mul_f64(2.0 * share));
            let spec = claim(self.world, blocks, &self.changes).await;
            let ended = program.run_for(&spec, life).await;
            bury(self.world, &spec).await;
            attempts.add(&ended);
            worked += ended.worked;
            if ended.is_complete() || attempts.count == self.most_attempts {
                let partitions = u32::try_from(blocks.block_count() / self.partition_blocks).unwrap();
                return (attempts, worked / partitions);
            }
        }
    }
}

/// Has the endpoint say something untrue the next time that it is asked for a block.
async fn lie_once(world: &World, number: u64) {
    let params = json!([format!("{number:#x}"), true]);
    let mut block = world.said("eth_getBlockByNumber", &params).await;
    block["stateRoot"] = block["hash"].clone();
    let rule = FaultRule {
        method: Some("eth_getBlockByNumber".to_owned()),
        params: Some(params),
        times: 1,
        fault: Fault::Result(block),
    };
    world.chain.inject(rule);
}

/// Without the guard: the profile of a chain whose endpoint is believed whatever it says.
fn gullible_profile() -> Value {
    let never = json!({ "header_hash": "never", "parent_hash": "never", "transactions_root": "never",
        "receipts_root": "never", "logs_bloom": "never", "gas_used": "never", "sender": "never",
        "effective_gas_price": "never", "contract_address": "never", "unknown_formats": "accept" });
    json!({ "chain_id": CHAIN_ID, "name": "made", "block_time_ms": 400, "finality": { "kind": "tags" },
        "checks": never })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_same_bytes() {
    let mut experiment = Experiment::begin("same_bytes", &["checks"]);
    let legs = experiment.scaled(SHORT_LEGS.to_vec(), long_legs());
    let (partition_blocks, partitions) = experiment.scaled((12, 4), (80, 8));
    let mut random = experiment.random(0);
    let blocks = partition_blocks * partitions;
    let tape = recorded_blocks(random.random_range(0..1_000), blocks + MARGIN_BLOCKS).await;
    let profile = experiment.lacks("checks").then(gullible_profile);
    let (stretch, expected) = Stretch::create(tape, partition_blocks, partitions, profile).await;

    let (mut all, mut faults) = (Vec::new(), Faults::default());
    let (mut differing, mut task_count, mut requests) = (0, 0, Vec::new());
    let mut partition_time: Option<Duration> = None;
    for leg in &legs {
        let world = World::create(stretch.tape.clone()).await;
        lie_once(&world, random.random_range(1..blocks)).await;
        let asked_before = world.chain.http_requests();
        let work = Work {
            world: &world,
            changes: stretch.changes(*leg),
            partition_blocks,
            most_attempts: MORE_ATTEMPTS + i64::try_from(leg.kills).unwrap(),
            moments: Mutex::new((0..leg.kills).map(|_| random.random()).collect()),
            partition_time: partition_time.unwrap_or_default(),
        };
        let tasks = stretch.tasks(leg.workers);
        task_count += i64::try_from(tasks.len()).unwrap();
        let (attempts, times): (Vec<Attempts>, Vec<Duration>) =
            join_all(tasks.into_iter().map(|blocks| work.complete(blocks))).await.into_iter().unzip();
        all.extend(attempts);
        if leg.kills == 0 {
            partition_time = times.into_iter().chain(partition_time).min();
        }
        requests.push(world.chain.http_requests() - asked_before);
        faults.look_at(&world, blocks, partition_blocks).await;
        differing += differences(&expected, &Objects::of(&world).await.data_digests());
    }
    let attempts = Attempts::together(all);
    let kills = attempts.kills;
    experiment.figure("legs", legs.len());
    experiment.figure("files", expected.len());
    experiment.figure("kills", kills);
    let (fewest, most) = (requests.iter().min().copied(), requests.iter().max().copied());
    experiment.figure("requests", format!("{}..{}", fewest.unwrap_or_default(), most.unwrap_or_default()));
    attempts.report(&mut experiment, task_count);
    experiment.zero("other_bytes", differing);
    faults.report(&mut experiment, kills);
    experiment.finish();
}
