//! The block that an answer is as of.

use std::str::FromStr;

use serde_json::{Value, json};

/// Characters of a block's hash: `0x` and 64 digits.
const HASH_LENGTH: usize = 66;

/// A block by number or hash, of one chain if it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AsOf {
    chain: Option<String>,
    block: Block,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Block {
    Number(u64),
    Hash(String),
}

impl AsOf {
    /// The field `as_of_block` of a request.
    pub(super) fn to_json(&self) -> Value {
        let block = match &self.block {
            Block::Number(number) => json!(number),
            Block::Hash(hash) => json!(hash),
        };
        match &self.chain {
            Some(chain) => json!({ "chain": chain, "block": block }),
            None => block,
        }
    }
}

impl FromStr for AsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (chain, block) = match text.split_once(':') {
            Some((chain, block)) => (Some(chain), block),
            None => (None, text),
        };
        let is_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
        let chain_is_right = chain.is_none_or(|chain| !chain.is_empty() && chain.chars().all(is_name));
        match Block::parse(block) {
            Some(block) if chain_is_right => Ok(Self { chain: chain.map(str::to_owned), block }),
            _ => Err(format!(
                "{text:?} names no block: write its number, 0x and the 64 digits of its hash, or CHAIN:NUMBER"
            )),
        }
    }
}

impl std::fmt::Display for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(chain) = &self.chain {
            write!(f, "{chain}:")?;
        }
        match &self.block {
            Block::Number(number) => write!(f, "{number}"),
            Block::Hash(hash) => f.write_str(hash),
        }
    }
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("0x") {
            Some(digits) => {
                let right = text.len() == HASH_LENGTH && digits.chars().all(|digit| digit.is_ascii_hexdigit());
                right.then(|| Self::Hash(text.to_ascii_lowercase()))
            }
            // `parse` alone would take a sign.
            None if text.chars().all(|digit| digit.is_ascii_digit()) => text.parse().ok().map(Self::Number),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_named_by_number_or_hash_with_or_without_its_chain() {
        let hash = format!("0x{}", "Ab".repeat(32));
        let lower = hash.to_lowercase();
        let table = [
            ("0".to_owned(), json!(0)),
            ("18446744073709551615".to_owned(), json!(u64::MAX)),
            (hash.clone(), json!(lower)),
            ("monad:7".to_owned(), json!({ "chain": "monad", "block": 7 })),
            (format!("monad-test_1:{hash}"), json!({ "chain": "monad-test_1", "block": lower })),
        ];
        for (text, expected) in table {
            let as_of: AsOf = text.parse().unwrap();
            assert_eq!(as_of.to_json(), expected);
            assert_eq!(as_of.to_string().parse(), Ok(as_of), "what is shown can be given again");
        }
    }

    #[test]
    fn what_names_no_block_is_refused_with_the_ways_to_name_one() {
        let long = format!("0x{}", "a".repeat(65));
        let too_large = "18446744073709551616";
        for text in ["", "latest", "-1", "+1", "1.5", "0x12", &long, too_large, ":1", "a:", "A:1", "a:b:1"] {
            let error = text.parse::<AsOf>().unwrap_err();
            assert!(error.contains("CHAIN:NUMBER"), "{text}: {error}");
        }
        let no_digit = format!("0x{}", "g".repeat(64));
        assert!(no_digit.parse::<AsOf>().is_err());
    }
}
