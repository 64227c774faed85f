//! Benchmark: event → task → started → completed through this crate, beside a bare batched `FOR UPDATE SKIP LOCKED` loop.
//!
//! Both legs have the same shape: a producer, two workers, batches of the same size, at most so many items on the way, one Postgres
//! with `synchronous_commit=on`. Whoever has nothing to do waits until it is woken, as SQS wakes it. The control plane's leg has a
//! dispatcher between, and writes what the bare one does not: the event, the outbox, the attempt and three rows of trail a task. Legs
//! are interleaved; medians over the rounds.
//!
//! `./isotherm lab bench dispatch`; method and figures: `docs/benchmarks.md`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use isotherm_control::{jobs, pipeline};
use isotherm_lab::benchmark::{cpu_of_process, cpu_of_tree, median};
use isotherm_lab::experiment::{milliseconds, quantile};
use isotherm_lab::postgres::{TestDatabase, shared};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::watch;

#[path = "dispatch/bare.rs"]
mod bare;
#[path = "dispatch/platform.rs"]
mod platform;

/// Items of one leg of one round.
const ITEMS: u64 = 5_000;
/// Items in a batch, of the producer, the dispatcher and each worker.
const BATCH: u32 = 100;
/// Items on the way at most.
const IN_FLIGHT: u64 = 400;
const WORKERS: u64 = 2;
const ROUNDS: usize = 9;
const JOBS: &str = "
version: 1
jobs: [{ name: read, operator: noop, input_datasets: [logs], max_concurrency: 10000 }]
";

/// Where one leg stands.
struct Progress {
    /// Items that the producer has committed, that workers can take, and that are done.
    produced: watch::Sender<u64>,
    queued: watch::Sender<u64>,
    done: watch::Sender<u64>,
    /// Per item, by its number: microseconds from the leg's begin to its recording and to its start.
    recorded: Vec<AtomicU64>,
    started: Vec<AtomicU64>,
    /// Time spent waiting for each kind of step.
    steps: Mutex<BTreeMap<&'static str, Duration>>,
    began: Instant,
}

