//! What became of one attempt: accepted, or why not. Pure: senders say what they were answered, and everything follows from that.

use std::time::Duration;

use isotherm_types::{Classified, Disposition};

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver, or the service that carries the message, has it.
    Accepted {
        /// HTTP status; `None` where there is none.
        status: Option<u16>,
        /// What the service calls it; a correction answers to that.
        message_id: Option<String>,
    },
    /// It was not accepted.
    Failed(DeliveryFault),
}

/// Who is to blame that an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The receiver, or whoever gave its address, its token or its keys. It counts against the channel.
    Receiver,
    /// The receiver or our own network. It counts if others were reached at that time.
    Unclear,
    /// This platform: its configuration, its keys, its permissions. Somebody has to look.
    Platform,
    /// Nobody who could mend it here: a service that carries messages, its limits, a change that a person made.
    Nobody,
}

/// Why a message was not accepted, or not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryFault {
    /// The receiver answered with another status than 2xx; a redirect too, which is not followed.
    #[error("the receiver answered with HTTP status {status}")]
    Refused {
        /// Its status.
        status: u16,
        /// The wait that it asked for.
        asked: Option<Duration>,
    },
    /// The receiver is gone for good: 410, or a Slack workspace or channel that is no more.
    #[error("the receiver is gone for good")]
    Gone {
        /// HTTP status.
        status: u16,
    },
    /// The request was sent, or may have been, and nothing came back in time.
    #[error("the receiver did not answer; the message may have arrived")]
    NoAnswer,
    /// The request was certainly not sent.
    #[error("nothing was sent: {code}")]
    NotSent {
        /// The code of the reason.
        code: &'static str,
        /// Whose fault it is.
        blame: Blame,
    },
    /// The service that carries the message was asked, or may have been, and did not answer.
    #[error("the service that carries the message did not answer; the message may have been sent")]
    ServiceSilent,
    /// The service does not let this platform send.
    #[error("the service does not let this platform send; look at its permissions and at the account")]
    NotPermitted {
        /// HTTP status.
        status: Option<u16>,
    },
    /// A mistake in the sender.
    #[error("the sender broke off; the message may have arrived")]
    SenderBroke,
    /// The service that carries the message limits the rate.
    #[error("the service limits the rate of messages")]
    Throttled {
        /// HTTP status.
        status: Option<u16>,
        /// The wait that it asked for.
        asked: Option<Duration>,
    },
    /// The service does not accept who we are, or that we may write there.
    #[error("the service does not accept the channel's token or its place")]
    AccessRefused {
        /// HTTP status.
        status: Option<u16>,
    },
    /// The service failed, or is not set up to carry messages.
    #[error("the service that carries the message did not take it")]
    ServiceFailed {
        /// HTTP status.
        status: Option<u16>,
    },
    /// The service will never take this message, or this address.
    #[error("the service will not take this message or this address")]
    Rejected {
        /// HTTP status.
        status: Option<u16>,
    },
    /// Whoever was sending it has not been heard of.
    #[error("its sender was lost; the message may have arrived")]
    SenderLost,
    /// The channel was disabled while it waited.
    #[error("the channel was disabled before it was sent")]
    ChannelDisabled,
    /// The channel was deleted while it waited.
    #[error("the channel was deleted before it was sent")]
    ChannelDeleted,
    /// Nobody had said yet that messages may come.
    #[error("the channel was not confirmed when it was to be sent")]
    ChannelUnconfirmed,
    /// A later code, or another address, has taken its place.
    #[error("the code that it was to carry does not count any more")]
    CodeVoid,
    /// What it corrects never got there.
    #[error("what it corrects never got there")]
    NothingToCorrect,
}

