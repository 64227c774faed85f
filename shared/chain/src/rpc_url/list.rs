//! A chain's addresses as they are configured: those that are asked, and those that only announce new blocks.
//!
//! Never shows more of an address than [`RpcUrl`] does.

use std::fmt;

use reqwest::Url;

use super::{RpcUrl, Words, invalid};
use crate::error::ChainError;

/// The addresses of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcUrls {
    /// Over HTTP, in the order in which they are to be tried; at least one.
    pub endpoints: Vec<RpcUrl>,
    /// Over WebSocket; nothing that they say is stored.
    pub wake_ups: Vec<WakeUpUrl>,
}

impl RpcUrls {
    /// Parses addresses separated by commas, those over HTTP and those over WebSocket in any order.
    ///
    /// # Errors
    /// [`ChainError::InvalidRpcUrl`], which does not repeat the text; [`ChainError::NoEndpoint`] if none is over HTTP.
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let urls = parts.map(RpcUrl::read).collect::<Result<Vec<_>, _>>()?;
        let (wake_ups, endpoints): (Vec<_>, Vec<_>) = urls.into_iter().partition(RpcUrl::is_web_socket);
        if endpoints.is_empty() {
            return Err(ChainError::NoEndpoint);
        }
        if wake_ups.iter().any(|url| url.words != Words::default()) {
            return Err(invalid(
                "one over WebSocket is not called, so it has neither rate nor compression: leave out what stands behind #",
            ));
        }
        Ok(Self { endpoints, wake_ups: wake_ups.into_iter().map(WakeUpUrl).collect() })
    }
}

/// Address of a server that announces new blocks over WebSocket; as secret as [`RpcUrl`].
#[derive(Clone, PartialEq, Eq)]
pub struct WakeUpUrl(RpcUrl);

impl WakeUpUrl {
    /// The whole address, secrets included, as that of the HTTP request by which a WebSocket is opened.
    ///
    /// Source: RFC 6455, 4.1.
    pub(crate) fn over_http(&self) -> Url {
        let mut url = self.0.reveal();
        let scheme = if url.scheme() == "wss" { "https" } else { "http" };
        url.set_scheme(scheme).expect("all four schemes are special, so that one can stand for the other");
        url
    }

    /// As [`RpcUrl::without_secrets`].
    pub(crate) fn without_secrets(&self, text: &str, most_chars: usize) -> String {
        self.0.without_secrets(text, most_chars)
    }
}

impl fmt::Display for WakeUpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for WakeUpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WakeUpUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_over_web_socket_are_no_endpoints() {
        let urls = RpcUrls::parse("wss://w.example/v2/KEY, http://a#rate=25/s,ws://b:8546,https://c").unwrap();
        let endpoints: Vec<_> = urls.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["http://a:80", "https://c:443"]);
        let wake_ups: Vec<_> = urls.wake_ups.iter().map(ToString::to_string).collect();
        assert_eq!(wake_ups, ["wss://w.example:443", "ws://b:8546"]);
        let asked: Vec<_> = urls.wake_ups.iter().map(|url| url.over_http().to_string()).collect();
        assert_eq!(asked, ["https://w.example/v2/KEY", "http://b:8546/"]);
        assert_eq!(RpcUrl::parse_list("ws://b,http://a").unwrap(), [RpcUrl::parse("http://a").unwrap()]);
    }

    #[test]
    fn a_list_without_an_endpoint_and_a_web_socket_with_a_rate_are_refused() {
        assert!(matches!(RpcUrls::parse("ws://a"), Err(ChainError::NoEndpoint)));
        for wrong in [
            "http://a,ws://b#rate=25/s",
            "http://a,ws://b#compression=none",
            "http://a,ws://b#rate",
            "http://a,wss:",
            "http://a,ftp://b",
        ] {
            assert!(matches!(RpcUrls::parse(wrong), Err(ChainError::InvalidRpcUrl { .. })), "{wrong}");
        }
        assert!(RpcUrl::parse("ws://a").is_err(), "a WebSocket is never asked");
    }

    #[test]
    fn an_address_over_web_socket_never_shows_its_secrets() {
        let text = "http://a,wss://user:hunter2hunter2@node.example/v2/k3yk3yk3y?key=t0kent0ken";
        let urls = RpcUrls::parse(text).unwrap();
        assert_eq!(format!("{:?}", urls.wake_ups), "[WakeUpUrl(wss://node.example:443)]");
        let said = urls.wake_ups[0].without_secrets("no such key: k3yk3yk3y", 1000);
        assert_eq!(said, "no such key: [secret]");
    }
}
