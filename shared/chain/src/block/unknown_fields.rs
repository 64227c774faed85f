//! Fields of a block object that are not known here: an endpoint's own words, of any number and length.
//!
//! Never keeps more of them than an error's text shows.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::rpc_url::RpcUrl;

/// Names that are kept.
const NAMES: usize = 5;

/// Characters of the longest name that is kept. A name is never cut: it might be in the middle of a key.
const LONGEST_NAME: usize = 40;

/// Stands in the place of a longer name.
const LONG_NAME: &str = "[long name]";

/// Fields outside the header.
const BODY: [&str; 6] = ["hash", "size", "totalDifficulty", "transactions", "uncles", "withdrawals"];

/// Fields of the header. Source: `Block` of the Execution API.
const HEADER: [&str; 23] = [
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
];

/// The first few names of unknown fields, and how many more there are. Read from a block object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownFields {
    names: Vec<String>,
    more: usize,
}

impl UnknownFields {
    /// Whether all fields are known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes out of the names what may be a key in the address of the endpoint that chose them.
    pub(crate) fn hide_secrets(&mut self, endpoint: &RpcUrl) {
        for name in &mut self.names {
            *name = endpoint.without_secrets(name, LONGEST_NAME);
        }
    }

    fn add(&mut self, name: &str) {
        if self.names.len() == NAMES {
            self.more += 1;
            return;
        }
        let is_long = name.chars().nth(LONGEST_NAME).is_some();
        let kept = if is_long { LONG_NAME } else { name };
        self.names.push(kept.to_owned());
    }
}

impl<'a> FromIterator<&'a str> for UnknownFields {
    fn from_iter<Names: IntoIterator<Item = &'a str>>(names: Names) -> Self {
        let mut fields = Self::default();
        names.into_iter().for_each(|name| fields.add(name));
        fields
    }
}

impl fmt::Display for UnknownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl<'de> Deserialize<'de> for UnknownFields {
    fn deserialize<D: Deserializer<'de>>(block: D) -> Result<Self, D::Error> {
        block.deserialize_map(Fields)
    }
}

/// Reads a block object, one field after another.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = UnknownFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a block object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<UnknownFields, A::Error> {
        let mut unknown = UnknownFields::default();
        while let Some((name, IgnoredAny)) = fields.next_entry::<String, IgnoredAny>()? {
            if !HEADER.contains(&name.as_str()) && !BODY.contains(&name.as_str()) {
                unknown.add(&name);
            }
        }
        Ok(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_few_names_are_kept_of_however_many_there_are() {
        let many: Vec<String> = (0..100_000).map(|place| format!("\"x{place}\":0")).collect();
        let block = format!(r#"{{"hash":"0x00","number":"0x1",{}}}"#, many.join(","));
        let found: UnknownFields = serde_json::from_str(&block).unwrap();
        assert_eq!((found.names.len(), found.more), (NAMES, 99_995));
        assert_eq!(found.to_string(), "x0, x1, x2, x3, x4 and 99995 more");
        let known: UnknownFields = serde_json::from_str(r#"{"hash":"0x00","number":"0x1","uncles":[{}]}"#).unwrap();
        assert!(known.is_empty());
    }

    #[test]
    fn a_long_name_is_not_kept_and_a_key_is_not_shown() {
        let (longest, longer) = ("é".repeat(LONGEST_NAME), "é".repeat(LONGEST_NAME + 1));
        let mut fields: UnknownFields = [longest.as_str(), longer.as_str(), "k3yk3yk3y"].into_iter().collect();
        assert_eq!(fields.to_string(), format!("{longest}, [long name], k3yk3yk3y"));
        fields.hide_secrets(&RpcUrl::parse("https://node.example/v2/k3yk3yk3y").unwrap());
        assert_eq!(fields.to_string(), format!("{longest}, [long name], [secret]"));
    }
}
