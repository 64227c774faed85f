//! A compaction that dies at each of its crash points, those of merging and cleanup among them, at the first, the
//! second and the last passing, and the next one, which must take on what it finds and do nothing twice.

use isotherm_lab::experiment::Experiment;
use isotherm_platform::crash_points::CRASH_POINT_VARIABLE;
use isotherm_types::CrashPoint;
use rand::Rng;

use crate::judge::Faults;
use crate::program::{Program, claim, claim_with_cleanup};
use crate::rows::range;
use crate::world::{DATASETS, PARTITION_BLOCKS, World};

/// Points of what follows once nothing is due any more, and how often a run passes each in [`ripe_world`].
const LATER_POINTS: [(CrashPoint, u64); 7] = [
    (CrashPoint::MergeStaged, MERGES),
    (CrashPoint::MergeStored, MERGES),
    (CrashPoint::MergeListed, MERGES),
    (CrashPoint::MergeCommitting, MERGES),
    (CrashPoint::MergeCommitted, MERGES),
    (CrashPoint::CleanupDetached, LEAVES),
    (CrashPoint::CleanupDropped, LEAVES),
];
/// One for each dataset.
const MERGES: u64 = DATASETS.len() as u64;
/// Those of three partitions, of each dataset and of traces, which are empty.
const LEAVES: u64 = 3 * (MERGES + 1);
/// Blocks that are cold there, and all blocks.
const RIPE_COLD: u64 = 3 * PARTITION_BLOCKS;
const RIPE_TIP: u64 = 6 * PARTITION_BLOCKS;

const POINTS: [CrashPoint; 5] = [
    CrashPoint::CompactStaged,
    CrashPoint::CompactStored,
    CrashPoint::CompactListed,
    CrashPoint::CompactCommitting,
    CrashPoint::CompactCommitted,
];

/// At which passings a run dies; `None` is the last one, that of the last dataset's last partition.
const SHORT_HITS: &[Option<u64>] = &[Some(1), None];
const LONG_HITS: &[Option<u64>] = &[Some(1), Some(2), None];
const LATER_SHORT_HITS: &[Option<u64>] = &[None];

/// A run that is to die, and the partitions of its range.
struct Crash {
    point: CrashPoint,
    hit: u64,
    partitions: u64,
}

/// Each point at each of the `hits`, over as many partitions as are drawn.
fn plan(hits: &[Option<u64>], mut draw: impl FnMut() -> u64) -> Vec<Crash> {
    let mut crashes = Vec::new();
    for point in POINTS {
        for hit in hits {
            let partitions = draw();
            let last = partitions * DATASETS.len() as u64;
            crashes.push(Crash { point, hit: hit.unwrap_or(last), partitions });
        }
    }
    crashes
}

/// A world in which nothing is due, but the lowest partition is in two files of each dataset, and the hot rows of all
/// that is cold may go.
async fn ripe_world() -> World {
    let middle = PARTITION_BLOCKS / 2;
    let world = World::create(range(middle, RIPE_TIP), RIPE_TIP - 1).await;
    world.compact(range(middle, RIPE_COLD)).await.unwrap();
    world.backfill(range(0, middle)).await;
    world.let_an_hour_pass().await;
    world
}

/// Blocks in hot storage, those of them that are cold, and tables that are no part of it any more.
async fn look_at_hot_storage(world: &World) -> (i64, i64, i64) {
    let cold = i64::try_from(RIPE_COLD).unwrap();
    sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE block_number < $1),
                (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = 'hot' AND c.relkind = 'r' AND c.relname ~ '_[0-9]{10}$' AND NOT c.relispartition)
           FROM hot.blocks",
    )
    .bind(cold)
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_compaction_crash_points() {
    let mut experiment = Experiment::begin("compaction_crash_points", &["next_run"]);
    let rounds: u32 = experiment.scaled(1, 10);
    let hits = experiment.scaled(SHORT_HITS, LONG_HITS);
    let most_partitions: u64 = experiment.scaled(2, 4);
    let mut random = experiment.random(0);
    let (mut runs, mut aborted, mut completed, mut scratch_left) = (0, 0, 0, 0);
    let mut faults = Faults::default();
    for _ in 0..rounds {
        let crashes = plan(hits, || random.random_range(1..=most_partitions));
        let blocks = PARTITION_BLOCKS * crashes.iter().map(|crash| crash.partitions).sum::<u64>();
        let world = World::create(range(0, blocks), blocks - 1).await;
        let scratch = tempfile::tempdir().unwrap();
        let program = Program::of(&world).with("TMPDIR", scratch.path().to_str().unwrap());
        let mut start = 0;
        for Crash { point, hit, partitions } in crashes {
            let end = start + partitions * PARTITION_BLOCKS;
            let doomed = program.clone().with(CRASH_POINT_VARIABLE, format!("{}:{hit}", point.as_str()));
            runs += 1;
            aborted += i64::from(doomed.run(&claim(&world, range(start, end)).await).await.was_aborted());
            if !experiment.lacks("next_run") {
                completed += i64::from(program.run(&claim(&world, range(start, end)).await).await.is_complete());
            }
            faults.look_at_catalogue(&world, end).await;
            start = end;
        }
        faults.look_at_bucket(&world).await;
        scratch_left += std::fs::read_dir(scratch.path()).unwrap().count();
    }
    let (mut worlds, mut hot_kept, mut hot_left, mut tables_left) = (0, 0, 0, 0);
    let later_hits = experiment.scaled(LATER_SHORT_HITS, LONG_HITS);
    for _ in 0..rounds {
        let crashes = LATER_POINTS.iter().flat_map(|later| later_hits.iter().map(move |hit| (*later, *hit)));
        for ((point, passings), hit) in crashes {
            let world = ripe_world().await;
            let program = Program::of(&world);
            let doomed = format!("{}:{}", point.as_str(), hit.unwrap_or(passings));
            let doomed = program.clone().with(CRASH_POINT_VARIABLE, doomed);
            runs += 1;
            aborted += i64::from(doomed.run(&claim_with_cleanup(&world).await).await.was_aborted());
            if !experiment.lacks("next_run") {
                completed += i64::from(program.run(&claim_with_cleanup(&world).await).await.is_complete());
            }
            faults.look_at_ranges(&world, RIPE_COLD).await;
            faults.compare_rows(&world).await;
            let (blocks, cold, tables) = look_at_hot_storage(&world).await;
            worlds += 1;
            hot_kept += blocks - cold;
            hot_left += cold;
            tables_left += tables;
        }
    }
    experiment.equal("aborted_there", aborted, runs);
    experiment.equal("completed", completed, runs);
    faults.report(&mut experiment);
    experiment.equal("hot_blocks_kept", hot_kept, worlds * i64::try_from(RIPE_TIP - RIPE_COLD).unwrap());
    experiment.zero("hot_blocks_left", hot_left);
    experiment.zero("hot_tables_left", tables_left);
    experiment.zero("scratch_left", i64::try_from(scratch_left).unwrap());
    experiment.finish();
}
