//! How a column writes what a node says: each form from the JSON to the text that Postgres has of the cell.

use serde_json::Value;

use super::super::{NOTHING, rlp};
use crate::stage::CHAIN_ID;

/// A quantity, in decimal.
pub(super) fn number(value: &Value) -> String {
    quantity(value).to_string()
}

/// Bytes as they are.
pub(super) fn bytes(value: &Value) -> String {
    format!("0x{}", digits(value).to_ascii_lowercase())
}

/// A quantity in 32 bytes.
pub(super) fn word(value: &Value) -> String {
    format!("0x{:0>64}", digits(value))
}

/// Whether the quantity is 1.
pub(super) fn flag(value: &Value) -> String {
    (quantity(value) == 1).to_string()
}

/// How many there are.
pub(super) fn count(value: &Value) -> String {
    value.as_array().expect("a list").len().to_string()
}

/// The number nearest to a quantity that a double can hold.
pub(super) fn double(value: &Value) -> String {
    nearest_double(&number(value))
}

/// The same of a number in decimal.
pub(in super::super) fn nearest_double(number: &str) -> String {
    number.parse::<f64>().expect("a number").to_string()
}

pub(super) fn byte_count(value: &Value) -> String {
    decoded(value).len().to_string()
}

pub(super) fn zero_byte_count(value: &Value) -> String {
    decoded(value).iter().filter(|byte| **byte == 0).count().to_string()
}

pub(super) fn nonzero_byte_count(value: &Value) -> String {
    decoded(value).iter().filter(|byte| **byte != 0).count().to_string()
}

/// The chain that all of this is about.
pub(super) fn chain(_: &Value) -> String {
    CHAIN_ID.to_string()
}

/// The chain id that a transaction signs: part of `v` in a legacy one, if it has any (EIP-155).
pub(super) fn signed_chain_id(transaction: &Value) -> String {
    match (quantity(&transaction["type"]), &transaction["v"]) {
        (0, v) => quantity(v).checked_sub(35).map_or_else(|| NOTHING.to_owned(), |rest| (rest / 2).to_string()),
        _ => number(&transaction["chainId"]),
    }
}

/// The parity of a transaction's signature: part of `v` in a legacy one (EIP-155).
pub(super) fn parity(transaction: &Value) -> String {
    let is_odd = match quantity(&transaction["type"]) {
        0 => match quantity(&transaction["v"]) {
            0 | 27 => false,
            1 | 28 => true,
            protected => protected % 2 == 0,
        },
        _ => quantity(&transaction["yParity"]) == 1,
    };
    is_odd.to_string()
}

/// Hashes right after one another.
pub(super) fn run(hashes: &Value) -> String {
    hashes.as_array().expect("a list").iter().map(digits).fold("0x".to_owned(), |run, digits| run + digits)
}

/// Addresses and their keys. Source: EIP-2930.
pub(super) fn access_list(list: &Value) -> String {
    let entries = list.as_array().expect("a list").iter().map(|entry| {
        let keys = entry["storageKeys"].as_array().expect("a list").iter();
        let keys: Vec<Vec<u8>> = keys.map(|key| rlp::bytes(&decoded(key))).collect();
        rlp::list(&[rlp::bytes(&decoded(&entry["address"])), rlp::list(&keys)])
    });
    hexadecimal(&rlp::list(&entries.collect::<Vec<_>>()))
}

/// Authorizations with their signatures. Source: EIP-7702.
pub(super) fn authorizations(list: &Value) -> String {
    let entries = list.as_array().expect("a list").iter().map(|entry| {
        let of = |field: &str| rlp::number(&decoded_quantity(&entry[field]));
        let address = rlp::bytes(&decoded(&entry["address"]));
        rlp::list(&[of("chainId"), address, of("nonce"), of("yParity"), of("r"), of("s")])
    });
    hexadecimal(&rlp::list(&entries.collect::<Vec<_>>()))
}

fn digits(value: &Value) -> &str {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    text.unwrap_or_else(|| panic!("the node says {value} and not hexadecimal digits"))
}

fn quantity(value: &Value) -> u128 {
    u128::from_str_radix(digits(value), 16).expect("a quantity of 128 bits")
}

fn decoded(value: &Value) -> Vec<u8> {
    bytes_of(digits(value))
}

/// A quantity may have an odd number of digits.
fn decoded_quantity(value: &Value) -> Vec<u8> {
    let digits = digits(value);
    bytes_of(&format!("{}{digits}", if digits.len() % 2 == 1 { "0" } else { "" }))
}

fn bytes_of(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "bytes have two digits each");
    let pair = |start: usize| u8::from_str_radix(&digits[start..start + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_the_columns_have_them() {
        assert_eq!([number(&json!("0x5208")), flag(&json!("0x1")), flag(&json!("0x0"))], ["21000", "true", "false"]);
        assert_eq!(bytes(&json!("0xAb")), "0xab");
        assert_eq!(word(&json!("0x1f")), format!("0x{:0>64}", "1f"));
        assert_eq!(double(&json!("0x20000000000001")), "9007199254740992");
        assert_eq!(nearest_double("9007199254740992.0"), "9007199254740992");
        let input = json!("0x00ff00");
        assert_eq!([byte_count(&input), zero_byte_count(&input), nonzero_byte_count(&input)], ["3", "2", "1"]);
        assert_eq!(run(&json!(["0x01", "0x02"])), "0x0102");
    }

    #[test]
    fn a_signature_tells_parity_and_chain_as_its_type_does() {
        let legacy = |v: &str| {
            let transaction = json!({ "type": "0x0", "v": v, "chainId": "0x7" });
            (signed_chain_id(&transaction), parity(&transaction))
        };
        let unprotected = [("0x1b", NOTHING, "false"), ("0x1c", NOTHING, "true")];
        for (v, chain_id, parity) in unprotected.into_iter().chain([("0x25", "1", "false"), ("0x26", "1", "true")]) {
            assert_eq!(legacy(v), (chain_id.to_owned(), parity.to_owned()), "{v}");
        }
        let typed = json!({ "type": "0x2", "yParity": "0x1", "v": "0x1", "chainId": "0x279f" });
        assert_eq!((signed_chain_id(&typed), parity(&typed)), ("10143".to_owned(), "true".to_owned()));
    }

    #[test]
    fn lists_are_encoded_as_they_are_signed() {
        assert_eq!(access_list(&json!([])), "0xc0");
        let entry = json!([{ "address": "0x0102", "storageKeys": ["0x0304"] }]);
        assert_eq!(access_list(&entry), "0xc8c7820102c3820304");
        let authorization = json!([{ "chainId": "0x0", "address": "0x0102", "nonce": "0x100", "yParity": "0x1",
            "r": "0x0f", "s": "0x80" }]);
        assert_eq!(authorizations(&authorization), "0xcccb80820102820100010f8180");
    }
}
