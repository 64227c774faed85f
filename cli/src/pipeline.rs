//! What is to run for one chain: its secret, its jobs and triggers, their schedules, and the first wake-up.

use std::sync::Arc;

use anyhow::{Context, bail};
use isotherm_chain::{ChainClient, Limits, RpcUrl};
use isotherm_control::jobs;
use isotherm_control::pipeline::{self, ChainSettings, StartBlock};
use isotherm_local_stack::provision::secrets;
use isotherm_types::sandbox::PLATFORM_SCHEMA;
use isotherm_types::{ChainId, SystemClock};
use serde_json::json;

use crate::machine::{self, Machine};
use crate::{figures, schedules};

/// Where following begins on the first run, as `--start` has it.
pub(crate) fn start_block(text: &str) -> anyhow::Result<StartBlock> {
    match text {
        "latest" => Ok(StartBlock::Latest),
        number => match number.parse() {
            Ok(number) => Ok(StartBlock::Number(number)),
            Err(_) => bail!("--start takes `latest` or a block number, not {text:?}"),
        },
    }
}

/// The chain id that `--chain` (the word as it was given) stands for and that `--chain-id` says, if they agree.
pub(crate) fn expected_id(chain: &str, known: Option<ChainId>, said: Option<u64>) -> anyhow::Result<Option<ChainId>> {
    match (known, said.map(ChainId)) {
        (Some(ChainId(known)), Some(ChainId(said))) if known != said => {
            bail!("--chain {chain} stands for chain id {known}, but --chain-id says {said}")
        }
        (known, said) => Ok(said.or(known)),
    }
}

/// The chain id that the endpoints answer, which has to be `expected`.
///
/// # Errors
/// If no endpoint answers within a few seconds, or one answers another id.
pub(crate) async fn ask_chain_id(rpc_urls: &str, expected: Option<ChainId>) -> anyhow::Result<ChainId> {
    let urls = RpcUrl::parse_list(rpc_urls).context("--rpc-url is not usable")?;
    let limits = Limits { attempts: 2, ..Limits::default() };
    let chain_id = match expected {
        Some(chain_id) => chain_id,
        None => ChainClient::ask_chain_id(&urls, &limits).await.context("the chain's endpoint is not usable")?,
    };
    let clock = Arc::new(SystemClock);
    ChainClient::connect(urls, chain_id, limits, clock).await.context("the chain's endpoint is not usable")?;
    Ok(chain_id)
}

/// Longest name: with `backfill-` before it, it still fits a job's name of 63 characters.
const MAX_NAME: usize = 54;

/// A chain's name stands in object keys, job names and the name of a secret.
pub(crate) fn check_name(chain: &str) -> anyhow::Result<()> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let rest_is_plain = chain.chars().all(|c| is_plain(c) || c == '-' || c == '_');
    if chain.len() > MAX_NAME || !chain.starts_with(is_plain) || !rest_is_plain {
        bail!(
            "--chain takes a name of lower-case letters, digits, - and _, beginning with a letter or digit, \
             {MAX_NAME} characters at most; {chain:?} is none"
        );
    }
    if chain == PLATFORM_SCHEMA {
        bail!("no chain can be called {chain}, as the platform's own tables are in SQL; give --chain another name");
    }
    Ok(())
}

/// Puts the chain's pipeline into effect and wakes the dispatcher, which starts the follower.
///
/// `rpc_urls` are separated by commas.
pub(crate) async fn start(machine: &Machine, settings: &ChainSettings, rpc_urls: &str) -> anyhow::Result<()> {
    let (aws, provisioned) = (machine.aws(), machine.provisioned());
    let secret = json!({ "url": rpc_urls }).to_string();
    secrets::ensure(aws, &format!("rpc/{}", settings.chain), &secret)
        .await
        .context("could not store the endpoint's address")?;

    let mut conn = figures::connect(machine.database_url()).await?;
    let org_id = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.context("could not find the default organisation")?;
    pipeline::apply(&mut conn, org_id, &pipeline::for_chain(settings), "isotherm")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_latest_or_a_number() {
        assert_eq!(start_block("latest").unwrap(), StartBlock::Latest);
        assert_eq!(start_block("0").unwrap(), StartBlock::Number(0));
        assert!(start_block("-1").unwrap_err().to_string().contains("--start takes"));
    }

    #[test]
    fn a_chains_name_fits_keys_and_job_names() {
        for good in ["monad", "7chain", "a-b_c", &"x".repeat(MAX_NAME)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "My Chain", "-a", "a/b", "ä", "isotherm", &"x".repeat(MAX_NAME + 1)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_stands_for_another_chain_is_refused() {
        let error = expected_id("monad", Some(ChainId(143)), Some(1)).unwrap_err();
        assert_eq!(error.to_string(), "--chain monad stands for chain id 143, but --chain-id says 1");
        let agreed = |known: Option<u64>, said| expected_id("x", known.map(ChainId), said).unwrap();
        assert_eq!(agreed(Some(143), Some(143)), Some(ChainId(143)));
        assert_eq!((agreed(Some(143), None), agreed(None, Some(5))), (Some(ChainId(143)), Some(ChainId(5))));
        assert_eq!(agreed(None, None), None);
    }
}
