//! Eight compactors of one chain at once, while S3 fails one call in ten with 409, 412 or 500 and they are killed at
//! random moments: each dataset must come out with one linear history of manifests, whose files tile and are whole.
//!
//! Half the partitions are in two short files each, to be merged; the other half is hot, to be moved. So at any moment
//! some compactors want to write a merge and others a growth into the same next manifest: what one writes, no other may
//! write over. A commit is contended by all eight, which is how the target's 8 compactors x 100 commits are read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::http_faults::s3::{S3Fault, fail_s3};
use isotherm_lab::http_faults::{Call, HttpFaults, Verdict};
use isotherm_types::Disposition;
use rand::Rng;

use crate::history::{self, Flaws};
use crate::judge::Faults;
use crate::program::{Ended, Program, claim};
use crate::rows::range;
use crate::world::{DATASETS, PARTITION_BLOCKS, World};

const COMPACTORS: u64 = 8;
/// Calls to S3 that fail.
const FAILING_SHARE: f64 = 0.1;
/// How writes fail; reads know only the last.
const FAULTS: [S3Fault; 3] = [S3Fault::Conflict, S3Fault::PreconditionFailed, S3Fault::InternalError];
/// A doomed compactor is killed after at most so many lines of progress, which come every 50 ms while it works, and then
/// at most so much time.
const MOST_LINES: usize = 8;
const LONGEST_REST_MS: u64 = 100;
/// Chains after one another, at most, until there were enough commits and kills.
const MOST_ROUNDS: u64 = 20;
/// Streams of chance of a round.
const STREAMS_OF_A_ROUND: u64 = 100;
/// The header by which S3 lets an object be written once.
const CONDITION: &str = "if-none-match";

/// Whole partitions in cold storage.
const WHOLE: &str = "SELECT count(*) FROM cold.data_partitions WHERE end_block - start_block = $1";

/// How the compactors' attempts ended.
#[derive(Debug, Default)]
struct Attempts {
    count: i64,
    kills: i64,
    panics: i64,
    unclear: i64,
    codes: BTreeSet<String>,
}

/// What all compactors of a round share.
struct Round<'a> {
    world: &'a World,
    program: Program,
    /// Partitions of each dataset that are to be merged, and as many that are to be moved.
    half: u64,
    /// Compactors that are still to be killed.
    doomed: &'a AtomicI64,
    /// Attempts that one compactor makes, at most.
    most_attempts: i64,
}

impl Attempts {
    /// Takes note of an attempt; returns whether another one may come to something.
    fn add(&mut self, ended: &Ended) -> bool {
        self.count += 1;
        if ended.was_killed() {
            self.kills += 1;
            return true;
        }
        self.panics += i64::from(ended.is_disorderly());
        self.unclear += i64::from(!ended.is_complete() && !ended.is_clear_and_retryable());
        self.codes.extend(ended.failure().map(|(code, ..)| code.to_owned()));
        ended.failure().is_none_or(|(.., disposition)| disposition != Disposition::GiveUp)
    }

    fn take(&mut self, other: Self) {
        self.count += other.count;
        self.kills += other.kills;
        self.panics += other.panics;
        self.unclear += other.unclear;
        self.codes.extend(other.codes);
    }
}

impl Round<'_> {
    /// One of the eight: a task after the other, until nothing is left to do. It moves what is due up to a partition
    /// drawn by chance, none perhaps, and then merges.
    async fn compactor(&self, mut random: impl Rng) -> Attempts {
        let mut attempts = Attempts::default();
        while attempts.count < self.most_attempts && !self.is_done().await {
            let partitions = self.half + random.random_range(0..=self.half);
            let spec = claim(self.world, range(0, partitions * PARTITION_BLOCKS)).await;
            let lines = random.random_range(0..=MOST_LINES);
            let rest = Duration::from_millis(random.random_range(0..=LONGEST_REST_MS));
            let is_doomed = self.doomed.fetch_sub(1, Ordering::Relaxed) > 0;
            let ended = if is_doomed {
                self.program.run_and_kill(&spec, lines, rest).await
            } else {
                self.program.run(&spec).await
            };
            if !ended.was_killed() {
                self.doomed.fetch_add(1, Ordering::Relaxed);
            }
            if !attempts.add(&ended) {
                break;
            }
        }
        attempts
    }

    async fn is_done(&self) -> bool {
        let size = i64::try_from(PARTITION_BLOCKS).unwrap();
        let whole: i64 = sqlx::query_scalar(WHOLE).bind(size).fetch_one(&self.world.pool).await.unwrap();
        whole.cast_unsigned() == 2 * self.half * DATASETS.len() as u64
    }
}

