//! Saves and sends as the platform does, or as it would without one of its guards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use isotherm_outbound::{CheckedUrl, Client, Options, OutboundError, Resolver, Timeouts};
use isotherm_types::Classified as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Serialize};
use url::Host;

use crate::doorbell::Names;

/// What a run may be without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Guard {
    /// Addresses are looked at.
    Addresses,
    /// What was looked at is what is connected to.
    ResolveOnce,
    /// Redirects are not followed.
    Redirects,
    /// Proxies of the environment are not used.
    Proxies,
}

impl Guard {
    pub(crate) const ALL: [Self; 4] = [Self::Addresses, Self::ResolveOnce, Self::Redirects, Self::Proxies];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::ResolveOnce => "resolve_once",
            Self::Redirects => "redirects",
            Self::Proxies => "proxies",
        }
    }
}

/// What came of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was refused: nothing was connected to.
    Refused,
    /// It went out, and there was no answer.
    Failed,
    /// It was answered with this status.
    Answered(u16),
}

pub(crate) struct Sender {
    client: Client,
    bare: reqwest::Client,
    lacks: Option<Guard>,
}

impl Sender {
    pub(crate) fn new(names: &Arc<Names>, allow_loopback_http: bool, lacks: Option<Guard>) -> Self {
        let resolver = Arc::clone(names) as Arc<dyn Resolver>;
        let client = Client::new(Options { allow_loopback_http, resolver, ..Options::default() }).unwrap();
        let mut bare = reqwest::Client::builder()
            .dns_resolver(Unchecked(Arc::clone(names)))
            .connect_timeout(Duration::from_millis(500))
            .timeout(Duration::from_secs(2));
        if lacks != Some(Guard::Redirects) {
            bare = bare.redirect(reqwest::redirect::Policy::none());
        }
        if lacks != Some(Guard::Proxies) {
            bare = bare.no_proxy();
        }
        Self { client, bare: bare.build().unwrap(), lacks }
    }

    /// As when a channel is saved.
    pub(crate) async fn define(&self, text: &str) -> Result<(), OutboundError> {
        if self.lacks == Some(Guard::Addresses) {
            return Ok(());
        }
        let checked = CheckedUrl::parse(text, &self.client.policy())?;
        self.client.check(&checked).await
    }

    /// Whether its refusal says more of the name in `text` than that of a name which is not known.
    pub(crate) fn tells(&self, text: &str, refusal: &OutboundError) -> bool {
        let is_looked_up = CheckedUrl::parse(text, &self.client.policy()).is_ok();
        is_looked_up && refusal.told() != OutboundError::Unresolved.told()
    }

    /// As when a delivery is sent: from the text that was saved.
    pub(crate) async fn send(&self, text: &str) -> Outcome {
        match self.lacks {
            None => self.send_guarded(text).await,
            Some(Guard::Addresses) => self.send_bare(text).await,
            Some(Guard::ResolveOnce | Guard::Redirects | Guard::Proxies) => match self.define(text).await {
                Ok(()) => self.send_bare(text).await,
                Err(_) => Outcome::Refused,
            },
        }
    }

    async fn send_guarded(&self, text: &str) -> Outcome {
        let Ok(checked) = CheckedUrl::parse(text, &self.client.policy()) else { return Outcome::Refused };
        match self.client.post(&checked, &[], "{}", Timeouts::default()).await {
            Ok(answer) => Outcome::Answered(answer.status),
            Err(error) if ["outbound.not_public", "outbound.bad_url"].contains(&error.code()) => Outcome::Refused,
            Err(_) => Outcome::Failed,
        }
    }

    /// Without guards, but never off this machine.
    async fn send_bare(&self, text: &str) -> Outcome {
        let is_here = url::Url::parse(text).is_ok_and(|url| match url.host() {
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        });
        if !is_here {
            return Outcome::Failed;
        }
        match self.bare.post(text).body("{}").send().await {
            Ok(response) => Outcome::Answered(response.status().as_u16()),
            Err(_) => Outcome::Failed,
        }
    }
}

/// Whatever a name leads to.
struct Unchecked(Arc<Names>);

impl Resolve for Unchecked {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            let found = names.resolve(name.as_str()).await?;
            let routes: Vec<SocketAddr> = found.into_iter().map(|address| names.route(address)).collect();
            Ok::<Addrs, Box<dyn std::error::Error + Send + Sync>>(Box::new(routes.into_iter()))
        })
    }
}
