//! The list of hosts, written as Terraform's `allowed_hosts` has them: `rpc.example.com`, or `*.example.com` for all names
//! below it. A port may follow, which AWS does not know: there 443 is the only one, and here it is meant if none is given.

use std::net::SocketAddr;

use crate::error::LocalStackError;

/// Port of HTTPS, the only one that leads out on AWS.
const HTTPS: u16 = 443;

/// Hosts that may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Lower case; without the `*` of `*.example.com`, whose dot stays.
    host: String,
    port: u16,
}

impl AllowList {
    /// Reads the entries.
    ///
    /// # Errors
    /// [`LocalStackError::AllowedHost`] for the first that names no host.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, LocalStackError> {
        entries.into_iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `port` of `host` may be reached.
    pub fn permits(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|entry| {
            let is_host = match entry.host.strip_prefix('.') {
                Some(_) => host.ends_with(&entry.host) && host.len() > entry.host.len(),
                None => host == entry.host,
            };
            is_host && port == entry.port
        })
    }

    /// The list with an address besides.
    pub(super) fn with_address(mut self, address: SocketAddr) -> Self {
        self.0.push(Entry { host: address.ip().to_string(), port: address.port() });
        self
    }
}

fn entry(text: &str) -> Result<Entry, LocalStackError> {
    let refused = || LocalStackError::AllowedHost { entry: text.to_owned() };
    let (host, port) = host_and_port(text).ok_or_else(refused)?;
    let host = host.strip_prefix('*').map_or(host.clone(), str::to_owned);
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let labels = host.strip_prefix('.').unwrap_or(&host).split('.');
    let is_name = labels.into_iter().all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    });
    // `*` alone would be everybody.
    let is_wild = text.starts_with('*');
    if (is_address || is_name) && is_wild == host.starts_with('.') {
        return Ok(Entry { host, port: port.unwrap_or(HTTPS) });
    }
    Err(refused())
}

/// `host`, `host:port` or `[address]:port`, the host in lower case; `None` if it is neither.
pub(super) fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_permitted_as_terraforms_list_permits_it() {
        let list = AllowList::parse(["rpc.example.com", "*.Example.org", "10.0.0.5:8545"]).unwrap();
        let cases = [
            ("rpc.example.com", 443, true),
            ("RPC.example.com.", 443, true),
            ("rpc.example.com", 80, false),
            ("a.rpc.example.com", 443, false),
            ("example.com", 443, false),
            ("a.example.org", 443, true),
            ("a.b.example.org", 443, true),
            ("example.org", 443, false),
            ("evilexample.org", 443, false),
            ("10.0.0.5", 8545, true),
            ("10.0.0.5", 443, false),
            ("", 443, false),
        ];
        for (host, port, permitted) in cases {
            assert_eq!(list.permits(host, port), permitted, "{host}:{port}");
        }
        assert!(!AllowList::default().permits("rpc.example.com", 443), "an empty list permits nobody");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in
            ["", "*", "*.", ".example.com", "https://a.example.com", "a b", "a:x", "a:70000", "*example.com", "a/b"]
        {
            let error = AllowList::parse([text]).unwrap_err();
            assert!(matches!(error, LocalStackError::AllowedHost { .. }), "{text:?}");
        }
    }
}
