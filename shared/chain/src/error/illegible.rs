//! Why an answer cannot be read, in the words of the JSON reader.
//!
//! Those words repeat what the endpoint wrote: an unknown variant, a text where a number belongs. Never shows a key of its
//! address, and never more of it than a line of a log bears.

use std::fmt;

use super::MESSAGE_CHARS;
use crate::rpc_url::RpcUrl;

/// What is wrong with an answer, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegible {
    problem: String,
    /// Line and column, from 1 on; there are none for what was found after reading.
    place: Option<(usize, usize)>,
}

impl Illegible {
    /// What `error` says of an answer of the endpoint at `url`.
    pub(crate) fn of(url: &RpcUrl, error: &serde_json::Error) -> Self {
        let place = Some((error.line(), error.column())).filter(|(line, _)| *line > 0);
        let text = error.to_string();
        // The place comes last in the text, where the cut would take it away.
        let suffix = place.map(|(line, column)| format!(" at line {line} column {column}"));
        let problem = suffix.and_then(|suffix| text.strip_suffix(suffix.as_str()));
        let problem = url.without_secrets(problem.unwrap_or(text.as_str()), MESSAGE_CHARS);
        Self { problem, place }
    }
}

impl fmt::Display for Illegible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        match self.place {
            Some((line, column)) => write!(f, " at line {line} column {column}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Illegible {}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use isotherm_types::disposition::error_chain;
    use serde::Deserialize;
    use serde_json::Error;

    use super::*;
    use crate::error::ChainError;
    use crate::json_rpc::read_body;

    const KEY: &str = "k3yk3yk3y";

    #[derive(Debug, Deserialize)]
    enum Dance {
        Waltz,
    }

    fn url() -> RpcUrl {
        RpcUrl::parse(&format!("https://node.example/v2/{KEY}")).unwrap()
    }

    #[test]
    fn what_the_reader_repeats_of_an_answer_shows_no_key() {
        let address = url().reveal();
        let body = format!(r#"{{"jsonrpc":"2.0","id":"{address}","result":null}}"#);
        let variant = serde_json::from_str::<Dance>(&format!("\n\"{KEY}\"")).unwrap_err();
        let untraced: Error = serde::de::Error::custom(format!("not traced: {address}"));
        let cases = [
            (read_body(body.as_bytes(), 1).unwrap_err(), "https://node.example/v2/[secret]"),
            (variant, "unknown variant `[secret]`, expected `Waltz` at line 2 column "),
            (untraced, "not traced: https://node.example/v2/[secret]"),
        ];
        for (error, expected) in cases {
            assert!(error.to_string().contains(KEY), "the reader repeats it: {error}");
            let malformed = ChainError::malformed(&url(), "eth_chainId", &error);
            assert!(error_chain(&malformed).contains(expected), "{}", error_chain(&malformed));
            assert!(!format!("{} {malformed:?}", error_chain(&malformed)).contains(KEY), "{malformed:?}");
            assert!(malformed.source().is_some_and(|source| source.source().is_none()), "the reader's error is let go");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_its_place_is_kept() {
        let error = serde_json::from_str::<u64>(&format!("\"{}\"", "é".repeat(100_000))).unwrap_err();
        let shown = Illegible::of(&url(), &error).to_string();
        let (problem, place) = shown.split_at(shown.rfind(" at line 1 column ").unwrap());
        assert_eq!(problem.chars().count(), MESSAGE_CHARS);
        assert!(problem.starts_with("invalid type: string \"éé"), "{problem}");
        assert!(place[" at line 1 column ".len()..].parse::<usize>().unwrap() > 1, "{place}");
    }
}
