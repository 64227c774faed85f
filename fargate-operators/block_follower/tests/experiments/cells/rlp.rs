//! Recursive length prefix, as far as it is needed to say what a column of lists holds.
//!
//! Source: Yellow Paper, appendix B.

/// Bytes.
pub(super) fn bytes(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [byte] if *byte < 0x80 => vec![*byte],
        _ => [prefix(0x80, bytes.len()).as_slice(), bytes].concat(),
    }
}

/// A number, of which these are the bytes: without zeros before it.
pub(super) fn number(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    bytes(&big_endian[zeros..])
}

/// A list of items that are encoded already.
pub(super) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let items = items.concat();
    [prefix(0xc0, items.len()).as_slice(), items.as_slice()].concat()
}

fn prefix(kind: u8, length: usize) -> Vec<u8> {
    const SHORT: usize = 55;
    if length <= SHORT {
        return vec![kind + u8::try_from(length).expect("at most 55")];
    }
    let length = length.to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let digits = &length[zeros..];
    let mut prefix = vec![kind + u8::try_from(SHORT + digits.len()).expect("at most 63")];
    prefix.extend(digits);
    prefix
}

#[test]
fn the_examples_of_the_definition_are_encoded_so() {
    assert_eq!(bytes(b"dog"), b"\x83dog");
    assert_eq!(list(&[bytes(b"cat"), bytes(b"dog")]), b"\xc8\x83cat\x83dog");
    assert_eq!((bytes(&[]), list(&[]), bytes(&[0x0f])), (vec![0x80], vec![0xc0], vec![0x0f]));
    assert_eq!((number(&[0, 0]), number(&[0, 4, 0])), (vec![0x80], vec![0x82, 4, 0]));
    let long = [b'L'; 56];
    assert_eq!(bytes(&long), [b"\xb8\x38".as_slice(), &long].concat());
    assert_eq!(list(&[bytes(&long)])[..2], [0xf8, 58]);
}
