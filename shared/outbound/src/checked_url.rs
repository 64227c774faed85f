//! Texts that may be addresses of receivers. Pure: where a name leads is the client's to find out.
//!
//! One parser decides what a text says, the one whose result is sent; a second one must agree with it.

use std::net::IpAddr;

use url::{Host as UrlHost, Url};

use crate::error::OutboundError;
use crate::public_address::reserved_for;

/// Longest address.
pub const MAX_URL_BYTES: usize = 2048;
/// Longest name of a host, and longest part of one. **Source**: RFC 1035, section 2.3.4.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// This machine.
pub(crate) const LOCALHOST: &str = "localhost";
/// The port of HTTPS, and the first of those that no system keeps for itself.
const HTTPS_PORT: u16 = 443;
const FIRST_FREE_PORT: u16 = 1024;
/// Ends of names that lead to nobody's public host. **Source**: IANA Special-Use Domain Names (RFC 6761, 6762, 7686, 8375, 9476), and
/// `internal`, which ICANN keeps for private use (resolution 2024.07.29.06).
const RESERVED_ENDS: [&str; 9] =
    [LOCALHOST, "local", "internal", "home.arpa", "test", "example", "invalid", "onion", "alt"];

/// What is allowed beyond HTTPS to the public.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether `http://` to this machine's own loopback is allowed: for one machine, never in an account.
    pub allow_loopback_http: bool,
}

/// What is wrong with the text of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// It is too long.
    TooLong,
    /// It has white space, control characters or a backslash, which programs read in different ways.
    Characters,
    /// It is no URL, or programs read it in different ways.
    NotAUrl,
    /// It does not begin with `https://`.
    Scheme,
    /// It has a user or a password.
    UserInfo,
    /// It has a fragment, which is never sent.
    Fragment,
    /// It has a port that is neither 443 nor 1024 or more.
    Port,
    /// Its host is no full name of a host.
    HostName,
    /// Its host has a name that is reserved and leads to no public host.
    ReservedName,
}

/// Where a URL leads.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// To wherever this name leads.
    Name(String),
    /// To an address that may be connected to.
    Address(IpAddr),
}

/// An address that something may be sent to, if its name leads to the public.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckedUrl {
    url: Url,
    host: Host,
}

impl CheckedUrl {
    /// Reads `text`.
    ///
    /// Other notations of a host are brought into the one form before it is judged: IPv4 addresses in decimal, octal, hexadecimal or
    /// short, percent-encoded names, names in other scripts, a final dot.
    ///
    /// # Errors
    /// [`OutboundError::BadUrl`]; [`OutboundError::NotPublic`] if the host is an address that is not public.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, OutboundError> {
        if text.len() > MAX_URL_BYTES {
            return bad(UrlFault::TooLong);
        }
        if text.chars().any(|letter| letter.is_control() || letter.is_whitespace() || letter == '\\') {
            return bad(UrlFault::Characters);
        }
        let mut url = Url::parse(text).map_err(|_| OutboundError::BadUrl { fault: UrlFault::NotAUrl })?;
        if !matches!(url.scheme(), "https" | "http") {
            return bad(UrlFault::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return bad(UrlFault::UserInfo);
        }
        if url.fragment().is_some() {
            return bad(UrlFault::Fragment);
        }
        let host = host(&mut url)?;
        let checked = Self { url, host };
        checked.judge(policy)?;
        if !checked.is_read_alike() {
            return bad(UrlFault::NotAUrl);
        }
        Ok(checked)
    }

    /// The address in its one form. It is a secret: whoever knows it can post there.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Whether a client of `policy` sends to it, whatever policy it was read under.
    pub(crate) fn judge(&self, policy: &Policy) -> Result<(), OutboundError> {
        let is_plain = self.url.scheme() == "http";
        let is_own_machine = match &self.host {
            Host::Name(name) => name == LOCALHOST,
            Host::Address(address) => address.is_loopback(),
        };
        if is_plain && policy.allow_loopback_http && is_own_machine {
            return Ok(());
        }
        match &self.host {
            Host::Name(name) => judge_name(name)?,
            Host::Address(address) => {
                if let Some(range) = reserved_for(*address) {
                    return Err(OutboundError::NotPublic { range });
                }
            }
        }
        if is_plain {
            return bad(UrlFault::Scheme);
        }
        match self.url.port_or_known_default() {
            Some(port) if port == HTTPS_PORT || port >= FIRST_FREE_PORT => Ok(()),
            _ => bad(UrlFault::Port),
        }
    }

    /// Whether the second parser, that of the HTTP library, finds the same host and port.
    fn is_read_alike(&self) -> bool {
        let Ok(uri) = self.url.as_str().parse::<http::Uri>() else { return false };
        uri.scheme_str() == Some(self.url.scheme())
            && uri.host() == self.url.host_str()
            && uri.port_u16() == self.url.port()
    }
}

/// Says nothing of the address.
impl std::fmt::Debug for CheckedUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckedUrl { .. }")
    }
}

