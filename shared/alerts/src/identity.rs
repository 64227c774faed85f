//! What makes two findings the same one.
//!
//! A finding is known by its rule and by what it is about, not by the block that holds it: a transaction that a reorg puts into another
//! block is the same one, and so is what a rule finds in it. The format is kept for ever: ids that were sent are made of it.

use isotherm_types::{B256, BlockNumber, ChainId, RuleId};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// SHA-256 of what a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub [u8; 32]);

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A block, by its number: another block of the number is in its place.
    Block(BlockNumber),
    /// A transaction.
    Transaction(B256),
    /// A log, by its rank among those of its transaction.
    Log(B256, u32),
    /// A call frame, by its rank among those of its transaction.
    Trace(B256, u32),
    /// A call frame of no transaction: a reward, by its rank among those of its block.
    Reward(BlockNumber, u32),
}

/// Column of an answer that says what a row is about; without it the whole row does.
pub const KEY_COLUMN: &str = "alert_key";

impl Identity {
    /// Of what `rule` found at `place` of `chain`.
    pub fn of_place(rule: RuleId, chain: ChainId, place: Place) -> Self {
        match place {
            Place::Block(number) => Self::of_parts(rule, chain, "block", &[&number.0.to_be_bytes()]),
            Place::Transaction(hash) => {
                Self::of_parts(rule, chain, "transaction", &[hash.as_slice(), &0u32.to_be_bytes()])
            }
            Place::Log(hash, rank) => Self::of_parts(rule, chain, "log", &[hash.as_slice(), &rank.to_be_bytes()]),
            Place::Trace(hash, rank) => Self::of_parts(rule, chain, "trace", &[hash.as_slice(), &rank.to_be_bytes()]),
            Place::Reward(number, rank) => {
                Self::of_parts(rule, chain, "reward", &[&number.0.to_be_bytes(), &rank.to_be_bytes()])
            }
        }
    }

    /// Of a row of the answer to `rule`'s SQL: its [`KEY_COLUMN`], or all of it, whatever the order of its columns.
    pub fn of_row(rule: RuleId, chain: ChainId, row: &Map<String, Value>) -> Self {
        let mut text = String::new();
        match row.get(KEY_COLUMN) {
            Some(key) => canonical(key, &mut text),
            None => canonical_object(row, &mut text),
        }
        Self::of_parts(rule, chain, "row", &[text.as_bytes()])
    }

    /// Of something that the platform found, called `key` for ever.
    pub fn of_finding(rule: RuleId, chain: ChainId, key: &str) -> Self {
        Self::of_parts(rule, chain, "finding", &[key.as_bytes()])
    }

    /// Each part is preceded by its length, so that no two lists of parts are the same bytes.
    fn of_parts(rule: RuleId, chain: ChainId, kind: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(rule.0.to_be_bytes());
        hash.update(chain.0.to_be_bytes());
        for part in std::iter::once(kind.as_bytes()).chain(parts.iter().copied()) {
            let length = u64::try_from(part.len()).expect("a length has 64 bits at most");
            hash.update(length.to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The id of the alert: the first 16 bytes as a UUID of version 8. Source: RFC 9562, section 5.8.
    pub fn alert_id(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// JSON with the keys of objects in order.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => canonical_object(map, out),
        Value::Array(values) => {
            out.push('[');
            for value in values {
                canonical(value, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn canonical_object(map: &Map<String, Value>, out: &mut String) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    out.push('{');
    for (key, value) in entries {
        out.push_str(&Value::String(key.clone()).to_string());
        out.push(':');
        canonical(value, out);
        out.push(',');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    const RULE: RuleId = RuleId(7);
    const CHAIN: ChainId = ChainId(143);

    fn row(json: Value) -> Identity {
        let Value::Object(map) = json else { panic!("a row is an object") };
        Identity::of_row(RULE, CHAIN, &map)
    }

    #[test]
    fn the_format_never_changes() {
        // Alerts that were sent are known by it: correct the code, not this test. Both were computed by Python's hashlib and uuid.
        let identity = Identity::of_place(RULE, CHAIN, Place::Log(B256::repeat_byte(0x11), 2));
        assert_eq!(identity.to_string(), "eb78fffe44da670b7c8cafb2e7c57fa9dab63cf1d88361e5f8a000579be6feb3");
        assert_eq!(identity.alert_id().to_string(), "eb78fffe-44da-870b-bc8c-afb2e7c57fa9");
        assert_eq!(identity.alert_id().get_version_num(), 8);
    }

    #[test]
    fn different_findings_have_different_identities() {
        let hash = B256::repeat_byte(1);
        let places = [
            Place::Block(BlockNumber(1)),
            Place::Block(BlockNumber(2)),
            Place::Transaction(hash),
            Place::Log(hash, 0),
            Place::Log(hash, 1),
            Place::Log(B256::repeat_byte(2), 0),
            Place::Trace(hash, 0),
            Place::Reward(BlockNumber(1), 0),
        ];
        let mut identities = BTreeSet::new();
        for rule in [RuleId(7), RuleId(8)] {
            for chain in [ChainId(143), ChainId(1)] {
                identities.extend(places.map(|place| Identity::of_place(rule, chain, place)));
            }
        }
        assert_eq!(identities.len(), 4 * places.len());
    }

    #[test]
    fn a_row_is_known_by_its_key_or_by_all_of_it() {
        assert_eq!(row(json!({ "alert_key": "a", "n": 1 })), row(json!({ "n": 2, "alert_key": "a" })));
        assert_ne!(row(json!({ "alert_key": "a" })), row(json!({ "alert_key": "b" })));
        assert_ne!(row(json!({ "alert_key": 1 })), row(json!({ "alert_key": "1" })));
        assert_eq!(row(json!({ "a": 1, "b": { "c": 2, "d": 3 } })), row(json!({ "b": { "d": 3, "c": 2 }, "a": 1 })));
        assert_ne!(row(json!({ "a": 1 })), row(json!({ "a": 2 })));
        assert_ne!(row(json!({ "a": "1,\"b\":2" })), row(json!({ "a": "1", "b": 2 })));
        assert_ne!(row(json!({ "a": 1 })), Identity::of_finding(RULE, CHAIN, "{\"a\":1,}"));
    }
}
