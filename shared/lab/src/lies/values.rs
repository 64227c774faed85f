//! Small changes to JSON that make it untrue. Those that return false have changed nothing.

use alloy::consensus::Header;
use serde_json::{Value, json};

use super::Pair;
use crate::rpc::quantity;

/// The items of a list; none if it is no list.
pub(super) fn items(list: &mut Value) -> &mut [Value] {
    list.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default()
}

/// The items of the list in `field`.
pub(super) fn items_of<'a>(object: &'a mut Value, field: &str) -> &'a mut [Value] {
    object.get_mut(field).map(items).unwrap_or_default()
}

/// Another last digit for a hexadecimal text; false if it has no digit.
pub(super) fn change(value: &mut Value) -> bool {
    let Some(text) = value.as_str().filter(|text| text.len() > 2) else { return false };
    let (start, digit) = text.split_at(text.len() - 1);
    let changed = format!("{start}{}", if digit == "1" { "2" } else { "1" });
    *value = Value::String(changed);
    true
}

/// The same for bytes; none become one.
pub(super) fn change_bytes(value: &mut Value) -> bool {
    if value == "0x" {
        *value = json!("0x00");
        return true;
    }
    change(value)
}

/// 1 in the place of 0, and 0 in the place of anything else.
pub(super) fn flip(value: &mut Value) -> bool {
    *value = if *value == "0x0" { json!("0x1") } else { json!("0x0") };
    true
}

/// The least quantity that has no room in so many bits.
pub(super) fn power_of_two(value: &mut Value, bits: usize) -> bool {
    let first = 1 << (bits % 4);
    *value = json!(format!("0x{first}{}", "0".repeat(bits / 4)));
    true
}

/// One more; false if it is no quantity.
pub(super) fn increment(value: &mut Value) -> bool {
    let Some(number) = quantity(value) else { return false };
    *value = json!(format!("{:#x}", number + 1));
    true
}

/// Gives a header the hash that its fields have.
pub(super) fn rehash_header(header: &mut Value) -> bool {
    let Ok(fields) = serde_json::from_value::<Header>(header.clone()) else { return false };
    header["hash"] = json!(fields.hash_slow());
    true
}

/// Gives a block the hash that its header has, in all the places that name it.
pub(super) fn rehash(pair: &mut Pair) -> bool {
    if !rehash_header(&mut pair.block) {
        return false;
    }
    let hash = pair.block["hash"].clone();
    for transaction in items_of(&mut pair.block, "transactions") {
        transaction["blockHash"] = hash.clone();
    }
    for receipt in items(&mut pair.receipts) {
        receipt["blockHash"] = hash.clone();
        for log in items_of(receipt, "logs") {
            log["blockHash"] = hash.clone();
        }
    }
    true
}

/// Puts the hashes of a block's transactions in their place, as a question without them is answered.
pub(super) fn strip_transactions(block: &mut Value) {
    for transaction in items_of(block, "transactions") {
        *transaction = transaction["hash"].take();
    }
}