impl std::fmt::Display for UrlFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it is longer than 2048 bytes",
            Self::Characters => "it has white space, control characters or a backslash",
            Self::NotAUrl => "it is no URL of the form https://host/path",
            Self::Scheme => "it has to begin with https://",
            Self::UserInfo => "it must not have a user or a password",
            Self::Fragment => "it must not have a fragment (#…), which is never sent",
            Self::Port => "its port has to be 443, or 1024 or more",
            Self::HostName => "its host has to be a full name such as hooks.example.com, or a public IP address",
            Self::ReservedName => "its host has a name that is reserved and leads to no public host",
        })
    }
}

fn bad<T>(fault: UrlFault) -> Result<T, OutboundError> {
    Err(OutboundError::BadUrl { fault })
}

/// The host of `url`, from which a final dot is taken: TLS and receivers know names without one.
fn host(url: &mut Url) -> Result<Host, OutboundError> {
    let without_dot = url.host_str().and_then(|host| host.strip_suffix('.')).map(str::to_owned);
    if let Some(name) = without_dot
        && url.set_host(Some(&name)).is_err()
    {
        return bad(UrlFault::HostName);
    }
    match url.host() {
        Some(UrlHost::Domain(name)) => Ok(Host::Name(name.to_owned())),
        Some(UrlHost::Ipv4(address)) => Ok(Host::Address(IpAddr::V4(address))),
        Some(UrlHost::Ipv6(address)) => Ok(Host::Address(IpAddr::V6(address))),
        None => bad(UrlFault::NotAUrl),
    }
}

fn judge_name(name: &str) -> Result<(), OutboundError> {
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    let is_reserved = |end: &&str| {
        let before = name.strip_suffix(*end);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    if RESERVED_ENDS.iter().any(is_reserved) {
        return bad(UrlFault::ReservedName);
    }
    if name.len() > MAX_NAME_BYTES || !name.contains('.') || !name.split('.').all(is_label) {
        return bad(UrlFault::HostName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Policy = Policy { allow_loopback_http: false };
    const ONE_MACHINE: Policy = Policy { allow_loopback_http: true };

    fn fault(text: &str) -> Option<UrlFault> {
        match CheckedUrl::parse(text, &STRICT) {
            Err(OutboundError::BadUrl { fault }) => Some(fault),
            _ => None,
        }
    }

    #[test]
    fn each_fault_has_its_name() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
        for (text, expected) in [
            (long.as_str(), UrlFault::TooLong),
            ("https://example.com/a b", UrlFault::Characters),
            ("https://exa\tmple.com/", UrlFault::Characters),
            ("https://example.com\\@10.0.0.1/", UrlFault::Characters),
            ("example.com/hook", UrlFault::NotAUrl),
            ("https://", UrlFault::NotAUrl),
            ("https://256.1.1.1/", UrlFault::NotAUrl),
            ("ftp://example.com/", UrlFault::Scheme),
            ("http://example.com/", UrlFault::Scheme),
            ("https://user@example.com/", UrlFault::UserInfo),
            ("https://:word@example.com/", UrlFault::UserInfo),
            ("https://example.com/#a", UrlFault::Fragment),
            ("https://example.com:22/", UrlFault::Port),
            ("https://example.com:0/", UrlFault::Port),
            ("https://intranet/", UrlFault::HostName),
            ("https://example..com/", UrlFault::HostName),
            ("https://example.com../", UrlFault::HostName),
            ("https://localhost/", UrlFault::ReservedName),
            ("https://LocalHost./", UrlFault::ReservedName),
            ("https://a.localhost/", UrlFault::ReservedName),
            ("https://metadata.google.internal/", UrlFault::ReservedName),
        ] {
            assert_eq!(fault(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_notations_are_brought_into_one_form() {
        for (text, expected) in [
            ("https://Hooks.Example.COM./a", "https://hooks.example.com/a"),
            ("https://hooks.example.com:443", "https://hooks.example.com/"),
            ("https://h%6F%6Fks.example.com/", "https://hooks.example.com/"),
            ("https://b\u{fc}cher.example.org/", "https://xn--bcher-kva.example.org/"),
            ("https://0x08.010.8.8/", "https://8.8.8.8/"),
            ("https://134744072/", "https://8.8.8.8/"),
            ("https://[2606:4700:4700:0::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
        ] {
            let checked = CheckedUrl::parse(text, &STRICT).unwrap();
            assert_eq!(checked.as_str(), expected);
            assert_eq!(format!("{checked:?}"), "CheckedUrl { .. }");
        }
    }

    #[test]
    fn plain_http_leads_to_the_own_machine_only_and_only_if_allowed() {
        for text in ["http://127.0.0.1:9000/a", "http://[::1]:9000/", "http://localhost:80/"] {
            let lenient = CheckedUrl::parse(text, &ONE_MACHINE).unwrap();
            assert!(CheckedUrl::parse(text, &STRICT).is_err(), "{text}");
            assert!(lenient.judge(&STRICT).is_err(), "{text}");
        }
        for text in
            ["http://10.0.0.1/", "http://example.com/", "http://0.0.0.0/", "https://127.0.0.1/", "https://localhost/"]
        {
            assert!(CheckedUrl::parse(text, &ONE_MACHINE).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_say_nothing_of_the_address() {
        for text in ["https://hidden:hidden@example.com/", "https://10.0.0.1/hidden", "https://hidden/", "hidden"] {
            let error = CheckedUrl::parse(text, &STRICT).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
        }
    }
}
