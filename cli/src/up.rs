//! `isotherm up`: follow a chain on this machine, data kept between runs.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_chain::Finality as ProfileFinality;
use isotherm_control::pipeline::{ChainSettings, Finality};
use isotherm_local_stack::egress::AllowList;
use isotherm_platform::stop::Stop;
use serde_json::json;

use crate::args::UpArguments;
use crate::chains::{self, KnownChain, KnownChains, Source};
use crate::home::Home;
use crate::live::{self, Interrupted};
use crate::machine::{Machine, Start};
use crate::output::say;
use crate::{local_key, pipeline};

/// Blocks in a partition of a chain that is not known.
const PARTITION_BLOCKS: u64 = 10_000;

pub(crate) async fn run(home: &Home, arguments: &UpArguments) -> anyhow::Result<ExitCode> {
    let start = pipeline::start_block(&arguments.start)?;
    let known = match chains::known(arguments.chains.as_deref())? {
        Ok(known) => known,
        Err(refused) => return Ok(refused),
    };
    let named = named(&known, arguments)?;
    let chain = named.map_or(arguments.chain.as_str(), |found| found.profile.name.as_str());
    pipeline::check_name(chain)?;
    let known_id = named.map(|found| found.profile.chain_id);
    let expected = pipeline::expected_id(&arguments.chain, known_id, arguments.chain_id)?;
    let lock = home.lock()?;
    // Asked before anything is started, so that a wrong address costs a second and leaves nothing behind.
    let chain_id = pipeline::ask_chain_id(&arguments.rpc_url, expected).await?;
    let profile = named.or_else(|| known.of_id(chain_id));
    say!("following chain {chain} (id {}), {}", chain_id.0, by_what(profile));
    let settings = settings(arguments, ChainSettings { start, ..ChainSettings::new(chain_id, chain) }, profile);
    let stop = Stop::on_signals().context("could not listen for signals")?;
    let token_issuers = local_key::issuer(home)?.issuers().to_string();
    let sealing_keys = local_key::sealing_keys(home)?;
    let start = Start {
        folder: home.stack_folder("up"),
        keep: true,
        token_issuers,
        sealing_keys,
        record_calls: arguments.record_calls.clone(),
        allowed: allowed(arguments)?,
    };
    let machine = Machine::start(&start, &stop).await?;
    let outcome = match pipeline::start(&machine, &settings, &arguments.rpc_url).await {
        Ok(()) => {
            lock.announce(&machine.running("up", chain))?;
            say!("ready; API at {}", machine.provisioned().api_url);
            live::show(&machine, &stop, None).await.map(|Interrupted| ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
    };
    machine.stop().await;
    outcome
}

/// Whom operators and functions may reach: the chain's endpoints, and whoever is named besides.
fn allowed(arguments: &UpArguments) -> anyhow::Result<AllowList> {
    let endpoints = arguments.rpc_url.split(',').map(host_of).collect::<Result<Vec<_>, _>>()?;
    let named = arguments.allowed_hosts.iter().chain(&endpoints).map(String::as_str);
    AllowList::parse(named).context("--allow-host is not usable")
}

/// `host:port` of an endpoint's address, without what may be secret in it.
fn host_of(url: &str) -> anyhow::Result<String> {
    let url: reqwest::Url = url.trim().parse().ok().context("--rpc-url is not usable")?;
    let port = match url.scheme() {
        "ws" | "http" => url.port().unwrap_or(80),
        _ => url.port().unwrap_or(443),
    };
    Ok(format!("{}:{port}", url.host_str().context("--rpc-url names no host")?))
}

/// The known chain that `--chain` names. Whoever gives a file means a known one; otherwise it may be a new name.
fn named<'a>(known: &'a KnownChains, arguments: &UpArguments) -> anyhow::Result<Option<&'a KnownChain>> {
    match known.named(&arguments.chain) {
        None if arguments.chains.is_some() => Err(known.unknown(&arguments.chain)),
        found => Ok(found),
    }
}

fn by_what(profile: Option<&KnownChain>) -> &'static str {
    match profile.map(|found| found.source) {
        Some(Source::File) => "by its profile in the chains file",
        Some(Source::BuiltIn) => "by its built-in profile",
        None => "of which no profile is known: --chains names a file with one",
    }
}

/// What the arguments say, else what the chain's profile says, else `settings`.
fn settings(arguments: &UpArguments, settings: ChainSettings, profile: Option<&KnownChain>) -> ChainSettings {
    let settings = match profile {
        Some(known) => by_profile(settings, known),
        None => ChainSettings { partition_blocks: PARTITION_BLOCKS, ..settings },
    };
    ChainSettings {
        partition_blocks: arguments.partition_blocks.unwrap_or(settings.partition_blocks),
        finality: arguments.finality_depth.map_or(settings.finality, |blocks| Finality::Depth { blocks }),
        ..settings
    }
}

