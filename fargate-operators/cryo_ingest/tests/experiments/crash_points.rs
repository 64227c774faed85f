//! A backfill that dies at each of its crash points, at the first, the second and the last passing, and the next one,
//! which must take on what it finds and do nothing twice. Tasks go on at either end of cold storage, as chance has it.

use isotherm_lab::experiment::Experiment;
use isotherm_platform::crash_points::CRASH_POINT_VARIABLE;
use isotherm_types::{BlockNumber, BlockRange, CrashPoint, Dataset};
use rand::Rng;
use serde_json::{Value, json};

use crate::judge::{Digests, Faults, Objects, count, differences};
use crate::program::{Program, bury, claim};
use crate::world::{World, range, recorded_blocks};

const PARTITION_BLOCKS: u64 = 4;
/// So that the second passing of each point is in the first attempt.
const FEWEST_PARTITIONS: u64 = 2;
/// Blocks of the chain that are not final, and one.
const MARGIN_BLOCKS: u64 = 3;

const POINTS: [CrashPoint; 5] = [
    CrashPoint::IngestStaged,
    CrashPoint::IngestStored,
    CrashPoint::IngestPending,
    CrashPoint::IngestListed,
    CrashPoint::IngestCommitted,
];

/// At which passings a run dies; `None` is the last one.
const SHORT_HITS: &[Option<u64>] = &[Some(1)];
const LONG_HITS: &[Option<u64>] = &[Some(1), Some(2), None];

/// Partitions of a range of blocks that are recorded, in cold storage or as waiting, and in how many datasets.
const RECORDED: &str = "
    SELECT start_block, end_block, count(*)
      FROM (SELECT dataset, start_block, end_block FROM cold.data_partitions
            UNION ALL
            SELECT dataset, start_block, end_block FROM cold.pending_files) AS files
     WHERE start_block >= $1 AND end_block <= $2
     GROUP BY start_block, end_block";
/// Without the guard: nobody remembers which files are stored and wait.
const FORGET_WAITING: &str = "DELETE FROM cold.pending_files";

/// A task whose first attempt is to die.
struct Crash {
    point: CrashPoint,
    hit: u64,
    blocks: BlockRange,
}

/// Each point at each of the `hits`, in a task of up to `most_partitions`. A task's blocks are right below, or right
/// above, those of the tasks before it; all together begin at block 0.
fn plan(hits: &[Option<u64>], most_partitions: u64, random: &mut impl Rng) -> Vec<Crash> {
    let mut drawn = Vec::new();
    for point in POINTS {
        for hit in hits {
            let partitions = random.random_range(FEWEST_PARTITIONS..=most_partitions);
            drawn.push((point, *hit, partitions, random.random_bool(0.5)));
        }
    }
    let below: u64 = drawn.iter().filter(|(.., is_below)| *is_below).map(|(_, _, partitions, _)| partitions).sum();
    let (mut low, mut high) = (below, below);
    let mut crashes = Vec::new();
    for (point, hit, partitions, is_below) in drawn {
        let first = if is_below { low - partitions } else { high };
        low = low.min(first);
        high = high.max(first + partitions);
        // All datasets of a partition are staged at once; every other point is passed for each file.
        let passings = if point == CrashPoint::IngestStaged { partitions } else { file_count(partitions) };
        let blocks = range(first * PARTITION_BLOCKS, (first + partitions) * PARTITION_BLOCKS);
        crashes.push(Crash { point, hit: hit.unwrap_or(passings), blocks });
    }
    crashes
}

/// Files of so many partitions.
fn file_count(partitions: u64) -> u64 {
    partitions * Dataset::ALL.len() as u64
}

/// All objects after the tasks of `crashes` without any crash.
async fn undisturbed(world: &World, crashes: &[Crash], changes: &Value) -> Digests {
    for crash in crashes {
        let ended = Program::of(world).run(&claim(world, crash.blocks, changes).await).await;
        assert!(ended.is_complete(), "an undisturbed task fails: {ended:?}");
    }
    Objects::of(world).await.digests()
}

/// What a dead attempt at a task has left on record.
struct Recorded {
    file_count: i64,
    /// Partitions of which all files are recorded.
    whole: Vec<BlockRange>,
}