impl DeliveryFault {
    /// HTTP status, if there was an answer that has one.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Gone { status } => Some(status),
            Self::Throttled { status, .. }
            | Self::AccessRefused { status }
            | Self::ServiceFailed { status }
            | Self::NotPermitted { status }
            | Self::Rejected { status } => status,
            Self::NoAnswer
            | Self::NotSent { .. }
            | Self::ServiceSilent
            | Self::SenderBroke
            | Self::SenderLost
            | Self::ChannelDisabled
            | Self::ChannelDeleted
            | Self::ChannelUnconfirmed
            | Self::CodeVoid
            | Self::NothingToCorrect => None,
        }
    }

    /// Whether the receiver may have the message all the same.
    pub fn may_have_arrived(self) -> bool {
        matches!(self, Self::NoAnswer | Self::ServiceSilent | Self::SenderBroke | Self::SenderLost)
    }

    /// Whose fault it is. A channel is disabled after days of nothing but its receiver's.
    pub fn blame(self) -> Blame {
        match self {
            Self::Refused { .. } | Self::Gone { .. } | Self::NoAnswer | Self::AccessRefused { .. } => Blame::Receiver,
            Self::NotSent { blame, .. } => blame,
            Self::NotPermitted { .. } | Self::SenderBroke => Blame::Platform,
            Self::Throttled { .. }
            | Self::ServiceFailed { .. }
            | Self::ServiceSilent
            | Self::Rejected { .. }
            | Self::SenderLost
            | Self::ChannelDisabled
            | Self::ChannelDeleted
            | Self::ChannelUnconfirmed
            | Self::CodeVoid
            | Self::NothingToCorrect => Blame::Nobody,
        }
    }

    /// Whether it shows that our network leads outside: somebody out there has said it.
    fn shows_network(self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Gone { .. } | Self::AccessRefused { .. })
    }

    /// Whether the channel is disabled at once.
    pub fn disables_channel(self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// The wait that was asked for.
    pub fn asked(self) -> Option<Duration> {
        match self {
            Self::Refused { asked, .. } | Self::Throttled { asked, .. } => asked,
            _ => None,
        }
    }
}

impl Classified for DeliveryFault {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Refused { asked: Some(asked), .. } | Self::Throttled { asked: Some(asked), .. } => {
                Disposition::RetryAfter(*asked)
            }
            // Standard Webhooks has every status but 2xx and 410 tried again: receivers are set up late, and mended.
            Self::Refused { asked: None, .. }
            | Self::Throttled { asked: None, .. }
            | Self::NoAnswer
            | Self::NotSent { .. }
            | Self::AccessRefused { .. }
            | Self::ServiceFailed { .. }
            | Self::ServiceSilent
            | Self::NotPermitted { .. }
            | Self::SenderBroke
            | Self::SenderLost => Disposition::Retry,
            Self::Gone { .. }
            | Self::Rejected { .. }
            | Self::ChannelDisabled
            | Self::ChannelDeleted
            | Self::ChannelUnconfirmed
            | Self::CodeVoid
            | Self::NothingToCorrect => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "alerts.receiver_refused",
            Self::Gone { .. } => "alerts.receiver_gone",
            Self::NoAnswer => "alerts.no_answer",
            Self::NotSent { code, .. } => code,
            Self::ServiceSilent => "alerts.service_silent",
            Self::NotPermitted { .. } => "alerts.not_permitted",
            Self::SenderBroke => "alerts.sender_broke",
            Self::Throttled { .. } => "alerts.throttled",
            Self::AccessRefused { .. } => "alerts.access_refused",
            Self::ServiceFailed { .. } => "alerts.service_failed",
            Self::Rejected { .. } => "alerts.message_rejected",
            Self::SenderLost => "alerts.sender_lost",
            Self::ChannelDisabled => "alerts.channel_disabled",
            Self::ChannelDeleted => "alerts.channel_deleted",
            Self::ChannelUnconfirmed => "alerts.channel_unconfirmed",
            Self::CodeVoid => "alerts.code_void",
            Self::NothingToCorrect => "alerts.nothing_to_correct",
        }
    }
}

impl Verdict {
    /// Whether it shows that our network leads outside. What AWS says does not: it may be reached by another way.
    pub fn shows_network(&self) -> bool {
        match self {
            Self::Accepted { status, .. } => status.is_some(),
            Self::Failed(fault) => fault.shows_network(),
        }
    }
}

/// What a webhook's receiver said. Source: Standard Webhooks, "Operational considerations": 2xx accepts, 410 unsubscribes, everything
/// else, redirects among it, is a failure.
pub fn of_webhook(status: u16, asked: Option<Duration>) -> Verdict {
    match status {
        200..=299 => Verdict::Accepted { status: Some(status), message_id: None },
        410 => Verdict::Failed(DeliveryFault::Gone { status }),
        _ => Verdict::Failed(DeliveryFault::Refused { status, asked }),
    }
}

