//! Issuers whose tokens are accepted, as the configuration has them.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::key_set::KeySet;
use crate::token::TokenAlgorithm;

/// What stands in `access.users.issuer` for AWS principals; no issuer of tokens can be called so.
pub const AWS_IAM: &str = "aws_iam";
/// Longest name, as in `access.users`.
const MAX_NAME: usize = 512;

/// Issuers by their order in the configuration; at least one.
#[derive(Clone, Debug)]
pub struct Issuers(Vec<Issuer>);

/// An issuer of tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `iss` of its tokens, letter by letter.
    pub name: String,
    /// What `aud` of its tokens has to hold.
    pub audience: String,
    /// Algorithms that it may use.
    pub algorithms: BTreeSet<TokenAlgorithm>,
    /// Its keys.
    pub keys: KeySource,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The configuration itself holds them.
    Fixed(KeySet),
    /// They are fetched from here, and from nowhere else.
    Url(String),
}

/// A text that does not describe issuers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no list of issuers: {problem}")]
pub struct BadIssuers {
    problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    issuer: String,
    audience: String,
    algorithms: Option<BTreeSet<TokenAlgorithm>>,
    jwks_url: Option<String>,
    jwks: Option<Value>,
}

impl Issuers {
    /// The issuer called `name`, and its position.
    pub fn named(&self, name: &str) -> Option<(usize, &Issuer)> {
        self.0.iter().enumerate().find(|(_, issuer)| issuer.name == name)
    }

    /// The first one: whose users are meant where no issuer is named.
    pub fn first(&self) -> &Issuer {
        self.0.first().expect("no empty list is made")
    }

    pub(crate) fn as_slice(&self) -> &[Issuer] {
        &self.0
    }
}

/// Reads a JSON list of `{"issuer", "audience", "algorithms"?, "jwks_url" or "jwks"}`.
impl std::str::FromStr for Issuers {
    type Err = BadIssuers;

    fn from_str(text: &str) -> Result<Self, BadIssuers> {
        let written: Vec<Written> = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let issuers = written.into_iter().map(Issuer::try_from).collect::<Result<Vec<_>, _>>()?;
        if issuers.is_empty() {
            return Err(bad("it is empty"));
        }
        let names: BTreeSet<_> = issuers.iter().map(|issuer| &issuer.name).collect();
        if names.len() < issuers.len() {
            return Err(bad("an issuer is there twice"));
        }
        Ok(Self(issuers))
    }
}

impl TryFrom<Written> for Issuer {
    type Error = BadIssuers;

    fn try_from(written: Written) -> Result<Self, BadIssuers> {
        let Written { issuer: name, audience, algorithms, jwks_url, jwks } = written;
        let algorithms = algorithms.unwrap_or_else(|| BTreeSet::from(TokenAlgorithm::ALL));
        if !(1..=MAX_NAME).contains(&name.len()) || name == AWS_IAM {
            return Err(bad("the name of an issuer is empty, too long or aws_iam"));
        }
        if audience.is_empty() || algorithms.is_empty() {
            return Err(bad("an issuer has no audience or no algorithm"));
        }
        let keys = match (jwks_url, jwks) {
            (Some(url), None) if url.starts_with("https://") || is_on_this_machine(&url) => KeySource::Url(url),
            (Some(_), None) => return Err(bad("jwks_url does not begin with https://")),
            (None, Some(keys)) => {
                KeySource::Fixed(KeySet::of(&keys).ok_or_else(|| bad("jwks has no key that could be used"))?)
            }
            _ => return Err(bad("an issuer needs jwks_url or jwks, and not both")),
        };
        Ok(Self { name, audience, algorithms, keys })
    }
}

/// Without TLS only where nobody is between.
fn is_on_this_machine(url: &str) -> bool {
    ["http://127.0.0.1:", "http://localhost:"].into_iter().any(|begin| url.starts_with(begin))
}

fn bad(problem: impl Into<String>) -> BadIssuers {
    BadIssuers { problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_read_from_their_list() {
        let text = r#"[{"issuer":"https://a","audience":"x","jwks_url":"https://a/keys"},
            {"issuer":"b","audience":"y","algorithms":["ES256"],"jwks_url":"http://127.0.0.1:1/keys"}]"#;
        let issuers: Issuers = text.parse().unwrap();
        assert_eq!(issuers.first().algorithms.len(), 3);
        let (position, issuer) = issuers.named("b").unwrap();
        assert_eq!((position, issuer.algorithms.clone()), (1, BTreeSet::from([TokenAlgorithm::ES256])));
        assert!(issuers.named("https://a/").is_none(), "letter by letter");
    }

    #[test]
    fn a_configuration_that_would_let_in_too_much_is_refused() {
        let bad = [
            "",
            "[]",
            "{}",
            r#"[{"issuer":"a","audience":"x"}]"#,
            r#"[{"issuer":"a","audience":"","jwks_url":"https://a"}]"#,
            r#"[{"issuer":"","audience":"x","jwks_url":"https://a"}]"#,
            r#"[{"issuer":"aws_iam","audience":"x","jwks_url":"https://a"}]"#,
            r#"[{"issuer":"a","audience":"x","jwks_url":"http://a"}]"#,
            r#"[{"issuer":"a","audience":"x","jwks_url":"file:///keys"}]"#,
            r#"[{"issuer":"a","audience":"x","jwks_url":"https://a","jwks":{"keys":[]}}]"#,
            r#"[{"issuer":"a","audience":"x","jwks":{"keys":[]}}]"#,
            r#"[{"issuer":"a","audience":"x","jwks":{"keys":[{"kty":"oct","kid":"1","k":"AA"}]}}]"#,
            r#"[{"issuer":"a","audience":"x","algorithms":["HS256"],"jwks_url":"https://a"}]"#,
            r#"[{"issuer":"a","audience":"x","algorithms":["none"],"jwks_url":"https://a"}]"#,
            r#"[{"issuer":"a","audience":"x","algorithms":[],"jwks_url":"https://a"}]"#,
            r#"[{"issuer":"a","audience":"x","jwks_url":"https://a"},
                {"issuer":"a","audience":"y","jwks_url":"https://b"}]"#,
        ];
        for text in bad {
            assert!(text.parse::<Issuers>().is_err(), "{text}");
        }
    }
}
