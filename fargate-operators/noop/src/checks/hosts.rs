//! The hosts that are tried: who may name them, and what is told of them.
//!
//! The operator runs inside the network, so whoever could choose a host would see through it what answers there. A task's input is
//! written by users. So hosts are named by an object in the bucket `results` instead: users can put nothing there, only the
//! platform's own roles and whoever has rights of its account, as `isotherm smoke` has (docs/adr/0035-errands-inside-the-network.md).
//! Of a host it is told whether it was reached, never what it answered, nor why it did not: the latter is in the log.

use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectError;
use isotherm_platform::aws::Clients;
use isotherm_types::disposition::error_chain;
use isotherm_types::{Classified, Disposition};
use serde::{Deserialize, Serialize};

use super::Asked;

/// How long a host is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Header of an answer that comes from one machine's way out, not from the host.
const REFUSED_HEADER: &str = "x-isotherm-egress";

/// What the object at [`Asked::hosts_key`] holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// An address of a host on the list.
    pub allowed_url: String,
    /// An address of a host that is not on it, and that can be reached from elsewhere.
    pub refused_url: String,
}

/// The checks were not asked for by somebody who runs the platform.
#[derive(Debug, thiserror::Error)]
#[error("the bucket results has no object {key}: only isotherm smoke has checks made, and puts it there")]
pub struct NotAsked {
    /// The key that was looked for.
    key: String,
}

impl Classified for NotAsked {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "noop.not_asked"
    }
}

/// The hosts that `bucket` names for `asked`, or why they cannot be told.
///
/// # Errors
/// [`NotAsked`]: the bucket answers, and names none.
pub(super) async fn named(clients: &Clients, bucket: &str, asked: &Asked) -> Result<Result<Hosts, String>, NotAsked> {
    let key = asked.hosts_key();
    let got = match clients.s3().get_object().bucket(bucket).key(&key).send().await {
        Ok(got) => got,
        Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
            return Err(NotAsked { key });
        }
        Err(error) => return Ok(Err(format!("could not get {bucket}/{key}: {}", error_chain(&error)))),
    };
    let bytes = match got.body.collect().await {
        Ok(bytes) => bytes.into_bytes(),
        Err(error) => return Ok(Err(format!("could not read {bucket}/{key}: {}", error_chain(&error)))),
    };
    // The reason would quote it.
    Ok(serde_json::from_slice(&bytes)
        .map_err(|_| format!("{bucket}/{key} names no hosts; is the command an older one?")))
}

/// Tries the host on the list.
pub(super) async fn allowed(hosts: &Hosts) -> Result<String, String> {
    match ask(&hosts.allowed_url).await? {
        Answered::Reached => Ok("reached".to_owned()),
        Answered::Refused => Err("refused: it is not on the list".to_owned()),
        Answered::Silent(why) => {
            tracing::warn!(error.message = why, "the host on the list was not reached");
            Err("not reached: the log says why".to_owned())
        }
    }
}

/// Tries the host that is not on the list.
pub(super) async fn refused(hosts: &Hosts) -> Result<String, String> {
    match ask(&hosts.refused_url).await? {
        Answered::Reached => Err("reached, and it is not on the list".to_owned()),
        Answered::Refused => Ok("refused".to_owned()),
        Answered::Silent(why) => {
            tracing::debug!(error.message = why, "the host off the list was not reached");
            Ok("refused".to_owned())
        }
    }
}

/// What came of asking a host.
enum Answered {
    /// The host itself answered, whatever it was.
    Reached,
    /// One machine's way out answered in its place.
    Refused,
    /// Nobody did.
    Silent(String),
}

/// Asks as every program of ours does: by the proxy that the environment names, if it names one.
async fn ask(url: &str) -> Result<Answered, String> {
    let client = reqwest::Client::builder()
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error_chain(&error))?;
    Ok(match client.get(url).send().await {
        Ok(answer) if answer.headers().contains_key(REFUSED_HEADER) => Answered::Refused,
        Ok(_) => Answered::Reached,
        // The address may hold a provider's key.
        Err(error) => Answered::Silent(error_chain(&error.without_url())),
    })
}
