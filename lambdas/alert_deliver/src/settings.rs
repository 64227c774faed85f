//! What the function is told, and how much it does at once.

use std::time::Duration;

use isotherm_platform::Environment;
use isotherm_platform::config::Reading;

/// Slack's own address.
const SLACK_API: &str = "https://slack.com/api";

/// What the environment says of the senders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whom emails come from; an identity that SES has verified. Without it no email is sent.
    pub email_from: Option<String>,
    /// Where Slack's methods are.
    pub slack_api: String,
    /// Whether plain HTTP to this machine is allowed: for one machine only.
    pub allow_loopback_http: bool,
    /// How long an attempt may take; leases and the function's time-out follow from [`ATTEMPT`].
    pub attempt: Duration,
}

/// How long an attempt may take.
pub const ATTEMPT: Duration = Duration::from_secs(10);

/// `ISOTHERM_EMAIL_FROM`, `ISOTHERM_SLACK_API` and `ISOTHERM_OUTBOUND_LOOPBACK`, each of which may be missing.
pub(crate) fn read(environment: &mut Environment) -> Reading<Settings> {
    let email_from = environment.optional_text("ISOTHERM_EMAIL_FROM");
    let slack_api = environment.optional_text("ISOTHERM_SLACK_API");
    let loopback = environment.parsed_or("ISOTHERM_OUTBOUND_LOOPBACK", "true or false", false);
    email_from.and(slack_api).and(loopback).map(|((email_from, slack_api), allow_loopback_http)| Settings {
        email_from,
        slack_api: slack_api.unwrap_or_else(|| SLACK_API.to_owned()),
        allow_loopback_http,
        attempt: ATTEMPT,
    })
}

/// How much one invocation does at once, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages on their way.
    pub concurrent: u32,
    /// Of these, of one organisation: half, so that whatever one does, another finds room at once.
    pub per_org: u32,
    /// Of these, to one channel that has accepted something in this invocation.
    pub per_channel: u32,
    /// Of these, to any other channel, and to one whose last attempt failed. A receiver that hangs holds a place for as long as an
    /// attempt may take: one, so that the others keep theirs.
    pub per_doubtful_channel: u32,
    /// Longer than an attempt and writing it down, and than the function may run.
    pub lease: Duration,
    /// How long messages are begun; what is on its way is waited for. The function's time-out is 60 s.
    pub working: Duration,
    /// How long it waits for what is about to be due when it has nothing else to do.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent: 512,
            per_org: 256,
            per_channel: 16,
            per_doubtful_channel: 1,
            lease: Duration::from_secs(75),
            working: Duration::from_secs(35),
            linger: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_is_slack_and_plain_http_is_refused_unless_told_otherwise() {
        let open = |pairs: &[(&str, &str)]| {
            let mut environment = Environment::from_pairs(pairs.iter().copied());
            let settings = read(&mut environment);
            environment.check().map(|checked| settings.open(&checked))
        };
        let usual = open(&[]).unwrap();
        assert_eq!((usual.email_from, usual.slack_api.as_str(), usual.allow_loopback_http), (None, SLACK_API, false));
        let told = open(&[("ISOTHERM_OUTBOUND_LOOPBACK", "true"), ("ISOTHERM_SLACK_API", "http://127.0.0.1:1/api")]);
        assert_eq!(told.unwrap().slack_api, "http://127.0.0.1:1/api");
        assert!(open(&[("ISOTHERM_OUTBOUND_LOOPBACK", "yes")]).is_err());
    }
}
