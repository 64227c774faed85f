//! A header is what its hash says.

use alloy::primitives::B256;
use isotherm_types::BlockRef;

use super::{BadBlock, UnknownFormats, Verdict};
use crate::block::{FetchedBlock, UnknownFields};

/// The header's hash is what its fields say.
///
/// # Errors
/// [`BadBlock::HeaderHash`] if it is not and every field of the header is known, else [`BadBlock::UnknownFormat`].
pub fn check_header_hash(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    check(block, UnknownFormats::Refuse)
}

pub(super) fn check(block: &FetchedBlock, unknown_formats: UnknownFormats) -> Result<Verdict, BadBlock> {
    judge_hash(block.reference, block.header.hash_slow(), &block.unknown_fields, unknown_formats)
}

/// The verdict on the header of `block`, whose known fields hash to `computed`.
///
/// A field that is not known does no harm where the hash fits: it is not part of the header.
///
/// # Errors
/// As [`check_header_hash`], the second only if unknown formats are refused.
pub(crate) fn judge_hash(
    block: BlockRef,
    computed: B256,
    unknown_fields: &UnknownFields,
    unknown_formats: UnknownFormats,
) -> Result<Verdict, BadBlock> {
    if computed == block.hash {
        return Ok(Verdict::Ok);
    }
    if unknown_fields.is_empty() {
        return Err(BadBlock::HeaderHash { block, computed });
    }
    unknown_formats.judge(block, format!("the header has fields that are not known: {unknown_fields}"))
}

#[cfg(test)]
mod tests {
    use isotherm_types::BlockNumber;

    use super::*;

    #[test]
    fn an_unknown_field_excuses_a_hash_that_does_not_fit_only_where_it_is_accepted() {
        let block = BlockRef { number: BlockNumber(7), hash: B256::repeat_byte(7) };
        let judge = |computed, names: &[&str], unknown_formats| {
            judge_hash(block, computed, &names.iter().copied().collect(), unknown_formats)
        };
        for unknown_formats in [UnknownFormats::Refuse, UnknownFormats::Accept] {
            assert_eq!(judge(block.hash, &["size2"], unknown_formats), Ok(Verdict::Ok));
            let bad = judge(B256::ZERO, &[], unknown_formats).expect_err("another hash");
            assert_eq!(bad, BadBlock::HeaderHash { block, computed: B256::ZERO });
        }
        let bad = judge(B256::ZERO, &["extDataHash"], UnknownFormats::Refuse).expect_err("an unknown field");
        assert_eq!(bad.code(), "chain.bad_unknown_format");
        let text = bad.to_string();
        assert!(text.contains("extDataHash") && text.contains("unknown_formats: accept"), "{text}");
        let accepted = judge(B256::ZERO, &["extDataHash"], UnknownFormats::Accept);
        let reason = "the header has fields that are not known: extDataHash".to_owned();
        assert_eq!(accepted, Ok(Verdict::NotVerifiable(reason)));
    }
}
