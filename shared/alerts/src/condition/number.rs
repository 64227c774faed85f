//! Whole numbers of conditions: exact up to 512 bits, so that the product of any two 256-bit values is one.

use std::cmp::Ordering;

use alloy_primitives::{I256, U256, U512};

/// A whole number with a sign, of at most 512 bits without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Int {
    /// Never set of 0.
    negative: bool,
    magnitude: U512,
}

impl Int {
    /// 0.
    pub const ZERO: Self = Self { negative: false, magnitude: U512::ZERO };

    /// `magnitude`, below zero if `negative`.
    fn new(negative: bool, magnitude: U512) -> Self {
        Self { negative: negative && !magnitude.is_zero(), magnitude }
    }

    /// The big-endian number of at most 64 bytes.
    pub(crate) fn from_be_bytes(bytes: &[u8]) -> Option<Self> {
        U512::try_from_be_slice(bytes).map(|magnitude| Self::new(false, magnitude))
    }

    /// A decimal number: digits, with `-` before them or not.
    pub(crate) fn from_decimal(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let magnitude = U512::from_str_radix(digits, 10).ok()?;
        Some(Self::new(digits.len() < text.len(), magnitude))
    }

    /// `text`, a decimal number with at most `decimals` digits after its point, times ten to the power of `decimals`.
    pub(crate) fn from_units(text: &str, decimals: usize) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let has_point = text.contains('.');
        let has_digits = !whole.trim_start_matches('-').is_empty() || !fraction.is_empty();
        if !has_digits || fraction.len() > decimals || (has_point && fraction.is_empty()) {
            return None;
        }
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Self::from_decimal(&format!("{whole}{fraction:0<decimals$}"))
    }

    /// This number through ten to the power of `decimals`, as people write it: without zeros at the end.
    pub(crate) fn to_units(self, decimals: usize) -> String {
        let digits = format!("{:0>width$}", self.magnitude.to_string(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let fraction = fraction.trim_end_matches('0');
        let sign = if self.negative { "-" } else { "" };
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    /// As a 64-bit number, if it is one.
    pub(crate) fn to_i64(self) -> Option<i64> {
        let magnitude = u64::try_from(self.magnitude).ok()?;
        if self.negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
    }

    /// The sum, if it has room.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        if self.negative == other.negative {
            return Some(Self::new(self.negative, self.magnitude.checked_add(other.magnitude)?));
        }
        Some(match self.magnitude.cmp(&other.magnitude) {
            Ordering::Less => Self::new(other.negative, other.magnitude - self.magnitude),
            Ordering::Equal => Self::ZERO,
            Ordering::Greater => Self::new(self.negative, self.magnitude - other.magnitude),
        })
    }

    /// The difference, if it has room.
    pub(crate) fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.negate())
    }

    /// The product, if it has room.
    pub(crate) fn checked_mul(self, other: Self) -> Option<Self> {
        Some(Self::new(self.negative != other.negative, self.magnitude.checked_mul(other.magnitude)?))
    }

    /// The quotient without its fraction; `None` if `other` is 0.
    pub(crate) fn checked_div(self, other: Self) -> Option<Self> {
        Some(Self::new(self.negative != other.negative, self.magnitude.checked_div(other.magnitude)?))
    }

    /// What the division leaves, with the sign of `self`; `None` if `other` is 0.
    pub(crate) fn checked_rem(self, other: Self) -> Option<Self> {
        Some(Self::new(self.negative, self.magnitude.checked_rem(other.magnitude)?))
    }

    /// The number with the other sign.
    pub(crate) fn negate(self) -> Self {
        Self::new(!self.negative, self.magnitude)
    }
}

impl From<u64> for Int {
    fn from(value: u64) -> Self {
        Self::new(false, U512::from(value))
    }
}

impl From<i64> for Int {
    fn from(value: i64) -> Self {
        Self::new(value < 0, U512::from(value.unsigned_abs()))
    }
}

impl From<i128> for Int {
    fn from(value: i128) -> Self {
        Self::new(value < 0, U512::from(value.unsigned_abs()))
    }
}

impl From<U256> for Int {
    fn from(value: U256) -> Self {
        Self::new(false, U512::from(value))
    }
}

