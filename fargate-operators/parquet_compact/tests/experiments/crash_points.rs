//! A compaction that dies at each of its crash points, at the first, the second and the last passing, and the next one,
//! which must take on what it finds and do nothing twice.

use isotherm_lab::experiment::Experiment;
use isotherm_platform::crash_points::CRASH_POINT_VARIABLE;
use isotherm_types::CrashPoint;
use rand::Rng;

use crate::judge::Faults;
use crate::program::{Program, claim};
use crate::rows::range;
use crate::world::{DATASETS, PARTITION_BLOCKS, World};

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
    experiment.equal("aborted_there", aborted, runs);
    experiment.equal("completed", completed, runs);
    faults.report(&mut experiment);
    experiment.zero("scratch_left", i64::try_from(scratch_left).unwrap());
    experiment.finish();
}
