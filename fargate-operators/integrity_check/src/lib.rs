//! Checks whether cold storage still is what was committed, and tells people what is not.
//!
//! A task is one check: the newest manifests as Postgres names them, every file that they list, at level chain what the
//! rows say of each other, at level anchor what endpoints say of final blocks (`isotherm_cold_store::integrity` does
//! the looking). What is wrong becomes a row of `cold.integrity_checks`, an event, a line of the log and a metric; what
//! was wrong and is not any more is resolved. A query reads no file with an open finding of level file. That something
//! is wrong is no failure of the check.
//!
//! It must never change an object or the list of files, never resolve what it has not looked at, and never take an
//! endpoint's silence for an answer.

mod answers;
mod check;
mod config;
mod error;
mod ledger;
mod refuted;

use std::sync::Arc;

use isotherm_chain::RpcUrls;
use isotherm_cold_store::ObjectStore;
use isotherm_platform::Fault;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::metrics::{Growth, RPC_REQUESTS_TOTAL, Telling};
use isotherm_platform::operator_main::{self, Context, OperatorEnd};
use isotherm_types::{BlockRange, ChainId, Dataset, TaskSpec};
use serde::Deserialize;

pub use answers::Endpoints;
pub use check::IntegrityCheck;
pub use config::{AnchorConfig, CheckConfig, Sample};
pub use error::IntegrityError;

/// What one task is about. A schedule or a person may leave all of it out; an event about a partition names everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// The blocks; those of the job if absent.
    pub blocks: Option<BlockRange>,
    /// The datasets; those of the job if absent.
    pub datasets: Option<Vec<Dataset>>,
    /// The chain of an event; it must be the job's.
    pub chain_id: Option<ChainId>,
    /// Why the task was made, for people.
    pub cause: Option<String>,
}

/// Runs one task.
///
/// # Errors
/// Bad settings, and whatever Postgres, S3 or the endpoints report; never what is wrong with cold storage.
pub async fn run(spec: TaskSpec, context: Context) -> Result<OperatorEnd, Fault> {
    let stop = context.stop.clone();
    // Until the end, when the rest of the counts is told.
    let (check, input, _requests) = tokio::select! {
        biased;
        () = stop.requested() => return Ok(OperatorEnd::Released),
        prepared = prepare(&spec, context) => prepared?,
    };
    Ok(check.run(input).await?)
}

/// Reads the settings and connects to database, bucket and, for anchors, endpoints.
async fn prepare(spec: &TaskSpec, context: Context) -> Result<(IntegrityCheck, Input, Vec<Telling>), Fault> {
    let config: CheckConfig = operator_main::config(spec)?;
    let input: Input = operator_main::input(spec)?;
    let mut environment = context.environment;
    let (database_url, bucket) = (environment.secret("DATABASE_URL"), environment.bucket("cold"));
    let rpc_urls = config.anchors.is_some().then(|| environment.secret("RPC_URLS"));
    let checked = environment.check()?;

    let endpoints = match (&config.anchors, rpc_urls) {
        (Some(anchors), Some(rpc_urls)) => {
            let urls = RpcUrls::parse(rpc_urls.open(&checked).expose())?;
            Some(Endpoints::connect(urls.endpoints, config.chain_id, anchors).await?)
        }
        _ => None,
    };
    let pool = database::connect(&database_url.open(&checked), PoolOptions::operator("integrity_check")).await?;
    let clients = Clients::load().await;
    let mut requests = vec![Telling::start(Arc::clone(clients.s3_requests()))];
    if let Some(endpoints) = &endpoints {
        let (counter, chain) = (endpoints.request_counter(), config.chain.to_string());
        let rpc = Growth::new(RPC_REQUESTS_TOTAL, move || {
            let counted = counter().into_iter();
            counted.map(|sent| (vec![chain.clone(), sent.endpoint, sent.outcome.to_owned()], sent.count)).collect()
        });
        requests.push(Telling::start(Arc::new(rpc)));
    }
    let check = IntegrityCheck {
        pool,
        objects: ObjectStore::new(clients.s3().clone(), bucket.open(&checked)),
        config,
        endpoints,
        task: (spec.task_id, spec.fence),
        scratch: std::env::temp_dir(),
        progress: context.progress,
        stop: context.stop,
    };
    Ok((check, input, requests))
}
