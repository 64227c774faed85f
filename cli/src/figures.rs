//! What the running stack's database says of itself: tips, lag, rows hot and cold, tasks.

use std::time::Duration;

use anyhow::Context;
use isotherm_cold_store::catalog;
use isotherm_control::task::TaskState;
use isotherm_control::{jobs, outbox, tasks};
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_hot_store::lag::{self, Lag};
use isotherm_hot_store::rows;
use isotherm_types::{BlockNumber, BlockRange, Dataset};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::output::say;
use crate::output::{grouped, table};

/// Blocks over which lag is measured.
const LAG_BLOCKS: i64 = 1_000;

/// Everything that `isotherm status` shows.
pub(crate) struct Figures {
    pub(crate) chains: Vec<ChainFigures>,
    /// Tasks by state; states without any are left out.
    pub(crate) tasks: Vec<(TaskState, u64)>,
    /// Events that no queue has been told of yet.
    pub(crate) outbox_pending: u64,
    /// Age of the oldest of them.
    pub(crate) outbox_lag: Option<Duration>,
    /// Names of active jobs that a person has paused.
    pub(crate) paused_jobs: Vec<String>,
}

/// One chain.
pub(crate) struct ChainFigures {
    pub(crate) cursor: Cursor,
    pub(crate) lag: Option<Lag>,
    pub(crate) datasets: Vec<DatasetFigures>,
}

/// One dataset of a chain. Hot rows are those above the watermark, as in a query.
pub(crate) struct DatasetFigures {
    pub(crate) dataset: Dataset,
    pub(crate) hot_rows: u64,
    pub(crate) cold_rows: u64,
    pub(crate) cold_files: u64,
    pub(crate) watermark: Option<BlockNumber>,
    pub(crate) manifest_version: Option<u64>,
}

/// Connects to the stack's database.
pub(crate) async fn connect(database_url: &str) -> anyhow::Result<PgConnection> {
    // The cause is left out on purpose: it could hold the address, and the address holds the password.
    PgConnection::connect(database_url)
        .await
        .ok()
        .context("the running stack's database does not answer; `./isotherm doctor` says more")
}

/// Reads the figures in one snapshot.
pub(crate) async fn collect(conn: &mut PgConnection) -> anyhow::Result<Figures> {
    let mut db_tx = conn
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
        .context("could not open a snapshot")?;
    let mut chains = Vec::new();
    for cursor in cursor::all(&mut db_tx).await.context("could not read the cursors")? {
        chains.push(chain_figures(&mut db_tx, cursor).await?);
    }
    let tasks = tasks::counts(&mut db_tx).await.context("could not count the tasks")?;
    let outbox = outbox::pending(&mut db_tx).await.context("could not count the outbox")?;
    let active = jobs::active(&mut db_tx).await.context("could not read the jobs")?;
    let paused_jobs = active.into_iter().filter(|job| job.paused).map(|job| job.name).collect();
    db_tx.rollback().await.context("could not close the snapshot")?;
    Ok(Figures { chains, tasks, outbox_pending: outbox.row_count, outbox_lag: outbox.oldest_age, paused_jobs })
}

async fn chain_figures(conn: &mut PgConnection, cursor: Cursor) -> anyhow::Result<ChainFigures> {
    let chain_id = cursor.chain_id;
    let lag = lag::recent(conn, chain_id, LAG_BLOCKS).await.context("could not measure the lag")?;
    let mut datasets = Vec::new();
    for dataset in Dataset::ALL.into_iter().filter(|dataset| *dataset != Dataset::Traces) {
        let head = catalog::head(conn, chain_id, dataset).await.context("could not read the watermark")?;
        let files = catalog::partitions(conn, chain_id, dataset).await.context("could not read the list of files")?;
        let first_hot = head.as_ref().map(|head| head.watermark.next()).or(cursor.first_block);
        let hot = first_hot.zip(cursor.tip).and_then(|(first, tip)| BlockRange::inclusive(first, tip.number).ok());
        let hot_rows = match hot {
            Some(blocks) => rows::count(conn, chain_id, dataset, blocks).await.context("could not count rows")?,
            None => 0,
        };
        datasets.push(DatasetFigures {
            dataset,
            hot_rows,
            cold_rows: files.iter().map(|file| file.row_count).sum(),
            cold_files: files.len() as u64,
            watermark: head.as_ref().map(|head| head.watermark),
            manifest_version: head.map(|head| head.manifest_version),
        });
    }
    Ok(ChainFigures { cursor, lag, datasets })
}

