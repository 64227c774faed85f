//! From a name to addresses that may be connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::checked_url::{LOCALHOST, Policy};
use crate::error::OutboundError;
use crate::public_address::reserved_for;

/// Looks names up.
pub trait Resolver: Send + Sync {
    /// The addresses of `name`, which is a host's name without a final dot.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// Where a connection to `address` goes, once it was found to be public; port 0 stands for the port of the URL. Nothing but a
    /// laboratory without a network, which brings such connections home, has another answer than this.
    fn route(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, 0)
    }
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        async move {
            // With a final dot the name is looked up as it stands, never with a search domain of this network behind it.
            let absolute = if name == LOCALHOST { name.to_owned() } else { format!("{name}.") };
            let found = tokio::net::lookup_host((absolute.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// The addresses of `name`, all of which may be connected to.
///
/// One that may not is enough to refuse the name: which of them a connection is made to is chance.
pub(crate) async fn checked(resolver: &dyn Resolver, name: &str, policy: Policy) -> Result<Vec<IpAddr>, OutboundError> {
    let found = resolver.resolve(name).await.map_err(|_| OutboundError::Unresolved)?;
    if found.is_empty() {
        return Err(OutboundError::Unresolved);
    }
    let is_own_machine = policy.allow_loopback_http && name == LOCALHOST;
    for address in &found {
        match reserved_for(*address) {
            Some(_) if is_own_machine && address.is_loopback() => {}
            Some(range) => return Err(OutboundError::NotPublic { range }),
            None => {}
        }
    }
    Ok(found)
}

/// What the HTTP client asks for every new connection to a name: one look-up, of which only checked addresses come back.
pub(crate) struct CheckedNames {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) policy: Policy,
}

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, policy) = (Arc::clone(&self.resolver), self.policy);
        Box::pin(async move {
            let addresses = checked(&*resolver, name.as_str(), policy).await?;
            let routes: Vec<SocketAddr> = addresses.into_iter().map(|address| resolver.route(address)).collect();
            Ok::<Addrs, Box<dyn std::error::Error + Send + Sync>>(Box::new(routes.into_iter()))
        })
    }
}