/// What an AWS service said that did not take a message: its HTTP status and its error code. Source: `SESv2` `SendEmail` and SNS
/// `Publish`, errors.
pub fn of_aws(status: u16, code: Option<&str>) -> DeliveryFault {
    let status = Some(status);
    match code {
        Some(
            "TooManyRequestsException" | "ThrottlingException" | "Throttling" | "Throttled" | "LimitExceededException",
        ) => DeliveryFault::Throttled { status, asked: None },
        Some("BadRequestException" | "InvalidParameter" | "InvalidParameterValue" | "ParameterValueInvalid") => {
            DeliveryFault::Rejected { status }
        }
        // Source: SES and SNS API references, "Common errors", and the errors of both calls.
        Some(
            "AccessDenied"
            | "AccessDeniedException"
            | "AuthorizationError"
            | "AuthorizationErrorException"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "OptInRequired"
            | "SendingPausedException"
            | "AccountSuspendedException"
            | "MailFromDomainNotVerifiedException"
            | "KMSAccessDenied"
            | "KMSAccessDeniedException",
        ) => DeliveryFault::NotPermitted { status },
        // `MessageRejected` among them: it is also said of a sender that is not verified yet.
        _ => DeliveryFault::ServiceFailed { status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_webhooks_answers_only_2xx_accept_and_only_410_ends() {
        for status in 100..600 {
            let asked = Some(Duration::from_secs(9));
            match (status, of_webhook(status, asked)) {
                (200..=299, Verdict::Accepted { status: told, message_id: None }) => assert_eq!(told, Some(status)),
                (410, Verdict::Failed(fault)) => {
                    assert_eq!((fault.disposition(), fault.disables_channel()), (Disposition::GiveUp, true));
                }
                (100..=199 | 300..=409 | 411..=u16::MAX, Verdict::Failed(fault)) => {
                    assert_eq!(fault.disposition(), Disposition::RetryAfter(Duration::from_secs(9)));
                    assert!(!fault.may_have_arrived() && !fault.disables_channel());
                    assert_eq!(fault.blame(), Blame::Receiver);
                }
                (_, verdict) => panic!("{status}: {verdict:?}"),
            }
        }
    }

    #[test]
    fn only_an_attempt_without_an_answer_may_have_arrived() {
        for fault in [
            DeliveryFault::NoAnswer,
            DeliveryFault::ServiceSilent,
            DeliveryFault::SenderBroke,
            DeliveryFault::SenderLost,
        ] {
            assert!(fault.may_have_arrived(), "{fault:?}");
        }
        for fault in [
            DeliveryFault::NotSent { code: "outbound.x", blame: Blame::Receiver },
            DeliveryFault::NotPermitted { status: Some(403) },
            DeliveryFault::Rejected { status: Some(400) },
            DeliveryFault::ServiceFailed { status: Some(500) },
            DeliveryFault::Gone { status: 410 },
        ] {
            assert!(!fault.may_have_arrived(), "{fault:?}");
        }
    }

    #[test]
    fn trouble_of_a_service_is_not_held_against_a_channel() {
        for (status, code, expected) in [
            (429, Some("TooManyRequestsException"), DeliveryFault::Throttled { status: Some(429), asked: None }),
            (400, Some("MessageRejected"), DeliveryFault::ServiceFailed { status: Some(400) }),
            (400, Some("BadRequestException"), DeliveryFault::Rejected { status: Some(400) }),
            (400, Some("InvalidParameter"), DeliveryFault::Rejected { status: Some(400) }),
            (503, None, DeliveryFault::ServiceFailed { status: Some(503) }),
            (403, Some("AccessDeniedException"), DeliveryFault::NotPermitted { status: Some(403) }),
            (403, Some("AuthorizationError"), DeliveryFault::NotPermitted { status: Some(403) }),
            (403, Some("InvalidClientTokenId"), DeliveryFault::NotPermitted { status: Some(403) }),
            (400, Some("SendingPausedException"), DeliveryFault::NotPermitted { status: Some(400) }),
        ] {
            assert_eq!(of_aws(status, code), expected);
            assert!(!expected.disables_channel());
            let is_ours = matches!(expected, DeliveryFault::NotPermitted { .. });
            assert_eq!(expected.blame(), if is_ours { Blame::Platform } else { Blame::Nobody }, "{code:?}");
        }
    }
}
