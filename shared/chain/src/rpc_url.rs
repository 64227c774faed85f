//! The address of an endpoint, which is a secret: providers put keys in user names, paths and queries.
//!
//! Never prints more than scheme, host and port, neither with `{}` nor with `{:?}`.

use reqwest::Url;

use crate::error::ChainError;

/// Address of a JSON-RPC endpoint over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl(Url);

impl RpcUrl {
    /// Parses one address.
    ///
    /// # Errors
    /// [`ChainError::InvalidRpcUrl`], which does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        let invalid = |problem| ChainError::InvalidRpcUrl { problem };
        let url = Url::parse(text.trim()).map_err(|_| invalid("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("it does not start with http:// or https://"));
        }
        if url.host_str().is_none() {
            return Err(invalid("it names no host"));
        }
        Ok(Self(url))
    }

    /// Parses addresses separated by commas, in the order in which they are to be tried.
    ///
    /// # Errors
    /// As [`RpcUrl::parse`]; [`ChainError::NoEndpoint`] if there is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ChainError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let urls = parts.map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() { Err(ChainError::NoEndpoint) } else { Ok(urls) }
    }

    /// The whole address, secrets included; for the HTTP client only.
    pub(crate) fn reveal(&self) -> Url {
        self.0.clone()
    }
}

impl std::fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or("?"))?;
        match self.0.port_or_known_default() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RpcUrl({self})")
    }
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
        ] {
            let url = RpcUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), "https://node.example:8545");
            assert_eq!(format!("{url:?}"), "RpcUrl(https://node.example:8545)");
        }
        let error = RpcUrl::parse("ftp://user:SECRET@node.example").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"));
    }

    #[test]
    fn a_list_needs_at_least_one_address() {
        assert_eq!(RpcUrl::parse_list("http://a, http://b,").unwrap().len(), 2);
        assert!(matches!(RpcUrl::parse_list(" , "), Err(ChainError::NoEndpoint)));
        assert!(RpcUrl::parse_list("http://a,nonsense").is_err());
    }
}