impl From<I256> for Int {
    fn from(value: I256) -> Self {
        Self::new(value.is_negative(), U512::from(value.unsigned_abs()))
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Int {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude.cmp(&other.magnitude),
            (true, true) => other.magnitude.cmp(&self.magnitude),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl std::fmt::Display for Int {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{}", self.magnitude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(text: &str) -> Int {
        Int::from_decimal(text).unwrap()
    }

    #[test]
    fn the_product_of_the_two_largest_amounts_is_exact() {
        let largest = Int::from(U256::MAX);
        let product = largest.checked_mul(largest).unwrap();
        assert_eq!(product.checked_div(largest), Some(largest));
        assert_eq!(product.checked_rem(largest), Some(Int::ZERO));
        assert_eq!(product.checked_mul(largest), None, "three of them have no room");
        assert_eq!(largest.to_string(), U256::MAX.to_string());
    }

    #[test]
    fn signs_are_those_of_arithmetic_that_truncates() {
        for (left, right, quotient, rest) in [(7, 2, 3, 1), (-7, 2, -3, -1), (7, -2, -3, 1), (-7, -2, 3, -1)] {
            let (left, right) = (Int::from(i64::from(left)), Int::from(i64::from(right)));
            assert_eq!(left.checked_div(right), Some(Int::from(i64::from(quotient))));
            assert_eq!(left.checked_rem(right), Some(Int::from(i64::from(rest))));
        }
        assert_eq!(int("-0"), Int::ZERO);
        assert_eq!(Int::from(5u64).checked_div(Int::ZERO), None);
        assert!(int("-10") < int("-9") && int("-1") < Int::ZERO && int("9") < int("10"));
        assert_eq!(Int::from(I256::MIN).to_string(), I256::MIN.to_string());
    }

    #[test]
    fn amounts_in_units_are_read_and_written_as_people_write_them() {
        for (text, decimals, expected) in [
            ("1.5", 18, Some("1500000000000000000")),
            ("0", 18, Some("0")),
            ("-0.000001", 6, Some("-1")),
            ("12", 0, Some("12")),
            ("1.", 6, None),
            (".5", 6, Some("500000")),
            ("1.1234567", 6, None),
            ("1e3", 6, None),
            ("1_000", 6, None),
            ("", 6, None),
            ("-", 6, None),
            ("1.5.5", 6, None),
        ] {
            let read = Int::from_units(text, decimals).map(|int| int.to_string());
            // ".5" has no digit before its point: the digits after it are enough.
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        assert_eq!(int("1500000").to_units(6), "1.5");
        assert_eq!(int("-1").to_units(18), "-0.000000000000000001");
        assert_eq!(int("2000000").to_units(6), "2");
        assert_eq!(int("7").to_units(0), "7");
    }

    #[test]
    fn small_numbers_go_through_64_bits_and_large_ones_do_not() {
        for value in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(Int::from(value).to_i64(), Some(value));
        }
        assert_eq!(int("9223372036854775808").to_i64(), None);
        assert_eq!(int("-9223372036854775809").to_i64(), None);
        assert_eq!(Int::from(i128::MIN).to_string(), i128::MIN.to_string());
        assert_eq!(Int::from_be_bytes(&[1, 0]), Some(Int::from(256u64)));
        assert_eq!(Int::from_be_bytes(&[1; 65]), None);
    }

    proptest::proptest! {
        #[test]
        fn arithmetic_agrees_with_that_of_128_bits(left: i64, right: i64) {
            let (a, b) = (Int::from(left), Int::from(right));
            let (left, right) = (i128::from(left), i128::from(right));
            proptest::prop_assert_eq!(a.checked_add(b), Some(Int::from(left + right)));
            proptest::prop_assert_eq!(a.checked_sub(b), Some(Int::from(left - right)));
            proptest::prop_assert_eq!(a.checked_mul(b), Some(Int::from(left * right)));
            proptest::prop_assert_eq!(a.checked_div(b), left.checked_div(right).map(Int::from));
            proptest::prop_assert_eq!(a.checked_rem(b), left.checked_rem(right).map(Int::from));
            proptest::prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        }

        #[test]
        fn what_is_written_in_units_is_read_as_the_same_number(value: i64, decimals in 0usize..78) {
            let int = Int::from(value);
            proptest::prop_assert_eq!(Int::from_units(&int.to_units(decimals), decimals), Some(int));
        }
    }
}
