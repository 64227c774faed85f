//! How much decoding would make of data, before it is decoded.
//!
//! In ABI-encoded data the elements of an array are offsets, and many may point to the same bytes: a kilobyte can be written that
//! decodes to gigabytes. Source: Solidity ABI specification, "Use of Dynamic Types".

use alloy_dyn_abi::DynSolType;

/// Words that decoding one row may make: 4 MiB, more than any honest call that fits a block.
const MAX_WORDS: usize = 1 << 17;

/// Whether decoding `data` as a sequence of `types` makes at most [`MAX_WORDS`] words.
///
/// Data that does not fit the types may count as small: decoding it fails.
pub(super) fn is_small(types: &[DynSolType], data: &[u8]) -> bool {
    // Where nothing is nested, no byte is decoded twice.
    let is_nested = |kind: &DynSolType| match kind {
        DynSolType::Array(inner) | DynSolType::FixedArray(inner, _) => inner.is_dynamic(),
        DynSolType::Tuple(_) => kind.is_dynamic(),
        _ => false,
    };
    // Two parameters may still point to the same bytes; there are few of them.
    if !types.iter().any(is_nested) {
        return data.len().saturating_mul(types.len().max(1)) / 32 <= MAX_WORDS;
    }
    let mut budget = MAX_WORDS;
    sequence(types.iter(), data, 0, &mut budget).is_some()
}

/// Goes through values that lie one after the other from `base`; `None` if the budget does not suffice.
fn sequence<'a>(
    types: impl Iterator<Item = &'a DynSolType>,
    data: &[u8],
    base: usize,
    budget: &mut usize,
) -> Option<()> {
    let mut at = base;
    for kind in types {
        value(kind, data, base, at, budget)?;
        at = at.checked_add(32 * head_words(kind))?;
        if at > data.len() {
            // It will not decode.
            return Some(());
        }
    }
    Some(())
}

/// One value whose head is at `at`, with offsets from `base`.
fn value(kind: &DynSolType, data: &[u8], base: usize, at: usize, budget: &mut usize) -> Option<()> {
    if !kind.is_dynamic() {
        return spend(budget, kind.minimum_words());
    }
    spend(budget, 1)?;
    // What points out of the data does not decode.
    let Some(start) = word(data, at).and_then(|offset| base.checked_add(offset)) else { return Some(()) };
    match kind {
        DynSolType::Bytes | DynSolType::String => {
            let length = word(data, start).filter(|length| *length <= data.len()).unwrap_or(0);
            spend(budget, length / 32 + 1)
        }
        DynSolType::Array(inner) => {
            let (Some(length), Some(first)) = (word(data, start), start.checked_add(32)) else { return Some(()) };
            if length > data.len() / 32 {
                return Some(());
            }
            if !inner.is_dynamic() {
                return spend(budget, length.saturating_mul(inner.minimum_words()));
            }
            sequence(std::iter::repeat_n(&**inner, length), data, first, budget)
        }
        DynSolType::FixedArray(inner, length) => sequence(std::iter::repeat_n(&**inner, *length), data, start, budget),
        DynSolType::Tuple(parts) => sequence(parts.iter(), data, start, budget),
        _ => Some(()),
    }
}

/// Words between the begin of a value and that of the next one.
fn head_words(kind: &DynSolType) -> usize {
    if kind.is_dynamic() { 1 } else { kind.minimum_words() }
}

fn spend(budget: &mut usize, words: usize) -> Option<()> {
    *budget = budget.checked_sub(words)?;
    Some(())
}

/// The number in the word at `at`; `None` if it is not in the data, or beyond all data.
fn word(data: &[u8], at: usize) -> Option<usize> {
    let word = data.get(at..at.checked_add(32)?)?;
    let (high, low) = word.split_at(24);
    let low = u64::from_be_bytes(low.try_into().ok()?);
    high.iter().all(|byte| *byte == 0).then(|| usize::try_from(low).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use alloy_dyn_abi::DynSolValue;
    use alloy_primitives::U256;

    use super::*;

    fn types(text: &str) -> Vec<DynSolType> {
        DynSolType::parse(text).unwrap().as_tuple().unwrap().to_vec()
    }

    /// Words one after the other.
    fn words(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
        words.into_iter().flat_map(|word| U256::from(word).to_be_bytes::<32>()).collect()
    }

    #[test]
    fn offsets_that_all_point_to_one_place_are_found_out() {
        // An array of 1,000 arrays, each the same one of 1,000 texts, each the same one of 1,000 bytes: 1 GB out of 96 KB.
        let mut data = words([32, 1_000]);
        data.extend(words(std::iter::repeat_n(32_000, 1_000)));
        data.extend(words([1_000]));
        data.extend(words(std::iter::repeat_n(32_000, 1_000)));
        data.extend(words([1_000]));
        data.extend(vec![b'x'; 1_024]);
        assert!(data.len() < 100_000);
        assert!(!is_small(&types("(string[][])"), &data));
    }

    #[test]
    fn honest_data_is_small() {
        let calls = DynSolValue::Array(
            (0..100u64)
                .map(|i| DynSolValue::Tuple(vec![DynSolValue::Bytes(vec![7; 500]), DynSolValue::from(i)]))
                .collect(),
        );
        let data = DynSolValue::Tuple(vec![calls]).abi_encode_params();
        let types = types("((bytes,uint64)[])");
        assert!(is_small(&types, &data));
        assert!(DynSolType::Tuple(types).abi_decode_sequence(&data).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_data_makes_measuring_panic_or_linger(
            words_of in proptest::collection::vec(0u64..2_000, 0..80),
            cut in 0usize..32,
        ) {
            let mut data = words(words_of);
            data.truncate(data.len().saturating_sub(cut));
            for text in ["(bytes[][])", "((string,uint256[])[])", "(string[3][],bytes)", "(uint256[],string)"] {
                let began = std::time::Instant::now();
                let _ = is_small(&types(text), &data);
                proptest::prop_assert!(began.elapsed() < std::time::Duration::from_secs(5));
            }
        }
    }
}
