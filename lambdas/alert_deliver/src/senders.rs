//! What sends: one module a kind of channel. Each says what was answered; what follows from that is decided in `isotherm_alerts`.
//!
//! Nothing is tried twice here: a repetition that nobody knows of would be a second email. The schedule is the one place that repeats.

use std::time::Duration;

use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use chrono::{DateTime, Utc};
use isotherm_alerts::channel::Address;
use isotherm_alerts::deliveries::fault::of_aws;
use isotherm_alerts::deliveries::{Blame, Claimed, DeliveryFault, Verdict};
use isotherm_outbound::{Client, ConnectFault, Options, OutboundError, Phase, Timeouts};
use isotherm_platform::Fault;
use isotherm_platform::aws::Clients;
use isotherm_types::{Classified, Clock, SystemClock};

use crate::settings::Settings;

mod email;
mod slack;
mod sms;
mod webhook;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// All senders.
#[derive(Debug)]
pub struct Senders {
    http: Client,
    email: aws_sdk_sesv2::Client,
    sms: aws_sdk_sns::Client,
    settings: Settings,
}

impl Senders {
    /// Makes the senders. Calls nobody.
    ///
    /// # Errors
    /// That the client for outgoing HTTP cannot be made.
    pub fn new(clients: &Clients, settings: Settings) -> Result<Self, Fault> {
        let options = Options {
            allow_loopback_http: settings.allow_loopback_http,
            connect_timeout: CONNECT,
            ..Options::default()
        };
        Ok(Self {
            http: Client::new(options)?,
            email: email::client(clients.config(), settings.attempt),
            sms: sms::client(clients.config(), settings.attempt),
            settings,
        })
    }

    /// Sends one message to `address`.
    pub async fn send(&self, claimed: &Claimed, address: &Address) -> Verdict {
        let sent = match address {
            Address::Email { to } => self.send_email(claimed, to).await,
            Address::Sms { number } => self.send_sms(claimed, number).await,
            Address::Webhook { url, keys } => self.send_webhook(claimed, url, keys).await,
            Address::Slack { token, channel } => self.send_slack(claimed, token, channel).await,
        };
        sent.unwrap_or_else(Verdict::Failed)
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts { head: self.settings.attempt, total: self.settings.attempt }
    }
}

/// The present instant: a signature's timestamp is that of its attempt.
pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

/// Why a receiver that the channel names did not answer. Its code is seen by the channel's organisation, and so is whether it counts against
/// the channel: both follow from what may be told.
fn unanswered(error: &OutboundError) -> DeliveryFault {
    let told = error.told();
    if told != *error {
        tracing::warn!(error.code = error.code(), error.message = %error, "the name of a receiver leads nowhere");
    }
    if error.may_have_arrived() { DeliveryFault::NoAnswer } else { not_sent(&told, blame(&told)) }
}

/// Why a service did not answer that this platform chose.
fn unanswered_by_service(error: &OutboundError) -> DeliveryFault {
    match (error.may_have_arrived(), blame(error)) {
        (true, _) => DeliveryFault::ServiceSilent,
        (false, Blame::Platform) => not_sent(error, Blame::Platform),
        (false, Blame::Receiver | Blame::Unclear | Blame::Nobody) => not_sent(error, Blame::Nobody),
    }
}

fn not_sent(error: &impl Classified, blame: Blame) -> DeliveryFault {
    DeliveryFault::NotSent { code: error.code(), blame }
}

/// Whose fault it is that nothing came back over HTTP.
fn blame(error: &OutboundError) -> Blame {
    match error {
        OutboundError::BadUrl { .. }
        | OutboundError::NotPublic { .. }
        | OutboundError::TimedOut { phase: Phase::Answering }
        | OutboundError::Broken => Blame::Receiver,
        OutboundError::NoConnection { fault } => match fault {
            ConnectFault::Refused | ConnectFault::Closed | ConnectFault::Tls => Blame::Receiver,
            ConnectFault::Unreachable | ConnectFault::Other => Blame::Unclear,
        },
        OutboundError::Unresolved
        | OutboundError::LeadsNowhere
        | OutboundError::TimedOut { phase: Phase::Connecting } => Blame::Unclear,
        OutboundError::BadHeader | OutboundError::HttpClient => Blame::Platform,
    }
}

/// Why an AWS service did not take a message.
fn of_service<E: ProvideErrorMetadata>(error: &SdkError<E>) -> DeliveryFault {
    match error {
        SdkError::ServiceError(refusal) => of_aws(refusal.raw().status().as_u16(), error.code()),
        SdkError::ConstructionFailure(_) => DeliveryFault::ServiceFailed { status: None },
        // An answer that cannot be read may be one that accepts.
        _ => DeliveryFault::ServiceSilent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_own_network_could_have_done_is_not_held_against_a_receiver_alone() {
        let connection = |fault| OutboundError::NoConnection { fault };
        let table = [
            (connection(ConnectFault::Refused), Blame::Receiver),
            (connection(ConnectFault::Closed), Blame::Receiver),
            (connection(ConnectFault::Tls), Blame::Receiver),
            (connection(ConnectFault::Unreachable), Blame::Unclear),
            (connection(ConnectFault::Other), Blame::Unclear),
            (OutboundError::Unresolved, Blame::Unclear),
            (OutboundError::TimedOut { phase: Phase::Connecting }, Blame::Unclear),
            (OutboundError::NotPublic { range: "private use" }, Blame::Unclear),
            (OutboundError::BadHeader, Blame::Platform),
            (OutboundError::HttpClient, Blame::Platform),
        ];
        for (error, expected) in table {
            assert_eq!(unanswered(&error).blame(), expected, "{error:?}");
            let of_slack = if expected == Blame::Platform { Blame::Platform } else { Blame::Nobody };
            assert_eq!(unanswered_by_service(&error).blame(), of_slack, "{error:?}");
        }
        // A name that leads inside is in nothing that can be seen unlike one that is not known.
        let inside = OutboundError::NotPublic { range: "private use" };
        assert_eq!(unanswered(&OutboundError::Unresolved), unanswered(&inside));
        for error in [OutboundError::Broken, OutboundError::TimedOut { phase: Phase::Answering }] {
            assert_eq!(unanswered(&error), DeliveryFault::NoAnswer);
            assert_eq!(unanswered_by_service(&error), DeliveryFault::ServiceSilent);
        }
    }
}
