//! The addresses of a chain, which are secrets: providers put keys in user names, paths and queries.
//!
//! Never prints more than scheme, host and port, neither with `{}` nor with `{:?}`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::error::ChainError;

mod list;
mod secrets;

pub use list::{RpcUrls, WakeUpUrl};

use secrets::secrets;

/// Stands in the place of a key.
const MARK: &str = "[secret]";

/// Address of a JSON-RPC endpoint over HTTP, how many calls it permits if that is known, and whether it is to compress.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl {
    url: Url,
    words: Words,
    /// What may be a key in it.
    secrets: Vec<String>,
}

impl RpcUrl {
    /// Parses one address. Behind `#` it may have the rate that the endpoint permits, and whether answers are asked for
    /// in gzip: `https://node.example#rate=25/s&compression=none`.
    ///
    /// # Errors
    /// [`ChainError::InvalidRpcUrl`], which does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        let url = Self::read(text)?;
        if url.is_web_socket() {
            return Err(invalid("it does not start with http:// or https://"));
        }
        Ok(url)
    }

    /// Parses one address, which may be over WebSocket.
    fn read(text: &str) -> Result<Self, ChainError> {
        let mut url = Url::parse(text.trim()).map_err(|_| invalid("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return Err(invalid("it does not start with http://, https://, ws:// or wss://"));
        }
        if url.host_str().is_none() {
            return Err(invalid("it names no host"));
        }
        let words = url.fragment().map_or_else(|| Ok(Words::default()), str::parse)?;
        url.set_fragment(None);
        Ok(Self { secrets: secrets(&url), url, words })
    }

    /// Parses addresses separated by commas, in the order in which they are to be tried; those over WebSocket, which
    /// are not asked, are left out ([`RpcUrls`] has them).
    ///
    /// # Errors
    /// As [`RpcUrls::parse`].
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ChainError> {
        RpcUrls::parse(text).map(|urls| urls.endpoints)
    }

    fn is_web_socket(&self) -> bool {
        matches!(self.url.scheme(), "ws" | "wss")
    }

    /// What the endpoint permits, if the address says so.
    pub fn call_rate(&self) -> Option<CallRate> {
        self.words.call_rate
    }

    /// Whether its answers are asked for in gzip: as the address says, else unless they do not leave this machine, where
    /// nobody pays for bytes and both ends pay for packing them.
    pub(crate) fn asks_for_gzip(&self) -> bool {
        match self.words.compression {
            Some(compression) => compression == Compression::Gzip,
            None => !self.is_loopback(),
        }
    }

    fn is_loopback(&self) -> bool {
        let host = self.url.host_str().unwrap_or("");
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) => address.is_loopback(),
            // Source: RFC 6761, 6.3.
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }

    /// The whole address, secrets included; for the HTTP client only.
    pub(crate) fn reveal(&self) -> Url {
        self.url.clone()
    }

    /// `text` without what may be a key in this address, cut to `most_chars`: an endpoint may repeat its address in
    /// what it says.
    ///
    /// Cut as it is written, so that no key stands half at the cut; where keys overlap or hold one another, nothing of
    /// either is left.
    pub(crate) fn without_secrets(&self, text: &str, most_chars: usize) -> String {
        let mut shown = String::new();
        let (mut room, mut hidden_to) = (most_chars, 0);
        for (at, character) in text.char_indices() {
            if room == 0 {
                break;
            }
            let is_behind_a_mark = at < hidden_to;
            let found = self.secrets.iter().filter(|secret| text[at..].starts_with(secret.as_str()));
            hidden_to = found.map(|secret| at + secret.len()).fold(hidden_to, usize::max);
            if is_behind_a_mark {
                continue;
            }
            let written = shown.len();
            if at < hidden_to {
                shown.push_str(&MARK[..MARK.len().min(room)]);
                room -= shown.len() - written;
            } else {
                shown.push(character);
                room -= 1;
            }
        }
        shown
    }
}

impl fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.url.host_str().unwrap_or("?"))?;
        match self.url.port_or_known_default() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RpcUrl({self})")
    }
}

/// What stands behind `#` of an address; it is never sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Words {
    call_rate: Option<CallRate>,
    compression: Option<Compression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    None,
}

impl FromStr for Words {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        let mut words = Self::default();
        for word in text.split('&') {
            match word.split_once('=') {
                Some(("rate", rate)) if words.call_rate.is_none() => words.call_rate = Some(rate.parse()?),
                Some(("compression", "gzip")) if words.compression.is_none() => {
                    words.compression = Some(Compression::Gzip);
                }
                Some(("compression", "none")) if words.compression.is_none() => {
                    words.compression = Some(Compression::None);
                }
                _ => {
                    return Err(invalid(
                        "what stands behind # is not rate=CALLS/s, rate=CALLS/SECONDSs, compression=gzip or \
                         compression=none, each once at most and with & between them",
                    ));
                }
            }
        }
        Ok(words)
    }
}

/// How many calls an endpoint permits in a span of time. Written `25/s`, or `300/10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallRate {
    /// Calls; at least 1.
    pub calls: u32,
    /// The span; whole seconds, at least 1.
    pub per: Duration,
}

impl FromStr for CallRate {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        let problem = "its rate is not CALLS/s or CALLS/SECONDSs, both from 1 on";
        let (calls, span) = text.split_once('/').ok_or_else(|| invalid(problem))?;
        let seconds = match span.strip_suffix('s') {
            Some("") => Some(1),
            Some(seconds) => number(seconds),
            None => None,
        };
        match (number(calls), seconds) {
            (Some(calls), Some(seconds)) => Ok(Self { calls, per: Duration::from_secs(seconds.into()) }),
            _ => Err(invalid(problem)),
        }
    }
}