impl Recorded {
    async fn of(world: &World, blocks: BlockRange) -> Self {
        let bound = |block: BlockNumber| i64::try_from(block.0).unwrap();
        let partitions: Vec<(i64, i64, i64)> = sqlx::query_as(RECORDED)
            .bind(bound(blocks.start()))
            .bind(bound(blocks.end()))
            .fetch_all(&world.pool)
            .await
            .unwrap();
        let file_count = partitions.iter().map(|(_, _, files)| files).sum();
        let is_whole = |(_, _, files): &&(i64, i64, i64)| usize::try_from(*files) == Ok(Dataset::ALL.len());
        let blocks_of = |(start, end, _): &(i64, i64, i64)| range(start.cast_unsigned(), end.cast_unsigned());
        Self { file_count, whole: partitions.iter().filter(is_whole).map(blocks_of).collect() }
    }

    fn has(&self, number: u64) -> bool {
        self.whole.iter().any(|blocks| blocks.contains(BlockNumber(number)))
    }
}

/// What came of the tasks.
#[derive(Debug, Default)]
struct Outcome {
    runs: i64,
    aborted: i64,
    completed: i64,
    fetched_again: i64,
    written_again: i64,
}

impl Outcome {
    /// Has a task's first attempt die, and the second one complete it.
    async fn crash(&mut self, world: &World, crash: &Crash, changes: &Value, remembers: bool) {
        let Crash { point, hit, blocks } = *crash;
        let program = Program::of(world);
        let doomed = program.clone().with(CRASH_POINT_VARIABLE, format!("{}:{hit}", point.as_str()));
        let spec = claim(world, blocks, changes).await;
        self.runs += 1;
        self.aborted += i64::from(doomed.run(&spec).await.was_aborted());
        bury(world, &spec).await;

        let recorded = Recorded::of(world, blocks).await;
        if !remembers {
            sqlx::query(FORGET_WAITING).execute(&world.pool).await.unwrap();
        }
        let fetched_before = world.fetched().len();
        let ended = program.run(&claim(world, blocks, changes).await).await;
        self.completed += i64::from(ended.is_complete());
        let fetched = world.fetched().into_iter().skip(fetched_before);
        self.fetched_again += count(fetched.filter(|number| recorded.has(*number)));
        let all_files = i64::try_from(file_count(blocks.block_count() / PARTITION_BLOCKS)).unwrap();
        self.written_again += ended.file_count() - (all_files - recorded.file_count);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_ingest_crash_points() {
    let mut experiment = Experiment::begin("ingest_crash_points", &["pending"]);
    let rounds: u32 = experiment.scaled(1, 10);
    let hits = experiment.scaled(SHORT_HITS, LONG_HITS);
    let most_partitions: u64 = experiment.scaled(2, 3);
    let most_blocks = (POINTS.len() * hits.len()) as u64 * most_partitions * PARTITION_BLOCKS;
    let changes = json!({ "partition_blocks": PARTITION_BLOCKS });
    let mut random = experiment.random(0);
    let tape = recorded_blocks(random.random_range(0..1_000), most_blocks + MARGIN_BLOCKS).await;
    let (mut outcome, mut faults, mut differing) = (Outcome::default(), Faults::default(), 0);
    for _ in 0..rounds {
        let crashes = plan(hits, most_partitions, &mut random);
        let blocks: u64 = crashes.iter().map(|crash| crash.blocks.block_count()).sum();
        let expected = undisturbed(&World::create(tape.clone()).await, &crashes, &changes).await;
        let world = World::create(tape.clone()).await;
        for crash in &crashes {
            outcome.crash(&world, crash, &changes, !experiment.lacks("pending")).await;
        }
        faults.look_at(&world, blocks, PARTITION_BLOCKS).await;
        differing += differences(&expected, &Objects::of(&world).await.digests());
    }
    experiment.equal("aborted_there", outcome.aborted, outcome.runs);
    experiment.equal("completed", outcome.completed, outcome.runs);
    experiment.zero("fetched_again", outcome.fetched_again);
    experiment.zero("written_again", outcome.written_again);
    experiment.zero("other_objects", differing);
    faults.report(&mut experiment, outcome.runs);
    experiment.finish();
}
