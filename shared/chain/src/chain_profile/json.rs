//! One profile as JSON, as a job's config has it: held against the same tables as a file. Pure.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::fit::fit_table;
use super::keys::CHAIN;
use super::tree::{Entry, Kind, Node, Slip};
use super::{ChainProfile, written};

/// What a profile is called in messages.
const NAME: &str = "the profile";

/// One thing wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// JSON pointer from the profile to it (RFC 6901); empty for the profile itself.
    pub pointer: String,
    /// Whether it is the key there, and not its value.
    pub is_key: bool,
    /// What is wrong, with the name of the thing.
    pub message: String,
}

/// Where something stands in JSON.
#[derive(Clone, Debug)]
struct Place {
    pointer: String,
    is_key: bool,
}

impl From<Slip<Place>> for Misfit {
    fn from(slip: Slip<Place>) -> Self {
        Self { pointer: slip.place.pointer, is_key: slip.place.is_key, message: slip.message }
    }
}

/// Everything that is wrong with `profile`, up to a hundred things; nothing if it is one.
pub fn misfits(profile: &Value) -> Vec<Misfit> {
    fitted(profile).1
}

/// What `profile` means, and what is wrong with it. Meant is not always what is written: a name may be a number.
fn fitted(profile: &Value) -> (Value, Vec<Misfit>) {
    let mut slips = Vec::new();
    let meant = fit_table(&node(profile, String::new()), &CHAIN, NAME, &mut slips);
    (meant, slips.into_iter().map(Misfit::from).collect())
}

fn node(value: &Value, pointer: String) -> Node<Place> {
    let kind = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Kind::Plain(value.to_string()),
        Value::String(text) => Kind::Quoted(text.clone()),
        Value::Array(items) => {
            let nodes = items.iter().enumerate().map(|(index, item)| node(item, format!("{pointer}/{index}")));
            Kind::List(nodes.collect())
        }
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| entry(key, value, &pointer));
            Kind::Map(entries.collect())
        }
    };
    Node { place: Place { pointer, is_key: false }, kind }
}

fn entry(key: &str, value: &Value, of: &str) -> Entry<Place> {
    let pointer = format!("{of}/{}", key.replace('~', "~0").replace('/', "~1"));
    let place = Place { pointer: pointer.clone(), is_key: true };
    Entry { key: key.to_owned(), place, value: node(value, pointer) }
}

/// Within the bounds of a file, whatever it is read from.
impl<'de> Deserialize<'de> for ChainProfile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let (meant, misfits) = fitted(&value);
        if misfits.is_empty() {
            return written::read(meant).map_err(de::Error::custom);
        }
        let messages: Vec<String> = misfits.into_iter().map(|misfit| misfit.message).collect();
        Err(de::Error::custom(messages.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::parse;
    use super::*;

    fn five(change: impl FnOnce(&mut Value)) -> Value {
        let mut profile = json!({
            "chain_id": 5, "name": "five", "block_time_ms": 250, "finality": { "kind": "depth", "blocks": 9 },
        });
        change(&mut profile);
        profile
    }

    #[test]
    fn each_misfit_has_its_pointer_and_is_refused_by_serde_too() {
        let time = "block_time_ms of the profile is 0; it must be a whole number from 1 to 3600000";
        let method = "trace_method of the profile is \"all\"; it must be trace_block, debug_trace_block or none";
        let gas = "gas_used of checks of the profile is -1; \
                   it must be never or the number of the first block that it is made on";
        let cases: [(Value, &str, bool, &str); 10] = [
            (five(|profile| profile["block_time_ms"] = json!(0)), "/block_time_ms", false, time),
            (
                five(|profile| profile["name"] = json!(null)),
                "/name",
                false,
                "name of the profile is empty; it must be 1 to 54 of lower-case letters, digits, - and _, beginning \
                 with a letter or digit, and not isotherm",
            ),
            (
                five(|profile| profile["partition_blocks"] = json!(1.0)),
                "/partition_blocks",
                false,
                "partition_blocks of the profile is 1.0; it must be a whole number from 1 to 10000000",
            ),
            (five(|profile| profile["trace_method"] = json!("all")), "/trace_method", false, method),
            (five(|profile| profile["checks"] = json!({ "gas_used": -1 })), "/checks/gas_used", false, gas),
            (
                five(|profile| profile["finality"] = json!({ "kind": "tags", "blocks": 1 })),
                "/finality/blocks",
                false,
                "finality by tags takes no `blocks`",
            ),
            (
                five(|profile| profile["checks"] = json!({ "a/b~": 0 })),
                "/checks/a~1b~0",
                true,
                "unknown key \"a/b~\" of checks of the profile; it may have header_hash, parent_hash, \
                 transactions_root, receipts_root, logs_bloom, gas_used, sender, effective_gas_price, \
                 contract_address, unknown_formats",
            ),
            (
                five(|profile| profile["batch_calls"] = json!(null)),
                "/batch_calls",
                false,
                "batch_calls of the profile is empty; it must be a whole number from 1 to 10000",
            ),
            (
                json!({ "chain_id": 5, "name": "five", "finality": { "kind": "tags" } }),
                "",
                false,
                "the profile has no `block_time_ms`, which it needs",
            ),
            (json!("five"), "", false, "the profile is \"five\"; it must be a mapping"),
        ];
        for (profile, pointer, is_key, message) in cases {
            let wanted = Misfit { pointer: pointer.to_owned(), is_key, message: message.to_owned() };
            assert_eq!(misfits(&profile), [wanted]);
            let refused = serde_json::from_value::<ChainProfile>(profile).unwrap_err();
            assert_eq!(refused.to_string(), message);
        }
    }

    #[test]
    fn all_misfits_are_told_at_once() {
        let profile = five(|profile| {
            profile["name"] = json!("Five");
            profile["answer_bytes"] = json!(1);
        });
        let refused = serde_json::from_value::<ChainProfile>(profile).unwrap_err().to_string();
        assert!(refused.contains("answer_bytes of the profile is 1") && refused.contains("is \"Five\""), "{refused}");
    }

    #[test]
    fn a_name_of_digits_is_read_as_a_name() {
        let profile = five(|profile| profile["name"] = json!(5));
        assert!(misfits(&profile).is_empty());
        assert_eq!(serde_json::from_value::<ChainProfile>(profile).unwrap().name, "5");
    }

    #[test]
    fn a_good_profile_is_read_with_the_defaults_of_a_file() {
        let read: ChainProfile =
            serde_json::from_value(five(|profile| profile["checks"] = json!({ "sender": "never" }))).unwrap();
        let file = "{ version: 1, chains: [{ chain_id: 5, name: five, block_time_ms: 250, \
                    finality: { kind: depth, blocks: 9 }, checks: { sender: never } }] }";
        assert_eq!(parse(file).unwrap(), [read]);
    }
}
