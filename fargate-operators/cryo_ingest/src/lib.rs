//! Backfills cold storage from the chain itself: history that nobody followed.
//!
//! A task is a range of whole partitions. For each of them it asks the chain whether its last block is final, fetches
//! and verifies the blocks (`isotherm_chain`), writes the Parquet files of all asked datasets side by side
//! (`isotherm_cold_store`), stores them, and lets them wait in `cold.pending_files`; then whatever adjoins cold storage
//! is listed and committed under the task's fence, whoever fetched it. Tasks may run at once and end in any order. The
//! bytes are those that `parquet_compact` writes of the same blocks. What is cold or waits already is not fetched
//! again, so a repeated task does nothing.
//!
//! A task may also be one file of cold storage that is damaged or gone: it is made again in the same way, and put back
//! if it has the very bytes that its manifest lists (`isotherm_cold_store::restore`).
//!
//! It must never write a block that is not final or was not verified, never touch hot rows, never commit under a stale
//! fence, and never overwrite an object whose bytes it has not kept.

mod config;
mod error;
mod fetch;
mod fetch_size;
mod held;
mod ingest;
mod input;
mod outage;
pub mod plan;
mod writers;

use std::sync::Arc;

use isotherm_chain::{ChainClient, RateShare, RpcUrls};
use isotherm_cold_store::ObjectStore;
use isotherm_platform::Fault;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::metrics::{Growth, RPC_REQUESTS_TOTAL, Telling};
use isotherm_platform::operator_main::{self, Context, OperatorEnd};
use isotherm_platform::rate_share::RateShareKeeper;
use isotherm_types::{SystemClock, TaskSpec};

pub use config::IngestConfig;
pub use error::IngestError;
pub use fetch_size::blocks_per_fetch;
pub use held::held;
pub use ingest::{DatasetReport, Ingest, Step};
pub use input::{Input, Repair, Request};

/// Runs one task.
///
/// # Errors
/// Bad settings, a range that is not final yet, and whatever the chain, Postgres or S3 report.
pub async fn run(spec: TaskSpec, context: Context) -> Result<OperatorEnd, Fault> {
    let stop = context.stop.clone();
    // Until the end, when the rest of the counts is told.
    let (ingest, request, share, _requests) = tokio::select! {
        biased;
        () = stop.requested() => return Ok(OperatorEnd::Released),
        prepared = prepare(&spec, context) => prepared?,
    };
    let end = match request {
        Request::Backfill(input) => ingest.run(input).await,
        Request::Repair(repair) => ingest.repair(repair).await,
    };
    share.leave().await;
    Ok(end?)
}

/// Reads the settings, connects to chain, database and bucket, and waits until whoever else asks the chain's endpoints has
/// made room.
async fn prepare(spec: &TaskSpec, context: Context) -> Result<(Ingest, Request, RateShareKeeper, [Telling; 2]), Fault> {
    let config: IngestConfig = operator_main::config(spec)?;
    let request: Request = operator_main::input(spec)?;
    let mut environment = context.environment;
    let (database_url, rpc_urls) = (environment.secret("DATABASE_URL"), environment.secret("RPC_URLS"));
    let bucket = environment.bucket("cold");
    let checked = environment.check()?;
    let urls = RpcUrls::parse(rpc_urls.open(&checked).expose())?;
    let database_url = database_url.open(&checked);
    let (pool, client, clients) = tokio::join!(
        database::connect(&database_url, PoolOptions::operator("cryo_ingest")),
        ChainClient::connect(urls.endpoints, config.chain_id, config.profile.limits(), Arc::new(SystemClock)),
        Clients::load(),
    );
    let (pool, client) = (pool?, client?);
    let (counter, chain) = (client.request_counter(), config.chain.to_string());
    let rpc = Growth::new(RPC_REQUESTS_TOTAL, move || {
        let counted = counter().into_iter();
        counted.map(|sent| (vec![chain.clone(), sent.endpoint, sent.outcome.to_owned()], sent.count)).collect()
    });
    let requests = [Arc::new(rpc), Arc::clone(clients.s3_requests())].map(Telling::start);
    let (task, set) = ((spec.task_id, spec.fence), client.share_setter());
    let set = move |thousandths| set(RateShare::of_thousand(thousandths));
    let share = RateShareKeeper::for_backfill(pool.clone(), config.chain_id, spec.task_id, set).await;
    let ingest = Ingest {
        pool,
        client,
        objects: ObjectStore::new(clients.s3().clone(), bucket.open(&checked)),
        config,
        task,
        scratch: std::env::temp_dir(),
        progress: context.progress,
        stop: context.stop,
        on_step: Box::new(|_| ()),
    };
    Ok((ingest, request, share, requests))
}
