//! Sends, within limits.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use isotherm_types::{Clock, SystemClock};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{Answer, read_body};
use crate::checked_url::{CheckedUrl, Host, Policy};
use crate::error::{ConnectFault, OutboundError, Phase};
use crate::resolver::{CheckedNames, Resolver, SystemResolver, checked};
use crate::retry_after;

/// What receivers are told of the sender.
const USER_AGENT: &str = concat!("isotherm/", env!("CARGO_PKG_VERSION"));
/// A connection that was not used for so long is closed: below what load balancers keep (60 s on AWS).
const IDLE: Duration = Duration::from_secs(30);
/// Connections to one host that are kept while they are not used.
const MOST_IDLE: usize = 64;

/// How a [`Client`] is made.
pub struct Options {
    /// Whether `http://` to this machine's own loopback is allowed: for one machine, never in an account.
    pub allow_loopback_http: bool,
    /// Looks names up.
    pub resolver: Arc<dyn Resolver>,
    /// What dates in `Retry-After` are compared with.
    pub clock: Arc<dyn Clock>,
    /// How long the look-up, the connection and TLS may take together.
    pub connect_timeout: Duration,
}

impl Default for Options {
    /// HTTPS only, the system's resolver and clock, 3 s to connect.
    fn default() -> Self {
        Self {
            allow_loopback_http: false,
            resolver: Arc::new(SystemResolver),
            clock: Arc::new(SystemClock),
            connect_timeout: Duration::from_secs(3),
        }
    }
}

/// How long one exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the beginning, connecting included, to the head of the answer.
    pub head: Duration,
    /// From the beginning to the end of the answer; what has come of its body by then is what there is.
    pub total: Duration,
}

impl Default for Timeouts {
    /// 10 s in all.
    fn default() -> Self {
        Self { head: Duration::from_secs(10), total: Duration::from_secs(10) }
    }
}

/// The client. A clone shares its connections, which are kept open between requests to one host.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    resolver: Arc<dyn Resolver>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    connect_timeout: Duration,
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    /// [`OutboundError::HttpClient`].
    pub fn new(options: Options) -> Result<Self, OutboundError> {
        let policy = Policy { allow_loopback_http: options.allow_loopback_http };
        let names = CheckedNames { resolver: Arc::clone(&options.resolver), policy };
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .dns_resolver(names)
            .https_only(!policy.allow_loopback_http)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .http1_only()
            // What is counted is what came over the wire, whatever features other crates turn on.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .build()
            .map_err(|_| OutboundError::HttpClient)?;
        let Options { resolver, clock, connect_timeout, .. } = options;
        Ok(Self { http, resolver, clock, policy, connect_timeout })
    }

    /// What texts are judged by.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Looks the host of `url` up and checks where it leads, without connecting: for when a channel is saved.
    ///
    /// # Errors
    /// [`OutboundError::NotPublic`], [`OutboundError::Unresolved`], [`OutboundError::TimedOut`]; [`OutboundError::BadUrl`] if the
    /// URL was judged by a policy that allows more than this client's.
    pub async fn check(&self, url: &CheckedUrl) -> Result<(), OutboundError> {
        url.judge(&self.policy)?;
        let Host::Name(name) = url.host() else { return Ok(()) };
        let looked_up = timeout(self.connect_timeout, checked(&*self.resolver, name, self.policy)).await;
        looked_up.map_err(|_| OutboundError::TimedOut { phase: Phase::Connecting })??;
        Ok(())
    }

    /// Posts `body` with `headers` to `url`.
    ///
    /// # Errors
    /// Those of [`Client::check`], and that there was no answer. Any status is an answer.
    pub async fn post(
        &self,
        url: &CheckedUrl,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
        timeouts: Timeouts,
    ) -> Result<Answer, OutboundError> {
        url.judge(&self.policy)?;
        let request = self.http.post(url.url().clone()).headers(header_map(headers)?).body(body);
        let began = Instant::now();
        let deadline = began + timeouts.total;
        let response = timeout_at(deadline.min(began + timeouts.head), request.send())
            .await
            .map_err(|_| OutboundError::TimedOut { phase: Phase::Answering })?
            .map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| retry_after::parse(value, self.clock.now()));
        let (body, is_complete) = read_body(response, deadline).await;
        Ok(Answer { status, retry_after, body, is_complete })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("policy", &self.policy).finish_non_exhaustive()
    }
}

fn header_map(headers: &[(&str, &str)]) -> Result<HeaderMap, OutboundError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OutboundError::BadHeader)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| OutboundError::BadHeader)?;
        // Tokens and signatures are among them.
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}

/// What the HTTP library reports, without anything that it says of the address.
fn failure(error: &reqwest::Error) -> OutboundError {
    if let Some(own) = causes(error).find_map(|cause| cause.downcast_ref::<OutboundError>()) {
        return own.clone();
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => OutboundError::TimedOut { phase: Phase::Connecting },
        (true, false) => OutboundError::NoConnection { fault: connect_fault(error) },
        (false, true) => OutboundError::TimedOut { phase: Phase::Answering },
        (false, false) => OutboundError::Broken,
    }
}

fn connect_fault(error: &reqwest::Error) -> ConnectFault {
    let mut kinds = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let fault = kinds.find_map(|kind| match kind {
        io::ErrorKind::ConnectionRefused => Some(ConnectFault::Refused),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
            Some(ConnectFault::Unreachable)
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(ConnectFault::Closed),
        // As which tokio-rustls hands on what rustls reports.
        io::ErrorKind::InvalidData => Some(ConnectFault::Tls),
        _ => None,
    });
    fault.unwrap_or(ConnectFault::Other)
}

/// `error` and its causes, those inside I/O errors too, which `source` passes over.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause: &&'a (dyn Error + 'static)| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &'a (dyn Error + 'static)),
            None => cause.source(),
        }
    })
}
