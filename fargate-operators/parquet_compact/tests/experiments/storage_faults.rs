//! S3 that has no room, and then fails in every way it knows: each attempt ends in a result that says why, the next one
//! goes on, and a manifest lists nothing but what reads back.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use isotherm_lab::experiment::Experiment;
use isotherm_lab::http_faults::s3::{S3Fault, fail_s3};
use isotherm_lab::http_faults::{HttpFaults, Verdict};
use rand::Rng;

use crate::judge::{Faults, manifest_count};
use crate::program::{Ended, Program, claim};
use crate::rows::range;
use crate::world::{PARTITION_BLOCKS, World};

/// Calls that fail, once there is room.
const FAILING_SHARE: f64 = 0.3;

/// How the attempts ended.
#[derive(Debug, Default)]
struct Attempts {
    count: i64,
    panics: i64,
    unclear: i64,
    codes: BTreeSet<String>,
    is_complete: bool,
}

impl Attempts {
    fn add(&mut self, ended: &Ended) {
        self.count += 1;
        self.panics += i64::from(ended.is_disorderly());
        self.is_complete = ended.is_complete();
        self.unclear += i64::from(!ended.is_complete() && !ended.is_clear_and_retryable());
        if let Some((code, ..)) = ended.failure() {
            self.codes.insert(code.to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_storage_faults() {
    let mut experiment = Experiment::begin("storage_faults", &["retry"]);
    let partitions: u64 = experiment.scaled(3, 60);
    let most_attempts: i64 = experiment.scaled(50, 1_000);
    let blocks = range(0, partitions * PARTITION_BLOCKS);
    let world = World::create(blocks, blocks.last().0).await;
    experiment.figure_of_postgres(&mut *world.connect().await).await;
    let (injected, has_room) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, room, chance) = (injected.clone(), has_room.clone(), Mutex::new(experiment.random(0)));
    let proxy = HttpFaults::start(&world.endpoint_url, move |call| {
        let mut chance = chance.lock().unwrap();
        let fault = match room.load(Ordering::Relaxed) {
            false if call.method() == "PUT" => S3Fault::InsufficientStorage,
            true if chance.random_bool(FAILING_SHARE) => S3Fault::ALL[chance.random_range(0..S3Fault::ALL.len())],
            _ => return Verdict::Pass,
        };
        let verdict = fail_s3(call, fault);
        counted.fetch_add(i64::from(!matches!(verdict, Verdict::Pass)), Ordering::Relaxed);
        verdict
    })
    .await
    .unwrap();
    let program = Program::of(&world).with("AWS_ENDPOINT_URL", proxy.endpoint_url());

    let mut attempts = Attempts::default();
    attempts.add(&program.run(&claim(&world, blocks).await).await);
    experiment.zero("completed_without_room", i64::from(attempts.is_complete));
    experiment.zero("listed_without_room", manifest_count(&world).await);
    has_room.store(true, Ordering::Relaxed);
    while !attempts.is_complete && attempts.count < most_attempts && !experiment.lacks("retry") {
        attempts.add(&program.run(&claim(&world, blocks).await).await);
    }
    let mut faults = Faults::default();
    faults.look_at_catalogue(&world, blocks.end().0).await;
    faults.look_at_bucket(&world).await;

    experiment.figure("attempts", attempts.count);
    experiment.figure("faults", injected.load(Ordering::Relaxed));
    experiment.figure("codes", attempts.codes.into_iter().collect::<Vec<_>>().join("+"));
    experiment.zero("panics", attempts.panics);
    experiment.zero("unclear_errors", attempts.unclear);
    experiment.equal("completed", i64::from(attempts.is_complete), 1);
    faults.report(&mut experiment);
    experiment.finish();
}
