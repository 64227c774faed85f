//! Postgres that is stopped at once, again and again, and S3 of which one call in ten fails, while four tasks backfill
//! one chain: each attempt ends in a result that says why, and the next one goes on.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::http_faults::s3::{S3Fault, fail_s3};
use isotherm_lab::http_faults::{HttpFaults, Verdict};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_types::{ChainId, Fence, TaskSpec};
use rand::Rng;
use serde_json::json;

use crate::attempts::Attempts;
use crate::judge::Faults;
use crate::program::{Program, claim, rate_share_holder};
use crate::server::Server;
use crate::world::{CHAIN_ID, PARTITION_BLOCKS, World, range, recorded_blocks};

const TASKS: u64 = 4;
/// Blocks of the chain that are not final, and one.
const MARGIN_BLOCKS: u64 = 3;
/// Calls to S3 that fail.
const FAILING_SHARE: f64 = 0.1;
/// How they fail.
const FAULTS: [S3Fault; 3] = [S3Fault::InternalError, S3Fault::Conflict, S3Fault::PreconditionFailed];
/// Longest time from one stop to the next.
const LONGEST_PEACE_MS: u64 = 1_500;

const RECORDED: &str = "SELECT (SELECT count(*) FROM cold.pending_files) + (SELECT count(*) FROM cold.data_partitions)";
/// The next attempt's claim. The one before has ended, and needs no part of the endpoint's rate any more.
const NEXT_FENCE: &str = "
    WITH buried AS (DELETE FROM control.rate_shares WHERE holder = $2)
    UPDATE control.tasks SET fence = fence + 1 WHERE id = $1 RETURNING fence";

/// Attempts at a task until one completes it, `most` at most.
async fn complete(world: &World, program: &Program, mut spec: TaskSpec, most: i64) -> Attempts {
    let mut attempts = Attempts::default();
    loop {
        let ended = program.run(&spec).await;
        attempts.add(&ended);
        if ended.is_complete() || attempts.count == most {
            return attempts;
        }
        spec.fence = next_fence(world, &spec).await;
    }
}

async fn next_fence(world: &World, spec: &TaskSpec) -> Fence {
    let mut fence = None;
    eventually("a database that gives the task out again", async || {
        let next = sqlx::query_scalar::<_, i64>(NEXT_FENCE).bind(spec.task_id.0).bind(rate_share_holder(spec));
        fence = next.fetch_one(&world.pool).await.ok().map(Fence);
        fence.is_some()
    })
    .await
    .unwrap();
    fence.unwrap()
}

/// Stops the server once something is recorded, and again after random times, `most` times at most, until the work
/// `is_done`; returns how often.
async fn stop_again_and_again(
    server: &mut Server,
    world: &World,
    most: u32,
    random: &mut impl Rng,
    is_done: &AtomicBool,
) -> u32 {
    eventually("the first file, or the end", async || {
        let recorded: i64 = sqlx::query_scalar(RECORDED).fetch_one(&world.pool).await.unwrap();
        recorded > 0 || is_done.load(Ordering::Relaxed)
    })
    .await
    .unwrap();
    let mut stops = 0;
    while stops < most && !is_done.load(Ordering::Relaxed) {
        server.stop_at_once().await;
        stops += 1;
        server.go_on().await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..LONGEST_PEACE_MS))).await;
    }
    stops
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_ingest_outages() {
    let mut experiment = Experiment::begin("ingest_outages", &["retry"]);
    let partitions: u64 = experiment.scaled(2, 30);
    let most_stops: u32 = experiment.scaled(3, 60);
    let most_attempts: i64 = if experiment.lacks("retry") { 1 } else { experiment.scaled(50, 1_000) };
    let mut random = experiment.random(0);
    let task_blocks = partitions * PARTITION_BLOCKS;
    let blocks = TASKS * task_blocks;
    let tape = recorded_blocks(random.random_range(0..1_000), blocks + MARGIN_BLOCKS).await;
    let folder = tempfile::Builder::new().prefix("isotherm-outages-").tempdir().unwrap();
    // The server may run as another user.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut server = Server::start(folder.path().join("postgres")).await;
    let database = TestDatabase::migrated_on(server.running()).await.unwrap();
    let world = World::create_on(database, ChainId(CHAIN_ID), tape).await;
    experiment.figure_of_postgres(&mut world.pool.acquire().await.unwrap()).await;

    let injected = Arc::new(AtomicI64::new(0));
    let (counted, is_first, chance) = (injected.clone(), AtomicBool::new(true), Mutex::new(experiment.random(1)));
    let proxy = HttpFaults::start(&world.endpoint_url, move |call| {
        // So that one attempt fails for certain.
        let fault = if call.method() == "PUT" && is_first.swap(false, Ordering::Relaxed) {
            S3Fault::Conflict
        } else {
            let mut chance = chance.lock().unwrap();
            if !chance.random_bool(FAILING_SHARE) {
                return Verdict::Pass;
            }
            FAULTS[chance.random_range(0..FAULTS.len())]
        };
        let verdict = fail_s3(call, fault);
        counted.fetch_add(i64::from(!matches!(verdict, Verdict::Pass)), Ordering::Relaxed);
        verdict
    })
    .await
    .unwrap();
    let program = Program::of(&world).with("AWS_ENDPOINT_URL", proxy.endpoint_url());

    let mut specs = Vec::new();
    for task in 0..TASKS {
        specs.push(claim(&world, range(task * task_blocks, (task + 1) * task_blocks), &json!({})).await);
    }
    let is_done = AtomicBool::new(false);
    let working = async {
        let tasks = specs.into_iter().map(|spec| complete(&world, &program, spec, most_attempts));
        let attempts = Attempts::together(join_all(tasks).await);
        is_done.store(true, Ordering::Relaxed);
        attempts
    };
    let stopping = stop_again_and_again(&mut server, &world, most_stops, &mut random, &is_done);
    let (attempts, stops) = tokio::join!(working, stopping);
    let mut faults = Faults::default();
    faults.look_at(&world, blocks, PARTITION_BLOCKS).await;

    experiment.figure("stops", stops);
    experiment.figure("faults", injected.load(Ordering::Relaxed));
    experiment.equal("stopped_at_work", i64::from(stops > 0), 1);
    attempts.report(&mut experiment, i64::try_from(TASKS).unwrap());
    faults.report(&mut experiment, 0);
    experiment.finish();
}
