//! Benchmark: five queries over hot rows in Postgres and cold files on S3, by the engine.
//!
//! Beside it plain DuckDB over files with all rows on the local disk, DuckDB over the same objects, and a Postgres that
//! holds all rows with indexes. What the engine asks of S3 is counted; S3 is the emulator, on the same machine.
//!
//! `./isotherm lab bench federated`; method and figures: `docs/benchmarks.md`.

use std::time::Instant;

use isotherm_lab::LabError;
use isotherm_lab::benchmark::{heading, locked_version, median, turns};
use isotherm_query::QueryEngine;
use isotherm_types::Dataset;
use sqlx::PgConnection;

#[path = "federated/chain.rs"]
mod chain;
#[path = "federated/counting_proxy.rs"]
mod counting_proxy;
#[path = "federated/duckdb.rs"]
mod duckdb;
#[path = "federated/legs.rs"]
mod legs;
#[path = "federated/load.rs"]
mod load;
#[path = "federated/queries.rs"]
mod queries;
#[path = "../tests/support/sandbox_program.rs"]
mod sandbox_program;
#[path = "federated/stage.rs"]
mod stage;

use chain::{COLD_PARTITIONS, HOT_BLOCKS, PARTITION_BLOCKS, SEED, TRANSACTIONS_PER_BLOCK};
use counting_proxy::Traffic;
use duckdb::DuckDb;
use legs::{Answerers, LEGS, Leg, Rows, Taken};
use load::Written;
use queries::{Kind, Query};
use stage::Stage;

const ROUNDS: usize = 7;
/// What `docs/benchmarks.md` asks for.
const MOST_OF_DUCKDB: f64 = 1.15;
const MOST_MS_OVER_DUCKDB: f64 = 15.0;
const LEAST_OF_POSTGRES: f64 = 20.0;

/// What the engine did for a query, which is the same each time.
struct Effort {
    traffic: Traffic,
    /// Of the same query once more.
    again: Traffic,
    cold_files: usize,
    hot_rows: u64,
    duration_ms: f64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let stage = Stage::new().await;
    let began = Instant::now();
    let written = load::write(&stage).await;
    stage.finish().await;
    print_heading(&stage, &written, began.elapsed().as_secs_f64()).await;

    let duckdb = peers(&stage, &written).await;
    if let Err(reason) = &duckdb {
        println!("  DuckDB: not run, {reason}");
    }
    let postgres = postgres(&stage).await;
    let engine = stage.engine().await;
    engine.keep_a_sandbox_waiting(legs::TIMEOUT).await;
    let mut answerers = Answerers { stage: &stage, engine, duckdb: duckdb.ok(), postgres };
    let queries = queries::all();
    let efforts = efforts(&stage, &answerers.engine, &queries).await;

    let mut taken: Vec<[Vec<Taken>; LEGS.len()]> = queries.iter().map(|_| Default::default()).collect();
    let mut row_counts = vec![0; queries.len()];
    for round in 0..=ROUNDS {
        for (number, query) in queries.iter().enumerate() {
            let mut expected: Option<Rows> = None;
            for place in turns(LEGS.len(), round) {
                let Some((leg, rows)) = answerers.take(LEGS[place], query).await else { continue };
                row_counts[number] = rows.len();
                assert!(!rows.is_empty(), "{}: there are rows", query.name);
                let same = expected.get_or_insert_with(|| rows.clone());
                assert_eq!(*same, rows, "{}: {} has the rows of the leg before it", query.name, LEGS[place].name());
                // In the first round the caches are cold.
                if round > 0 {
                    taken[number][place].push(leg);
                }
            }
        }
    }
    for (number, query) in queries.iter().enumerate() {
        print(query, row_counts[number], &efforts[number], &taken[number]);
    }
}

async fn print_heading(stage: &Stage, written: &Written, load_seconds: f64) {
    let blocks = COLD_PARTITIONS * PARTITION_BLOCKS + HOT_BLOCKS;
    let mut settings = vec![
        ("duckdb", locked_version("duckdb")),
        ("rounds", ROUNDS.to_string()),
        ("seed", SEED.to_string()),
        ("blocks", blocks.to_string()),
        ("hot_blocks", HOT_BLOCKS.to_string()),
        ("transactions_per_block", TRANSACTIONS_PER_BLOCK.to_string()),
        ("rows", written.row_count.to_string()),
        ("cold_files", written.cold.len().to_string()),
        ("cold_mb", format!("{:.0}", written.cold_bytes as f64 / 1e6)),
        ("load_seconds", format!("{load_seconds:.0}")),
    ];
    for name in ["server_version", "shared_buffers", "work_mem", "max_parallel_workers_per_gather"] {
        settings.push((name, stage.setting(name).await.replace(' ', "_")));
    }
    println!("{}", heading("federated", &settings));
}

