//! Queries that want more time or memory than there is: each must be stopped in time, its process must be gone, and the
//! next query must be answered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::process::eventually;
use isotherm_query::{QueryEngine, QueryRequest, SandboxMemory};
use isotherm_types::Classified;
use nix::sys::resource::{UsageWho, getrusage};

use crate::made_chain::{follow, range};
use crate::platform::Platform;

/// What a query may take.
const LIMIT: Duration = Duration::from_secs(2);

/// What the end of one that takes longer may take until it is answered.
const GRACE: Duration = Duration::from_millis(500);

const MEMORY_BYTES: u64 = 512 << 20;

/// Resident memory of a sandbox at most, as `docs/adr/0026-what-a-sandbox-may-hold.md` promises it. Judged by the
/// kernel's count of what was resident, by which nothing in the engine goes.
const CAP_BYTES: u64 = MEMORY_BYTES + (640 << 20);

/// How the kernel calls the sandbox's program.
const PROGRAM: &str = "isotherm-sql-sa";

/// Nobody looks at what is resident, and nothing but the address space bounds it.
const UNWATCHED: SandboxMemory = SandboxMemory {
    duckdb_bytes: MEMORY_BYTES,
    resident_bytes: u64::MAX,
    writable_bytes: MEMORY_BYTES + (2 << 30),
    address_space_bytes: MEMORY_BYTES + (2 << 30),
};

const QUERIES: &str = include_str!("hostile_queries.sql");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_hostile_queries() {
    let mut experiment = Experiment::begin("hostile_queries", &["memory", "watch"]);
    let platform = Platform::start().await;
    follow(&mut platform.connect().await, range(0, 35)).await;
    let mut engine = platform.engine.clone();
    engine.sandbox.memory = match (experiment.lacks("memory"), experiment.lacks("watch")) {
        (true, _) => SandboxMemory::around(4 * MEMORY_BYTES),
        (false, true) => UNWATCHED,
        (false, false) => SandboxMemory::around(MEMORY_BYTES),
    };
    let all: Vec<&str> = QUERIES.lines().filter(|line| !line.starts_with("--")).collect();
    let stride = experiment.scaled(5, 1);
    let queries: Vec<&str> = all.iter().step_by(stride).copied().collect();

    let mut ended_by: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut otherwise, mut left_running, mut unhealthy_after) = (0, 0, 0);
    let (mut slowest, mut late) = (Duration::ZERO, 0);
    for sql in &queries {
        let watch = Watch::start();
        let began = Instant::now();
        let outcome = engine.run(QueryRequest::new(*sql, LIMIT)).await;
        let took = began.elapsed();
        slowest = slowest.max(took);
        late += usize::from(took > LIMIT + GRACE);
        let code = outcome.as_ref().map_or_else(Classified::code, |_| "answered");
        *ended_by.entry(code).or_default() += 1;
        if !STOPPED.contains(&code) {
            otherwise += 1;
            println!("{sql}: {:?}", outcome.map(|answer| answer.batches.len()));
        }
        let sandboxes = watch.stop().await;
        assert!(!sandboxes.is_empty(), "the sandbox of {sql} was seen");
        let gone = || sandboxes.iter().all(|sandbox| !PathBuf::from(format!("/proc/{sandbox}")).exists());
        left_running += i64::from(eventually("the end of a sandbox", async || gone()).await.is_err());
        unhealthy_after += i64::from(!is_healthy(&engine).await);
    }

    let peak = peak_bytes();
    let in_words: Vec<String> = ended_by.iter().map(|(code, count)| format!("{code}:{count}")).collect();
    experiment.figure("queries", queries.len());
    experiment.figure("of", all.len());
    experiment.figure("ended_by", in_words.join("+"));
    experiment.figure("peak_mib", peak >> 20);
    experiment.figure("cap_mib", CAP_BYTES >> 20);
    experiment.figure("late", late);
    experiment.zero("ended_otherwise", otherwise);
    experiment.zero("over_memory", i64::from(peak > CAP_BYTES));
    experiment.zero("left_running", left_running);
    experiment.zero("unhealthy_after", unhealthy_after);
    experiment.at_most("slowest_ms", slowest.as_secs_f64() * 1_000.0, (LIMIT + GRACE).as_secs_f64() * 1_000.0);
    experiment.finish();
}

/// How a query may end that wants too much.
const STOPPED: [&str; 5] = ["query.timeout", "query.out_of_memory", "query.failed", "query.refused", "query.too_large"];

async fn is_healthy(engine: &QueryEngine) -> bool {
    let request = QueryRequest::new("select block_number from blocks", Duration::from_secs(30));
    let answer = engine.run(request).await;
    answer.is_ok_and(|answer| answer.batches.iter().map(RecordBatch::num_rows).sum::<usize>() == 35)
}

/// The most that any child of this process has ever had resident at once, by the kernel's own count.
///
/// **Source**: getrusage(2), `ru_maxrss` of children that were waited for. It begins with what the parent had when it
/// started the child, so it is never too little.
fn peak_bytes() -> u64 {
    let kibibytes = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    u64::try_from(kibibytes).unwrap() * 1024
}

/// Notes the sandboxes that this process starts.
struct Watch {
    seen: Arc<Mutex<BTreeSet<String>>>,
    looking: tokio::task::JoinHandle<()>,
}

impl Watch {
    fn start() -> Self {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let found = Arc::clone(&seen);
        let looking = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            loop {
                ticks.tick().await;
                found.lock().unwrap().extend(sandboxes());
            }
        });
        Self { seen, looking }
    }

    async fn stop(self) -> BTreeSet<String> {
        self.looking.abort();
        // Its end is an abort's.
        let _ = self.looking.await;
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// Process ids of this process's children that run the sandbox's program.
fn sandboxes() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread or a child may end while it is looked at.
    let children: String = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .collect::<Vec<_>>()
        .join(" ");
    let runs = |child: &&str| {
        std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim_end() == PROGRAM)
    };
    children.split_whitespace().filter(runs).map(str::to_owned).collect()
}
