//! Why nothing was sent, or nothing came back.
//!
//! Variants hold no source: what TLS and HTTP libraries report names the host, and errors are logged.

use isotherm_types::{Classified, Disposition};

use crate::checked_url::UrlFault;

/// Why nothing was sent, or nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The text is no address that anything is sent to.
    #[error("the address is not usable: {fault}")]
    BadUrl {
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// The host is, or its name leads to, an address that is not public.
    #[error("the host leads to an address that is not public ({range}); nothing is sent there")]
    NotPublic {
        /// What the address is for.
        range: &'static str,
    },
    /// The host's name leads nowhere.
    #[error("the host's name was not resolved")]
    Unresolved,
    /// What others are told of [`OutboundError::NotPublic`] and [`OutboundError::Unresolved`] ([`OutboundError::told`]).
    #[error("the host's name does not lead to a public address; nothing is sent there")]
    LeadsNowhere,
    /// No connection was made.
    #[error("no connection was made: {fault}")]
    NoConnection {
        /// How it failed.
        fault: ConnectFault,
    },
    /// It took longer than it may.
    #[error("it took too long {phase}")]
    TimedOut {
        /// What took too long.
        phase: Phase,
    },
    /// The connection ended before there was an answer.
    #[error("the connection broke before there was an answer")]
    Broken,
    /// A header of ours cannot be sent.
    #[error("a header of the request has characters that cannot be sent")]
    BadHeader,
    /// TLS cannot be set up on this machine.
    #[error("the client for outgoing HTTP cannot be made; look at the machine's certificates")]
    HttpClient,
}

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// Nobody listens there.
    Refused,
    /// It was closed while it was made.
    Closed,
    /// No way leads there.
    Unreachable,
    /// TLS was not agreed upon.
    Tls,
    /// None of these.
    Other,
}

/// A part of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking up the name, connecting, agreeing upon TLS.
    Connecting,
    /// From there to the head of the answer.
    Answering,
}

impl OutboundError {
    /// The same as it may be told to whoever has named the address: whether a name is known inside our network is nobody's business, so
    /// one that leads inside is like one that leads nowhere. The log of whoever runs the platform has the difference.
    #[must_use]
    pub fn told(&self) -> Self {
        match self {
            Self::NotPublic { .. } | Self::Unresolved => Self::LeadsNowhere,
            Self::BadUrl { .. }
            | Self::LeadsNowhere
            | Self::NoConnection { .. }
            | Self::TimedOut { .. }
            | Self::Broken
            | Self::BadHeader
            | Self::HttpClient => self.clone(),
        }
    }

    /// Whether the receiver may have got the request all the same.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Broken | Self::TimedOut { phase: Phase::Answering } => true,
            Self::BadUrl { .. }
            | Self::NotPublic { .. }
            | Self::Unresolved
            | Self::LeadsNowhere
            | Self::NoConnection { .. }
            | Self::TimedOut { phase: Phase::Connecting }
            | Self::BadHeader
            | Self::HttpClient => false,
        }
    }
}

impl Classified for OutboundError {
    fn disposition(&self) -> Disposition {
        match self {
            // A name may lead elsewhere tomorrow.
            Self::NotPublic { .. }
            | Self::Unresolved
            | Self::LeadsNowhere
            | Self::NoConnection { .. }
            | Self::TimedOut { .. }
            | Self::Broken
            | Self::HttpClient => Disposition::Retry,
            Self::BadUrl { .. } | Self::BadHeader => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } => "outbound.bad_url",
            Self::NotPublic { .. } => "outbound.not_public",
            Self::Unresolved => "outbound.unresolved",
            Self::LeadsNowhere => "outbound.leads_nowhere",
            Self::NoConnection { .. } => "outbound.no_connection",
            Self::TimedOut { .. } => "outbound.timed_out",
            Self::Broken => "outbound.broken",
            Self::BadHeader => "outbound.bad_header",
            Self::HttpClient => "outbound.http_client",
        }
    }
}

impl std::fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Refused => "nobody listens there",
            Self::Closed => "it was closed at once",
            Self::Unreachable => "no way leads there",
            Self::Tls => "TLS was not agreed upon; look at the receiver's certificate",
            Self::Other => "the reason is not known",
        })
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "to connect",
            Self::Answering => "until the answer",
        })
    }
}