/// DuckDB over local files, and over the same objects that the engine reads.
async fn peers(stage: &Stage, written: &Written) -> Result<[DuckDb; 2], LabError> {
    let local = |dataset: Dataset, first_block: u64| stage.local_file(dataset, first_block).display().to_string();
    let newest = chain::hot_blocks().start().0;
    let first_blocks = (0..COLD_PARTITIONS).map(|partition| chain::cold_blocks(partition).start().0);
    let first_blocks: Vec<u64> = first_blocks.chain([newest]).collect();
    let mut urls: Vec<(Dataset, String)> = Vec::new();
    for (dataset, key) in &written.cold {
        urls.push((*dataset, stage.url(key).await));
    }
    let home = stage.folder.path();
    let all_local = DuckDb::start(home, |dataset| first_blocks.iter().map(|first| local(dataset, *first)).collect());
    let on_s3 = DuckDb::start(home, |dataset| {
        let cold = urls.iter().filter(|(found, _)| *found == dataset).map(|(_, url)| url.clone());
        cold.chain([local(dataset, newest)]).collect()
    });
    Ok([all_local.await?, on_s3.await?])
}

/// A connection whose tables without a schema are those of hot storage.
async fn postgres(stage: &Stage) -> PgConnection {
    let mut conn = stage.connect().await;
    sqlx::raw_sql("SET search_path = hot").execute(&mut conn).await.expect("the schema is there");
    conn
}

/// Runs each query once with a proxy before S3, which counts.
async fn efforts(stage: &Stage, engine: &QueryEngine, queries: &[Query]) -> Vec<Effort> {
    let (objects, proxy) = stage.counted().await;
    let engine = QueryEngine { objects, ..engine.clone() };
    let mut efforts = Vec::new();
    for query in queries {
        let engine = legs::anew(&engine).await;
        proxy.take();
        let answer = legs::answer(&engine, query).await;
        let traffic = proxy.take();
        legs::answer(&engine, query).await;
        efforts.push(Effort {
            traffic,
            again: proxy.take(),
            cold_files: answer.summary.cold_files,
            hot_rows: answer.summary.hot_rows_fetched,
            duration_ms: answer.summary.duration.as_secs_f64() * 1e3,
        });
    }
    efforts
}

fn print(query: &Query, row_count: usize, effort: &Effort, taken: &[Vec<Taken>; LEGS.len()]) {
    let Effort { traffic, again, cold_files, hot_rows, duration_ms } = effort;
    println!(
        "  {}: {row_count} rows; the engine reads {cold_files} cold files with {} HEAD and {} GET, {:.2} MB, and \
         {hot_rows} hot rows ({duration_ms:.0} ms behind the proxy that counts); asked again, {} HEAD and {} GET, {:.2} MB",
        query.name,
        traffic.heads,
        traffic.gets,
        traffic.answered_bytes as f64 / 1e6,
        again.heads,
        again.gets,
        again.answered_bytes as f64 / 1e6,
    );
    for (leg, taken) in LEGS.iter().zip(taken).filter(|(_, taken)| !taken.is_empty()) {
        let seconds = || taken.iter().map(|taken| taken.seconds);
        // The kernel counts processor time in hundredths of a second: of a short query only the mean says something.
        let mean = |of: fn(&Taken) -> f64| taken.iter().map(of).sum::<f64>() / taken.len() as f64;
        println!(
            "    {:<12} {:>9.1} ms (min {:.1}, max {:.1})   CPU-seconds: client {:.3}, postgres {:.3}, S3 {:.3}",
            leg.name(),
            median(seconds()) * 1e3,
            seconds().fold(f64::INFINITY, f64::min) * 1e3,
            seconds().fold(0.0, f64::max) * 1e3,
            mean(|taken| taken.client_cpu),
            mean(|taken| taken.postgres_cpu),
            mean(|taken| taken.emulator_cpu),
        );
    }
    let [engine, peers @ ..] = taken;
    for (leg, peer) in LEGS[1..].iter().zip(peers).filter(|(_, peer)| !peer.is_empty()) {
        println!("    {}", comparison(query.kind, *leg, engine, peer));
    }
}

/// Engine and peer in the same rounds.
fn comparison(kind: Kind, leg: Leg, engine: &[Taken], peer: &[Taken]) -> String {
    let by = |of: fn(&Taken, &Taken) -> f64| median(engine.iter().zip(peer).map(|(engine, peer)| of(engine, peer)));
    let times = by(|engine, peer| engine.seconds / peer.seconds);
    let more_ms = by(|engine, peer| (engine.seconds - peer.seconds) * 1e3);
    let share = by(|engine, peer| peer.seconds / engine.seconds);
    let target = match (leg, kind) {
        (Leg::DuckDb, Kind::Scan) => format!(", at most {MOST_OF_DUCKDB} times is asked for"),
        (Leg::DuckDb, Kind::Lookup) => format!(", at most {MOST_MS_OVER_DUCKDB:+.0} ms is asked for"),
        (Leg::Postgres, Kind::Scan) => format!(", at least {LEAST_OF_POSTGRES:.0} times as fast is asked for"),
        (Leg::Postgres, Kind::Lookup) | (Leg::DuckDbOnS3 | Leg::Engine | Leg::EngineAnew, _) => String::new(),
    };
    let name = leg.name();
    format!("against {name}: {times:.2} times its time, {more_ms:+.1} ms, {share:.2} times as fast{target} (medians)")
}