/// A chain whose lower partitions are cold in two short files each, and whose upper ones are hot.
async fn contended_world(half: u64) -> World {
    let blocks = range(0, 2 * half * PARTITION_BLOCKS);
    let world = World::create(blocks, blocks.last().0).await;
    let short = PARTITION_BLOCKS / 2;
    for file in 0..2 * half {
        world.backfill(range(file * short, (file + 1) * short)).await;
    }
    world
}

/// Fails one call in ten.
fn judge_call(call: &Call, random: &mut impl Rng) -> Verdict {
    if !random.random_bool(FAILING_SHARE) {
        return Verdict::Pass;
    }
    let fault =
        if call.method() == "PUT" { FAULTS[random.random_range(0..FAULTS.len())] } else { S3Fault::InternalError };
    fail_s3(call, fault)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_compactors() {
    let mut experiment = Experiment::begin("compactors", &["condition", "next_run"]);
    let half: u64 = experiment.scaled(3, 50);
    let kills_wanted: i64 = experiment.scaled(16, 200);
    let most_attempts = if experiment.lacks("next_run") { 1 } else { experiment.scaled(100, 1_000) };
    let is_unconditional = experiment.lacks("condition");
    let (doomed, injected) = (AtomicI64::new(kills_wanted), Arc::new(AtomicI64::new(0)));
    let (mut attempts, mut flaws, mut faults) = (Attempts::default(), Flaws::default(), Faults::default());
    let (mut rounds, mut unfinished) = (0, 0);
    while rounds == 0 || (attempts.kills < kills_wanted && rounds < MOST_ROUNDS && unfinished == 0) {
        let world = contended_world(half).await;
        if rounds == 0 {
            experiment.figure_of_postgres(&mut *world.connect().await).await;
        }
        let random = |stream| experiment.random(rounds * STREAMS_OF_A_ROUND + stream);
        let (counted, chance) = (injected.clone(), Mutex::new(random(0)));
        let proxy = HttpFaults::start(&world.endpoint_url, move |call| {
            let verdict = judge_call(call, &mut *chance.lock().unwrap());
            let is_passed = matches!(verdict, Verdict::Pass);
            counted.fetch_add(i64::from(!is_passed), Ordering::Relaxed);
            if is_passed && is_unconditional { Verdict::PassOnWithout(CONDITION) } else { verdict }
        })
        .await
        .unwrap();
        let program = Program::of(&world).with("AWS_ENDPOINT_URL", proxy.endpoint_url());
        let round = Round { world: &world, program, half, doomed: &doomed, most_attempts };
        let compactors = (1..=COMPACTORS).map(|number| round.compactor(random(number)));
        join_all(compactors).await.into_iter().for_each(|of_one| attempts.take(of_one));
        unfinished += i64::from(!round.is_done().await);
        flaws.look_at(&world, &history::Expected { merged: half, moved: half }).await;
        faults.compare_rows(&world).await;
        rounds += 1;
    }
    experiment.figure("compactors", COMPACTORS);
    experiment.figure("rounds", rounds);
    experiment.figure("attempts", attempts.count);
    experiment.figure("faults", injected.load(Ordering::Relaxed));
    experiment.figure("codes", attempts.codes.into_iter().collect::<Vec<_>>().join("+"));
    experiment.equal("kills", attempts.kills, kills_wanted);
    experiment.zero("panics", attempts.panics);
    experiment.zero("unclear_errors", attempts.unclear);
    experiment.zero("unfinished", unfinished);
    let changes = rounds * 2 * half * DATASETS.len() as u64;
    flaws.report(&mut experiment, i64::try_from(changes).unwrap());
    faults.report_rows(&mut experiment);
    experiment.finish();
}
