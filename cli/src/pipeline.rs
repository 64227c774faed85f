//! What is to run for one chain: its secret, its jobs and triggers, their schedules, and the first wake-up.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, bail};
use isotherm_chain::{ChainClient, Limits, RpcUrl};
use isotherm_control::jobs;
use isotherm_control::pipeline::{self, ChainSettings, Finality, StartBlock};
use isotherm_local_stack::provision::secrets;
use isotherm_types::{ChainId, SystemClock};
use serde_json::json;

use crate::machine::{self, Machine};
use crate::{figures, schedules};

/// Names that stand for one chain id each. Source: chainid.network, docs.monad.xyz.
const KNOWN_CHAINS: [(&str, u64); 3] = [("monad", 143), ("monad-testnet", 10143), ("ethereum", 1)];

/// A chain to follow.
pub(crate) struct Follow {
    pub(crate) chain: String,
    pub(crate) chain_id: u64,
    /// Addresses separated by commas.
    pub(crate) rpc_urls: String,
    pub(crate) start: StartAt,
    pub(crate) partition_blocks: u64,
    pub(crate) finality_depth: Option<u64>,
    pub(crate) poll_interval_ms: u64,
}

/// Where following begins on the first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartAt {
    Latest,
    Number(u64),
}

impl FromStr for StartAt {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "latest" => Ok(Self::Latest),
            number => match number.parse() {
                Ok(number) => Ok(Self::Number(number)),
                Err(_) => bail!("--start takes `latest` or a block number, not {text:?}"),
            },
        }
    }
}

/// The chain id that the endpoints answer, checked against `expected` and against what the chain's name stands for.
///
/// # Errors
/// If no endpoint answers within a few seconds, or one answers another id.
pub(crate) async fn ask_chain_id(rpc_urls: &str, chain: &str, expected: Option<u64>) -> anyhow::Result<u64> {
    check_name(chain)?;
    let urls = RpcUrl::parse_list(rpc_urls).context("--rpc-url is not usable")?;
    let limits = Limits { attempts: 2, ..Limits::default() };
    let known = KNOWN_CHAINS.iter().find(|(name, _)| *name == chain).map(|(_, chain_id)| *chain_id);
    if let (Some(known), Some(expected)) = (known, expected)
        && known != expected
    {
        bail!("--chain {chain} stands for chain id {known}, but --chain-id says {expected}");
    }
    let clock = Arc::new(SystemClock);
    let chain_id = match expected.or(known) {
        Some(chain_id) => ChainId(chain_id),
        None => ChainClient::ask_chain_id(&urls, &limits).await.context("the chain's endpoint is not usable")?,
    };
    ChainClient::connect(urls, chain_id, limits, clock).await.context("the chain's endpoint is not usable")?;
    Ok(chain_id.0)
}

/// Longest name: with `compact-` before it, it still fits a job's name of 63 characters.
const MAX_NAME: usize = 55;

/// A chain's name stands in object keys, job names and the name of a secret.
fn check_name(chain: &str) -> anyhow::Result<()> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let rest_is_plain = chain.chars().all(|c| is_plain(c) || c == '-' || c == '_');
    if chain.len() > MAX_NAME || !chain.starts_with(is_plain) || !rest_is_plain {
        bail!(
            "--chain takes a name of lower-case letters, digits, - and _, beginning with a letter or digit, \
             {MAX_NAME} characters at most; {chain:?} is none"
        );
    }
    Ok(())
}

/// Puts the chain's pipeline into effect and wakes the dispatcher, which starts the follower.
pub(crate) async fn start(machine: &Machine, follow: &Follow) -> anyhow::Result<()> {
    let settings = settings(follow);
    let (aws, provisioned) = (machine.aws(), machine.provisioned());
    let secret = json!({ "url": follow.rpc_urls }).to_string();
    secrets::ensure(aws, &format!("rpc/{}", follow.chain), &secret)
        .await
        .context("could not store the endpoint's address")?;

    let mut conn = figures::connect(machine.database_url()).await?;
    let org_id = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.context("could not find the default organisation")?;
    pipeline::apply(&mut conn, org_id, &pipeline::for_chain(&settings), "isotherm")
        .await
        .context("could not apply the pipeline")?;
    let failures = schedules::bring_in_line(&mut conn, aws, &provisioned.cron_target).await?;
    if let Some(failure) = failures.first() {
        bail!("could not set the schedules: {failure}");
    }
    // The schedule would do the same within a minute.
    machine::invoke(aws, "dispatcher", &json!({ "version": 1, "kind": "sweep" })).await?;
    Ok(())
}

fn settings(follow: &Follow) -> ChainSettings {
    ChainSettings {
        start: match follow.start {
            StartAt::Latest => StartBlock::Latest,
            StartAt::Number(number) => StartBlock::Number(number),
        },
        poll_interval_ms: follow.poll_interval_ms,
        partition_blocks: follow.partition_blocks,
        finality: follow.finality_depth.map_or(Finality::Tags, |blocks| Finality::Depth { blocks }),
        ..ChainSettings::new(ChainId(follow.chain_id), follow.chain.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_latest_or_a_number() {
        assert_eq!("latest".parse::<StartAt>().unwrap(), StartAt::Latest);
        assert_eq!("0".parse::<StartAt>().unwrap(), StartAt::Number(0));
        assert!("-1".parse::<StartAt>().unwrap_err().to_string().contains("--start takes"));
    }

    #[test]
    fn a_chains_name_fits_keys_and_job_names() {
        for good in ["monad", "7chain", "a-b_c", &"x".repeat(MAX_NAME)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "My Chain", "-a", "a/b", "ä", &"x".repeat(MAX_NAME + 1)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_that_stands_for_another_chain_is_refused_before_anything_is_asked() {
        let error = ask_chain_id("http://127.0.0.1:1", "monad", Some(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "--chain monad stands for chain id 143, but --chain-id says 1");
    }
}