/// A decimal number from 1 on, without a sign.
fn number(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u32>().ok().filter(|number| is_plain && *number > 0)
}

impl fmt::Display for CallRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.calls),
            seconds => write!(f, "{}/{seconds}s", self.calls),
        }
    }
}

impl TryFrom<String> for CallRate {
    type Error = ChainError;

    fn try_from(text: String) -> Result<Self, ChainError> {
        text.parse()
    }
}

impl From<CallRate> for String {
    fn from(rate: CallRate) -> Self {
        rate.to_string()
    }
}

fn invalid(problem: &'static str) -> ChainError {
    ChainError::InvalidRpcUrl { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_shows_its_secrets() {
        for text in [
            "https://user:SECRET@node.example:8545/",
            "https://node.example:8545/v2/SECRET",
            "https://node.example:8545/?key=SECRET",
            "https://node.example:8545/v2/SECRET#rate=25/s",
        ] {
            let url = RpcUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), "https://node.example:8545");
            assert_eq!(format!("{url:?}"), "RpcUrl(https://node.example:8545)");
        }
        for text in ["ftp://user:SECRET@node.example", "http://node.example#SECRET", "http://node.example#rate=SECRET"]
        {
            let error = RpcUrl::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn what_an_endpoint_says_is_kept_without_the_keys_of_its_address() {
        let url =
            RpcUrl::parse("https://someuser:hunter2hunter2@node.example/v2/k3yk3yk3y?key=t0kent0ken&x=y").unwrap();
        let said = "no such key: /v2/k3yk3yk3y?key=t0kent0ken for someuser with hunter2hunter2";
        assert_eq!(
            url.without_secrets(said, 1000),
            "no such key: /v2/[secret]?key=[secret] for [secret] with [secret]",
            "v2, key and x are words"
        );
        assert_eq!(RpcUrl::parse("http://node.example").unwrap().without_secrets("node.example", 99), "node.example");
    }

    #[test]
    fn a_key_that_holds_another_or_overlaps_it_is_hidden_whole() {
        let url = RpcUrl::parse("https://longlong@node.example/longlong-and-more/morelonglong").unwrap();
        for (said, expected) in [
            ("longlong-and-more", "[secret]"),
            ("longlong, morelonglong", "[secret], [secret]"),
            ("/longlong-and-morelonglong/", "/[secret]/"),
            ("morelonglonglonglong-and-more", "[secret]"),
            ("longlong-and-morelonglong-and-more", "[secret]"),
        ] {
            assert_eq!(url.without_secrets(said, 1000), expected);
        }
    }

    #[test]
    fn a_text_is_cut_where_it_is_full_and_never_inside_a_key() {
        let key: String = (0..100).map(|part| format!("{part:03}")).collect();
        let url = RpcUrl::parse(&format!("https://node.example/{key}")).unwrap();
        let said = format!("é{}", key.repeat(50));
        for (most, expected) in [(0, ""), (1, "é"), (4, "é[se"), (9, "é[secret]"), (20, "é[secret][secret][se")] {
            assert_eq!(url.without_secrets(&said, most), expected);
        }
    }

    #[test]
    fn a_list_needs_at_least_one_address() {
        assert_eq!(RpcUrl::parse_list("http://a, http://b,").unwrap().len(), 2);
        assert!(matches!(RpcUrl::parse_list(" , "), Err(ChainError::NoEndpoint)));
        assert!(RpcUrl::parse_list("http://a,nonsense").is_err());
    }

    #[test]
    fn gzip_is_asked_of_whoever_is_not_on_this_machine_unless_the_address_says_otherwise() {
        let asks = |text: &str| RpcUrl::parse(text).unwrap().asks_for_gzip();
        for afar in
            ["https://node.example/KEY", "http://10.0.0.7:8545", "http://[2001:db8::1]", "http://localhost.example"]
        {
            assert!(asks(afar) && asks(&format!("{afar}#rate=25/s")), "{afar}");
            assert!(!asks(&format!("{afar}#compression=none")), "{afar}");
        }
        for here in
            ["http://127.0.0.1:8545", "http://127.1.2.3", "http://[::1]:8545", "http://localhost", "http://a.localhost"]
        {
            assert!(!asks(here) && asks(&format!("{here}#compression=gzip&rate=300/10s")), "{here}");
        }
        let both = RpcUrl::parse("http://a/x#rate=25/s&compression=none").unwrap();
        assert_eq!((both.call_rate().map(|rate| rate.calls), both.reveal().as_str()), (Some(25), "http://a/x"));
        for wrong in ["compression=br", "compression", "rate=25/s&", "compression=gzip&compression=none", "gzip"] {
            assert!(RpcUrl::parse(&format!("http://a#{wrong}")).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_rate_stands_behind_the_address_and_is_not_sent() {
        let urls = RpcUrl::parse_list("http://a/x#rate=25/s,http://b#rate=300/10s,http://c").unwrap();
        let rates: Vec<_> = urls.iter().map(|url| url.call_rate().map(|rate| rate.to_string())).collect();
        assert_eq!(rates, [Some("25/s".to_owned()), Some("300/10s".to_owned()), None]);
        assert_eq!(urls[0].reveal().as_str(), "http://a/x");
        for wrong in ["", "25", "25/", "0/s", "25/0s", "-1/s", "+1/s", "25/10", "25/1.5s", "2.5/s", "99999999999/s"] {
            assert!(wrong.parse::<CallRate>().is_err(), "{wrong:?}");
            assert!(RpcUrl::parse(&format!("http://a#rate={wrong}")).is_err(), "{wrong:?}");
        }
        let read: CallRate = serde_json::from_str("\"300/10s\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"300/10s\"");
    }
}