/// Prints the figures as tables.
pub(crate) fn print(figures: &Figures) {
    let mut chains = table(
        &["chain", "id", "first block", "tip", "finalized", "lag p50", "lag p95", "state"],
        &["id", "first block", "tip", "finalized", "lag p50", "lag p95"],
    );
    for ChainFigures { cursor, lag, .. } in &figures.chains {
        chains.add_row([
            cursor.chain.clone(),
            cursor.chain_id.to_string(),
            number(cursor.first_block),
            number(cursor.tip.map(|tip| tip.number)),
            number(cursor.finalized.map(|finalized| finalized.number)),
            lag.map_or_else(String::new, |lag| format!("{:.0} ms", lag.p50_ms)),
            lag.map_or_else(String::new, |lag| format!("{:.0} ms", lag.p95_ms)),
            cursor.halted.as_ref().map_or_else(|| "following".to_owned(), |halt| format!("halted: {}", halt.message)),
        ]);
    }
    say!("{chains}");
    let right = ["hot rows", "cold rows", "files", "watermark", "manifest"];
    let mut datasets = table(&["chain", "dataset", "hot rows", "cold rows", "files", "watermark", "manifest"], &right);
    for chain in &figures.chains {
        for figures in &chain.datasets {
            datasets.add_row([
                chain.cursor.chain.clone(),
                figures.dataset.to_string(),
                grouped(figures.hot_rows),
                grouped(figures.cold_rows),
                grouped(figures.cold_files),
                number(figures.watermark),
                figures.manifest_version.map_or_else(String::new, |version| version.to_string()),
            ]);
        }
    }
    say!("{datasets}");
    say!("tasks: {}; outbox: {}", tasks_line(&figures.tasks), outbox_line(figures));
    if !figures.paused_jobs.is_empty() {
        say!("paused jobs: {}", figures.paused_jobs.join(", "));
    }
}

/// What waits in the outbox, as a phrase.
pub(crate) fn outbox_line(figures: &Figures) -> String {
    match figures.outbox_lag {
        Some(lag) => format!("{} events wait, the oldest for {} s", grouped(figures.outbox_pending), lag.as_secs()),
        None => "empty".to_owned(),
    }
}

/// Tasks by state, as a phrase.
pub(crate) fn tasks_line(tasks: &[(TaskState, u64)]) -> String {
    if tasks.is_empty() {
        return "none".to_owned();
    }
    tasks.iter().map(|(state, count)| format!("{} {}", grouped(*count), state.as_str())).collect::<Vec<_>>().join(", ")
}

fn number(block: Option<BlockNumber>) -> String {
    block.map_or_else(String::new, |block| grouped(block.0))
}

/// The figures for programs.
pub(crate) fn to_json(figures: &Figures) -> Value {
    let chains: Vec<Value> = figures.chains.iter().map(chain_json).collect();
    let tasks: serde_json::Map<String, Value> =
        figures.tasks.iter().map(|(state, count)| (state.as_str().to_owned(), json!(count))).collect();
    json!({
        "chains": chains, "tasks": tasks, "outbox_pending": figures.outbox_pending,
        "outbox_lag_seconds": figures.outbox_lag.map(|lag| lag.as_secs_f64()), "paused_jobs": figures.paused_jobs,
    })
}

fn chain_json(chain: &ChainFigures) -> Value {
    let cursor = &chain.cursor;
    let datasets: Vec<Value> = chain
        .datasets
        .iter()
        .map(|figures| {
            json!({
                "dataset": figures.dataset, "hot_rows": figures.hot_rows, "cold_rows": figures.cold_rows,
                "cold_files": figures.cold_files, "watermark": figures.watermark,
                "manifest_version": figures.manifest_version,
            })
        })
        .collect();
    json!({
        "chain": cursor.chain, "chain_id": cursor.chain_id, "first_block": cursor.first_block, "tip": cursor.tip,
        "finalized": cursor.finalized,
        "halted": cursor.halted.as_ref().map(|halt| json!({ "code": halt.code, "message": halt.message })),
        "lag_ms": chain.lag.map(|lag| json!({ "p50": lag.p50_ms, "p95": lag.p95_ms, "blocks": lag.block_count })),
        "datasets": datasets,
    })
}

/// The most telling figures in one line.
pub(crate) fn line(figures: &Figures) -> String {
    let Some(chain) = figures.chains.first() else { return "waiting for the follower".to_owned() };
    let Some(tip) = chain.cursor.tip else { return format!("{}: waiting for the first block", chain.cursor.chain) };
    let sum = |rows: fn(&DatasetFigures) -> u64| grouped(chain.datasets.iter().map(rows).sum());
    let lag = chain.lag.map_or_else(String::new, |lag| format!(", lag p50 {:.0} p95 {:.0} ms", lag.p50_ms, lag.p95_ms));
    let watermark = chain.datasets.iter().map(|dataset| dataset.watermark).min().flatten();
    format!(
        "{}: block {}{lag}; rows {} hot, {} cold, watermark {}; tasks {}",
        chain.cursor.chain,
        grouped(tip.number.0),
        sum(|dataset| dataset.hot_rows),
        sum(|dataset| dataset.cold_rows),
        watermark.map_or_else(|| "none".to_owned(), |block| grouped(block.0)),
        tasks_line(&figures.tasks),
    )
}

/// Blocks from the first stored one to the tip.
pub(crate) fn stored_blocks(cursor: &Cursor) -> u64 {
    cursor.first_block.zip(cursor.tip).map_or(0, |(first, tip)| tip.number.0 - first.0 + 1)
}

/// Reorgs that reached stored rows.
pub(crate) async fn reorg_count(conn: &mut PgConnection) -> anyhow::Result<u64> {
    isotherm_hot_store::reorg::count(conn).await.context("could not count the reorgs")
}
