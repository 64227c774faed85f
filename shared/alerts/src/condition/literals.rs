//! Texts in conditions that stand for bytes, amounts and times.

use alloy_primitives::Address;
use chrono::DateTime;

use super::number::Int;

/// Most decimals that an amount may have: no token's amount has more digits.
pub(crate) const MAX_DECIMALS: usize = 77;

/// The bytes that `text` writes as `0x…`: exactly `length`, if that is known.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn hex_bytes(text: &str, length: Option<usize>) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").ok_or_else(|| format!("{text:?} does not begin with 0x"))?;
    if let Some(length) = length.filter(|length| digits.len() != 2 * length) {
        return Err(format!("it has {} digits after 0x, where {} are {length} bytes", digits.len(), 2 * length));
    }
    let bytes = decode(digits).ok_or_else(|| format!("{text:?} is not written in pairs of the digits 0-9, a-f"))?;
    if bytes.len() == 20 && is_mixed(digits) && Address::parse_checksummed(text, None).is_err() {
        return Err("the upper and lower case letters of the address are not its checksum (EIP-55)".to_owned());
    }
    Ok(bytes)
}

fn decode(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks_exact(2).map(|pair| Some((nibble(pair[0])? << 4) | nibble(pair[1])?)).collect()
}

fn is_mixed(digits: &str) -> bool {
    digits.bytes().any(|digit| digit.is_ascii_lowercase()) && digits.bytes().any(|digit| digit.is_ascii_uppercase())
}

/// The amount that `text` writes in units of ten to the power of `decimals`.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn amount(text: &str, decimals: usize) -> Result<Int, String> {
    Int::from_units(text, decimals).ok_or_else(|| {
        format!("{text:?} is no amount: digits, and after a point at most {decimals} more, as in \"1.5\"")
    })
}

/// The whole number that `text` writes.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn whole(text: &str) -> Result<Int, String> {
    Int::from_decimal(text).ok_or_else(|| format!("{text:?} is no whole number below 2^512"))
}

/// The instant that `text` writes, in seconds.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn instant(text: &str) -> Result<i64, String> {
    let instant = DateTime::parse_from_rfc3339(text);
    let instant =
        instant.map_err(|_| format!("{text:?} is no instant as RFC 3339 has it: \"2026-01-31T00:00:00Z\""))?;
    Ok(instant.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_right_length_and_digits() {
        assert_eq!(hex_bytes("0xA9059cbb", Some(4)), Ok(vec![0xa9, 0x05, 0x9c, 0xbb]));
        assert_eq!(hex_bytes("0x", None), Ok(Vec::new()));
        for (text, length, word) in [
            ("a9059cbb", Some(4), "0x"),
            ("0xa9059c", Some(4), "6 digits"),
            ("0xa9059cbg", Some(4), "pairs"),
            ("0xabc", None, "pairs"),
            ("0xää", None, "pairs"),
            ("0X00", None, "0x"),
        ] {
            let error = hex_bytes(text, length).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_slip_in_a_checksummed_address_is_found() {
        // Source: the test cases of EIP-55.
        let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert!(hex_bytes(good, Some(20)).is_ok());
        assert!(hex_bytes(&good.to_lowercase(), Some(20)).is_ok());
        let slip = good.replace("5aAeb", "5aaeb");
        assert!(hex_bytes(&slip, Some(20)).unwrap_err().contains("EIP-55"));
    }

    #[test]
    fn amounts_and_instants_are_exact_or_refused() {
        assert_eq!(amount("1.5", 18).unwrap().to_string(), "1500000000000000000");
        assert!(amount("1.5", 0).is_err() && amount("1,5", 18).is_err());
        assert_eq!(instant("1970-01-02T01:00:00+01:00"), Ok(86_400));
        assert!(instant("yesterday").is_err());
        assert!(whole("0x10").is_err() && whole("-3").is_ok());
    }
}