/// `settings`, but for what the chain's profile says.
pub(crate) fn by_profile(settings: ChainSettings, known: &KnownChain) -> ChainSettings {
    let profile = &known.profile;
    ChainSettings {
        poll_interval_ms: u64::try_from(profile.poll_interval().as_millis()).expect("it is a second at most"),
        partition_blocks: profile.partition_blocks,
        max_reorg_depth: profile.max_reorg_depth,
        finality: match profile.finality {
            ProfileFinality::Tags {} => Finality::Tags,
            ProfileFinality::Depth { blocks } => Finality::Depth { blocks },
        },
        // The follower has the built-in ones itself, those of its own version.
        profile: (known.source == Source::File).then(|| json!(profile)),
        ..settings
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use isotherm_chain::ChainProfile;
    use isotherm_types::ChainId;

    use super::*;
    use crate::args::{Arguments, Command};

    fn arguments(words: &[&str]) -> UpArguments {
        let words = ["isotherm", "up", "--rpc-url", "http://127.0.0.1:1", "--chain"].iter().chain(words);
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Up(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    fn five() -> ChainProfile {
        let finality = ProfileFinality::Depth { blocks: 9 };
        let unknown = ChainProfile::unknown(ChainId(5), "five".to_owned(), finality);
        ChainProfile { block_time_ms: 2000, max_reorg_depth: 7, partition_blocks: 50, ..unknown }
    }

    fn made(words: &[&str], profile: Option<&KnownChain>) -> ChainSettings {
        settings(&arguments(words), ChainSettings::new(ChainId(5), "five"), profile)
    }

    #[test]
    fn a_profile_of_a_file_goes_into_the_job_and_options_win_over_it() {
        let known = KnownChain { profile: five(), source: Source::File };
        let by_file = made(&["five", "--chains", "chains.yaml"], Some(&known));
        assert_eq!(
            by_file,
            ChainSettings {
                poll_interval_ms: 500,
                partition_blocks: 50,
                max_reorg_depth: 7,
                finality: Finality::Depth { blocks: 9 },
                profile: Some(json!(five())),
                ..ChainSettings::new(ChainId(5), "five")
            }
        );
        let options = ["five", "--chains", "chains.yaml", "--partition-blocks", "20", "--finality-depth", "3"];
        let by_options = made(&options, Some(&known));
        let finality = Finality::Depth { blocks: 3 };
        assert_eq!(by_options, ChainSettings { partition_blocks: 20, finality, ..by_file });
    }

    #[test]
    fn a_chain_without_a_file_is_followed_by_what_is_built_in_or_by_defaults() {
        let profile = ChainProfile::built_in(ChainId(1)).unwrap();
        let built_in = made(&["ethereum"], Some(&KnownChain { profile, source: Source::BuiltIn }));
        assert_eq!((built_in.poll_interval_ms, built_in.partition_blocks), (1000, 10_000));
        assert_eq!(built_in.profile, None);
        let defaults = ChainSettings { partition_blocks: 10_000, ..ChainSettings::new(ChainId(5), "five") };
        assert_eq!(made(&["five"], None), defaults);
    }

    #[test]
    fn the_chains_endpoints_may_be_reached_and_whoever_is_named_and_nobody_else() {
        let words = ["five", "--allow-host", "*.example.org"];
        let mut arguments = arguments(&words);
        arguments.rpc_url = "https://user:word@rpc.example.com/key,ws://10.0.0.5:8546".to_owned();
        let allowed = allowed(&arguments).unwrap();
        for (host, port) in [("rpc.example.com", 443), ("10.0.0.5", 8546), ("a.example.org", 443)] {
            assert!(allowed.permits(host, port), "{host}");
        }
        assert!(!allowed.permits("example.com", 443) && !allowed.permits("rpc.example.com", 80));
    }

    #[test]
    fn with_a_file_the_chain_must_be_a_known_one() {
        let known = KnownChains::of(vec![five()]);
        let found = |words: &[&str]| {
            named(&known, &arguments(words)).map(|found| found.map(|chain| chain.profile.name.as_str()))
        };
        assert_eq!(found(&["5", "--chains", "chains.yaml"]).unwrap(), Some("five"));
        assert_eq!(found(&["monad", "--chains", "chains.yaml"]).unwrap(), Some("monad"));
        assert_eq!(found(&["mine"]).unwrap(), None);
        let error = found(&["mine", "--chains", "chains.yaml"]).unwrap_err().to_string();
        assert!(error.contains("there are: five (5), monad (143)"), "{error}");
    }
}
