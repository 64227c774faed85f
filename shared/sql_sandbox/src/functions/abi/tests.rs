use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::Address;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::signature::Signature;
use super::*;

/// The parameters of `f(types)` in `data`.
fn decoded(types: &str, data: &[u8]) -> Option<Value> {
    let signature = Signature::parse(&format!("f({types})")).unwrap();
    let fields: Vec<Field> = signature.parameters.into_iter().map(|parameter| parameter.field).collect();
    let mut out = String::new();
    Reader::new(data).fields(&fields, 0, &mut out)?;
    Some(serde_json::from_str(&out).unwrap())
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<WORD>()).collect()
}

/// What our JSON of another encoder's value must be.
fn expected(value: &DynSolValue) -> Value {
    let number = |text: String, is_exact: bool| if is_exact { text.parse().unwrap() } else { json!(text) };
    let exact = U256::from(MAX_EXACT_INTEGER);
    match value {
        DynSolValue::Bool(value) => json!(value),
        DynSolValue::Uint(value, _) => number(value.to_string(), *value <= exact),
        DynSolValue::Int(value, _) => number(value.to_string(), value.unsigned_abs() <= exact),
        DynSolValue::FixedBytes(word, size) => json!(hex::encode_prefixed(&word[..*size])),
        DynSolValue::Address(address) => json!(hex::encode_prefixed(address)),
        DynSolValue::Bytes(bytes) => json!(hex::encode_prefixed(bytes)),
        DynSolValue::String(text) => json!(text),
        DynSolValue::Array(items) | DynSolValue::FixedArray(items) => items.iter().map(expected).collect(),
        DynSolValue::Tuple(items) => {
            items.iter().enumerate().map(|(i, item)| (format!("arg{i}"), expected(item))).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn value() -> impl Strategy<Value = DynSolValue> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..70);
    let number = || any::<[u8; 32]>().prop_map(U256::from_be_bytes);
    let leaf = prop_oneof![
        any::<bool>().prop_map(DynSolValue::Bool),
        any::<u64>().prop_map(|value| DynSolValue::Uint(U256::from(value), 64)),
        number().prop_map(|value| DynSolValue::Uint(value, 256)),
        number().prop_map(|value| DynSolValue::Int(I256::from_raw(value), 256)),
        any::<i8>().prop_map(|value| DynSolValue::Int(I256::try_from(value).unwrap(), 8)),
        any::<[u8; 20]>().prop_map(|bytes| DynSolValue::Address(Address::from(bytes))),
        any::<[u8; 4]>().prop_map(|bytes| {
            let mut word = [0; WORD];
            word[..4].copy_from_slice(&bytes);
            DynSolValue::FixedBytes(word.into(), 4)
        }),
        bytes().prop_map(DynSolValue::Bytes),
        "\\PC{0,40}".prop_map(DynSolValue::String),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let alike = (inner.clone(), 1usize..4).prop_map(|(item, count)| vec![item; count]);
        prop_oneof![
            alike.clone().prop_map(DynSolValue::Array),
            alike.prop_map(DynSolValue::FixedArray),
            // The other encoder writes a tuple of one type with a comma.
            proptest::collection::vec(inner, 2..4).prop_map(DynSolValue::Tuple),
        ]
    })
}

proptest! {
    #[test]
    fn what_another_encoder_writes_is_read(values in proptest::collection::vec(value(), 1..4)) {
        let types: Vec<String> = values.iter().map(|value| value.sol_type_name().unwrap().into_owned()).collect();
        let whole = DynSolValue::Tuple(values);
        prop_assert_eq!(decoded(&types.join(","), &whole.abi_encode_params()), Some(expected(&whole)));
    }

    #[test]
    fn data_that_is_none_is_none_and_never_panics(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(decoded("bytes,(uint256,string)[],int8[2][],bool", &data));
    }
}

#[test]
fn a_cut_off_value_is_none() {
    let data = words(&[7, 64, 2, 8, 9]);
    assert_eq!(decoded("uint256,uint256[]", &data), Some(json!({"arg0": 7, "arg1": [8, 9]})));
    for end in 0..data.len() {
        assert_eq!(decoded("uint256,uint256[]", &data[..end]), None, "{end}");
    }
}

#[test]
fn the_names_of_types_are_those_of_another_parser() {
    for types in ["uint8[3][]", "(bytes32,(address,string)[2])[]", "int256", "bytes", "bool[1]"] {
        let ours = Signature::parse(&format!("f({types})")).unwrap().canonical();
        assert_eq!(ours, format!("f({})", DynSolType::parse(types).unwrap().sol_type_name()));
    }
}

#[test]
fn a_word_that_is_wider_than_its_type_must_be_padded() {
    assert_eq!(decoded("uint8", &words(&[256])), None);
    assert_eq!(decoded("uint8", &words(&[255])), Some(json!({"arg0": 255})));
    assert_eq!(decoded("bool", &words(&[2])), None);
    assert_eq!(decoded("int8", &words(&[128])), None, "no sign extension");
    assert_eq!(decoded("int8", &[0xff; WORD]), Some(json!({"arg0": -1})));
    assert_eq!(decoded("bytes4", &words(&[1])), None);
    let mut address = [0; WORD];
    address[11] = 1;
    assert_eq!(decoded("address", &address), None);
}

#[test]
fn numbers_that_json_readers_round_are_texts() {
    let exact = 1u64 << 53;
    let expected = json!({"arg0": exact, "arg1": (exact + 1).to_string()});
    assert_eq!(decoded("uint,uint", &words(&[exact, exact + 1])), Some(expected));
}

#[test]
fn declared_lengths_beyond_the_data_are_none_at_once() {
    assert_eq!(decoded("uint256[]", &words(&[32, u64::MAX])), None);
    assert_eq!(decoded("uint256[]", &words(&[u64::MAX, 1])), None);
    assert_eq!(decoded("bytes", &words(&[32, 33, 0])), None);
    assert_eq!(decoded("uint256[1000000000]", &words(&[1, 2])), None);
    assert_eq!(decoded("uint256[1000000000][1000000000][1000000000]", &words(&[1, 2])), None);
}

/// The items of each level all point to one list, the next level's: without a bound on reads this is 64^5 of them.
#[test]
fn offsets_that_meet_in_one_place_do_not_multiply_work() {
    let mut data = words(&[32]);
    for level in 0..5u64 {
        data.extend(words(&[64]));
        data.extend(words(&[64 * 32; 64]));
        assert_eq!(data.len() as u64, 32 + (level + 1) * 65 * 32);
    }
    data.extend(words(&[0]));
    let mut reader = Reader::new(&data);
    let signature = Signature::parse("f(uint256[][][][][][])").unwrap();
    let mut out = String::new();
    assert_eq!(reader.value(&signature.parameters[0].field.abi_type, 0, 0, &mut out), None);
    assert!(out.len() < 100_000, "{}", out.len());
}
