//! Follows a chain into hot storage: an `always_on` operator, one for each chain.
//!
//! Place in the flow: asks the chain for its newest block, at its interval and when one is announced, fetches and
//! verifies what is missing (`isotherm_chain`), and appends it to hot storage together with the events that announce
//! it, one transaction a block at the tip and one a batch while it catches up. A reorg is replaced in one transaction;
//! where that would touch a final or a cold block, the chain is halted and a person decides.
//!
//! It must never write under a stale fence, never store a block whose parent is not the stored tip, never store what
//! was not verified, and never guess at a fork.

mod batch;
mod config;
mod error;
mod follower;
mod gaps;
mod lag;
mod outage;
mod status;
mod store;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use isotherm_chain::{ChainClient, RateShare, RpcUrls, WakeUp, WakeUpLimits};
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::metrics::{BYTES_WRITTEN, Growth, RPC_REQUESTS_TOTAL, Telling};
use isotherm_platform::operator_main::{self, Context, OperatorEnd};
use isotherm_platform::rate_share::RateShareKeeper;
use isotherm_platform::{Environment, Fault, Secret};
use isotherm_types::{SystemClock, TaskSpec};

pub use config::{FollowerConfig, Start};
pub use error::FollowerError;
pub use gaps::GapReason;

use follower::Follower;
use store::Store;

/// Follows the chain of `spec` until it is told to stop.
///
/// # Errors
/// A job or an environment that cannot be used, a chain or a database that stays out of reach, a stale fence, and
/// [`FollowerError::Halted`].
pub async fn follow(spec: TaskSpec, context: Context) -> Result<OperatorEnd, Fault> {
    let stop = context.stop.clone();
    // Until the end, when the rest of the counts is told.
    let (follower, share, _counts) = tokio::select! {
        biased;
        () = stop.requested() => return Ok(OperatorEnd::Released),
        prepared = prepare(spec, context) => prepared?,
    };
    let end = follower.run().await;
    share.leave().await;
    end
}

/// Reads the settings and connects to chain and database.
async fn prepare(spec: TaskSpec, mut context: Context) -> Result<(Follower, RateShareKeeper, [Telling; 2]), Fault> {
    let config: FollowerConfig = operator_main::config(&spec)?;
    let secrets = Secrets::read(&mut context.environment)?;
    let urls = RpcUrls::parse(secrets.rpc_urls.expose())?;
    // Both at once: a follower that is started anew is behind by as long as this takes.
    let (pool, client) = tokio::join!(
        database::connect(&secrets.database_url, PoolOptions::source("block_follower")),
        ChainClient::connect(urls.endpoints, config.chain_id, config.profile.limits(), Arc::new(SystemClock)),
    );
    let (pool, client) = (pool?, client?);
    let set = client.share_setter();
    let set = move |thousandths| set(RateShare::of_thousand(thousandths));
    let share = RateShareKeeper::for_tip(pool.clone(), config.chain_id, spec.task_id, set);
    let store = Store::open(pool, &config, spec.task_id, spec.fence).await?;
    let counts = [requests(&client, &config.chain), written(&store, &config.chain)].map(Telling::start);
    let wake_up = WakeUp::start(urls.wake_ups, &WakeUpLimits::for_blocks_every(config.profile.block_time()))?;
    Ok((Follower::new(config, client, wake_up, store, context.stop, context.progress), share, counts))
}

/// Requests to the chain's endpoints.
fn requests(client: &ChainClient, chain: &str) -> Arc<Growth> {
    let (counter, chain) = (client.request_counter(), chain.to_owned());
    Arc::new(Growth::new(RPC_REQUESTS_TOTAL, move || {
        let counted = counter().into_iter();
        counted.map(|sent| (vec![chain.clone(), sent.endpoint, sent.outcome.to_owned()], sent.count)).collect()
    }))
}

/// Bytes that were committed to hot storage.
fn written(store: &Store, chain: &str) -> Arc<Growth> {
    let (written, values) = (store.written(), vec![chain.to_owned(), "hot".to_owned()]);
    Arc::new(Growth::new(BYTES_WRITTEN, move || vec![(values.clone(), written.load(Ordering::Relaxed))]))
}

/// What the job's secrets are filled with.
struct Secrets {
    database_url: Secret<String>,
    /// Addresses separated by commas; they may hold keys.
    rpc_urls: Secret<String>,
}

impl Secrets {
    fn read(environment: &mut Environment) -> Result<Self, Fault> {
        let database_url = environment.secret("DATABASE_URL");
        let rpc_urls = environment.secret("RPC_URLS");
        let checked = environment.check()?;
        Ok(Self { database_url: database_url.open(&checked), rpc_urls: rpc_urls.open(&checked) })
    }
}
