//! Whole numbers in Postgres' binary `numeric`: base-10000 digits, most significant first.
//!
//! Source: PostgreSQL, `src/backend/utils/adt/numeric.c`, `numeric_send`: digit count, weight of the first digit,
//! sign (0x0000 plus, 0x4000 minus), display scale, digits; each a 16-bit word.

use bytes::BufMut;

const BASE: u128 = 10_000;
const NEGATIVE: u16 = 0x4000;
/// 10^38 has ten base-10000 digits.
const MAX_DIGITS: usize = 10;

/// Appends the length word and the value.
pub(super) fn put(buffer: &mut Vec<u8>, value: i128) {
    let mut digits = [0u16; MAX_DIGITS];
    let mut count = 0;
    let mut rest = value.unsigned_abs();
    while rest > 0 {
        digits[count] = u16::try_from(rest % BASE).expect("a base-10000 digit fits 16 bits");
        rest /= BASE;
        count += 1;
    }
    let words = u16::try_from(count).expect("at most ten digits");
    buffer.put_i32(8 + 2 * i32::from(words));
    buffer.put_u16(words);
    buffer.put_u16(words.saturating_sub(1));
    buffer.put_u16(if value < 0 { NEGATIVE } else { 0 });
    buffer.put_u16(0);
    for digit in digits[..count].iter().rev() {
        buffer.put_u16(*digit);
    }
}

/// Reads a whole number of at most 38 digits; `None` if the bytes are anything else (a fraction, NaN, too large).
pub(super) fn parse(bytes: &[u8]) -> Option<i128> {
    let mut words = bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let count = usize::from(words.next()?);
    let weight = i32::from(words.next()?.cast_signed());
    let sign = words.next()?;
    let _display_scale = words.next()?;
    let digits: Vec<u16> = words.collect();
    if digits.len() != count || bytes.len() != 8 + 2 * count || (sign != 0 && sign != NEGATIVE) {
        return None;
    }
    let mut value: i128 = 0;
    for index in 0..=weight.max(-1) {
        let digit = usize::try_from(index).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0);
        value = value.checked_mul(10_000)?.checked_add(i128::from(digit))?;
    }
    let whole_digits = usize::try_from(weight + 1).unwrap_or(0);
    if digits.iter().skip(whole_digits).any(|digit| *digit != 0) || value >= 10i128.pow(38) {
        return None;
    }
    Some(if sign == NEGATIVE { -value } else { value })
}