impl Progress {
    fn new() -> Arc<Self> {
        let slots = || (0..ITEMS).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            produced: watch::Sender::new(0),
            queued: watch::Sender::new(0),
            done: watch::Sender::new(0),
            recorded: slots(),
            started: slots(),
            steps: Mutex::default(),
            began: Instant::now(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Waits for room, notes `BATCH` items as recorded from now on, and returns their numbers; `None` when all are made.
    async fn next_batch(&self) -> Option<std::ops::Range<u64>> {
        let first = *self.produced.borrow();
        if first == ITEMS {
            return None;
        }
        let last = (first + u64::from(BATCH)).min(ITEMS);
        self.done.subscribe().wait_for(|done| last - done <= IN_FLIGHT).await.expect("the leg goes on");
        for item in first..last {
            self.recorded[index(item)].store(self.now(), Ordering::Relaxed);
        }
        Some(first..last)
    }

    fn note_started(&self, items: impl Iterator<Item = u64>) {
        items.for_each(|item| self.started[index(item)].store(self.now(), Ordering::Relaxed));
    }

    /// Counts committed items, and wakes whoever waits for some.
    fn note(&self, of: &watch::Sender<u64>, items: usize) {
        of.send_modify(|count| *count += u64::try_from(items).unwrap_or(0));
        if self.is_over() {
            self.queued.send_modify(|_| {});
        }
    }

    async fn timed<T>(&self, step: &'static str, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = work.await;
        *self.steps.lock().expect("no leg panics").entry(step).or_default() += began.elapsed();
        answer
    }

    fn is_over(&self) -> bool {
        *self.done.borrow() >= ITEMS
    }

    /// From the begin of the transaction that records an item to its start.
    fn waits(&self) -> Vec<Duration> {
        let span = |(recorded, started): (&AtomicU64, &AtomicU64)| {
            Duration::from_micros(started.load(Ordering::Relaxed).saturating_sub(recorded.load(Ordering::Relaxed)))
        };
        self.recorded.iter().zip(&self.started).map(span).collect()
    }
}

fn index(item: u64) -> usize {
    usize::try_from(item).unwrap_or(usize::MAX)
}

/// What one leg took.
struct Leg {
    per_second: f64,
    own_cpu: f64,
    postgres_cpu: f64,
    waits: Vec<Duration>,
    steps: BTreeMap<&'static str, Duration>,
}

async fn measure<F: Future<Output = Arc<Progress>>>(leg: F, postgres: i32) -> Leg {
    let (own, servers, began) = (cpu_of_process(), cpu_of_tree(postgres), Instant::now());
    let progress = leg.await;
    let seconds = began.elapsed().as_secs_f64();
    Leg {
        per_second: *progress.done.borrow() as f64 / seconds,
        own_cpu: cpu_of_process() - own,
        postgres_cpu: cpu_of_tree(postgres) - servers,
        waits: progress.waits(),
        steps: progress.steps.lock().expect("no leg panics").clone(),
    }
}

async fn settle(conn: &mut PgConnection) {
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::query(statement).execute(&mut *conn).await.expect("the server settles");
    }
}

fn print(name: &str, legs: &[Leg]) {
    let of = |value: fn(&Leg) -> f64| median(legs.iter().map(value));
    let waits: Vec<Duration> = legs.iter().flat_map(|leg| leg.waits.iter().copied()).collect();
    println!(
        "  {name:<14} {:>7.0} tasks/s (min {:.0}, max {:.0})   CPU-seconds: process {:.2}, postgres {:.2}   event → started: p50 {:.1} ms, p99 {:.1} ms",
        of(|leg| leg.per_second),
        legs.iter().map(|leg| leg.per_second).fold(f64::INFINITY, f64::min),
        legs.iter().map(|leg| leg.per_second).fold(0.0, f64::max),
        of(|leg| leg.own_cpu),
        of(|leg| leg.postgres_cpu),
        milliseconds(quantile(&waits, 0.5)),
        milliseconds(quantile(&waits, 0.99)),
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let database = TestDatabase::migrated().await.expect("a database");
    let mut conn = database.connect().await.expect("a connection");
    let durable = format!("ALTER DATABASE {} SET synchronous_commit = on", database.name);
    sqlx::raw_sql(AssertSqlSafe(durable)).execute(&mut conn).await.expect("a setting");
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.expect("the organisation");
    let pipeline = pipeline::parse(JOBS).expect("the jobs are valid");
    pipeline::apply(&mut conn, org, &pipeline, "bench").await.expect("the jobs are applied");
    bare::create(&mut conn).await;
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut conn).await.expect("a version");
    let postgres = shared().await.expect("the server").process().pid().as_raw();

    let (mut platform_legs, mut bare_legs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        settle(&mut conn).await;
        let first_bare = round % 2 == 0;
        for bare_now in [first_bare, !first_bare] {
            let leg = if bare_now {
                measure(bare::run(&database), postgres).await
            } else {
                measure(platform::run(&database), postgres).await
            };
            match (round, bare_now) {
                (0, _) => {} // the caches are cold
                (_, true) => bare_legs.push(leg),
                (_, false) => platform_legs.push(leg),
            }
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "benchmark dispatch postgres={version} load={} rounds={ROUNDS} items={ITEMS} batch={BATCH} workers={WORKERS} in_flight={IN_FLIGHT}",
        load.split(' ').next().unwrap_or_default()
    );
    print("control plane", &platform_legs);
    print("bare loop", &bare_legs);
    let pairs = || platform_legs.iter().zip(&bare_legs);
    let cpu = |leg: &Leg| leg.own_cpu + leg.postgres_cpu;
    println!(
        "  ratio {:.2} by wall time, {:.2} by CPU time (medians over rounds)",
        median(pairs().map(|(ours, bare)| ours.per_second / bare.per_second)),
        median(pairs().map(|(ours, bare)| cpu(bare) / cpu(ours))),
    );
    for step in platform::STEPS {
        let spent: Duration = platform_legs.iter().filter_map(|leg| leg.steps.get(step)).sum();
        let items = ITEMS as f64 * platform_legs.len() as f64;
        println!("  control plane, {step:<18} {:>6.1} µs of its connection a task", spent.as_secs_f64() * 1e6 / items);
    }
    ExitCode::SUCCESS
}
