//! Reads raw answers into values, and checks them.
//!
//! Never asks anything.

use alloy::primitives::{B256, U64};
use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRef, ChainId};
use serde_json::value::RawValue;

use crate::block::{FetchedBlock, HeaderRef, ReadHeader, read_block, read_header};
use crate::endpoint::RawAnswer;
use crate::error::ChainError;
use crate::heads::{Finality, Heads};
use crate::rpc_url::RpcUrl;
use crate::verify::{BadBlock, Checks, VerifiedBlock, judge_hash, verify_as_far_as};

/// A block that is asked for: its number, and its hash if it is asked for by that.
pub(super) type Wanted = (BlockNumber, Option<B256>);

fn malformed(endpoint: &RpcUrl, method: &'static str) -> impl FnOnce(serde_json::Error) -> ChainError {
    move |error| ChainError::malformed(endpoint, method, &error)
}

fn bad(problem: BadBlock) -> ChainError {
    ChainError::BadBlock(Box::new(problem))
}

pub(crate) fn chain_id(endpoint: &RpcUrl, answers: &[RawAnswer]) -> Result<ChainId, ChainError> {
    const METHOD: &str = "eth_chainId";
    match answers {
        [Some(raw)] => {
            let found: U64 = serde_json::from_str(raw.get()).map_err(malformed(endpoint, METHOD))?;
            Ok(ChainId(found.to()))
        }
        _ => Err(ChainError::MissingAnswer { endpoint: endpoint.to_string(), method: METHOD }),
    }
}

/// The header of an answer, its hash recomputed; it must be `expected`, if that is given.
pub(crate) fn header(
    endpoint: &RpcUrl,
    answers: &[RawAnswer],
    checks: &Checks,
    expected: Option<BlockRef>,
) -> Result<Option<HeaderRef>, ChainError> {
    let Some(Some(raw)) = answers.first() else { return Ok(None) };
    let found = checked_header(endpoint, raw, checks)?;
    match expected {
        Some(expected) if expected != found.reference => Err(bad(BadBlock::Hash { block: found.reference, expected })),
        _ => Ok(Some(found)),
    }
}

fn checked_header(endpoint: &RpcUrl, raw: &RawValue, checks: &Checks) -> Result<HeaderRef, ChainError> {
    let ReadHeader { found, computed_hash, mut unknown_fields } =
        read_header(raw).map_err(malformed(endpoint, "eth_getBlockByNumber"))?;
    unknown_fields.hide_secrets(endpoint);
    if i64::try_from(found.reference.number.0).is_err() {
        return Err(bad(BadBlock::NumberTooHigh { block: found.reference }));
    }
    if checks.header_hash.is_made_at(found.reference.number) {
        judge_hash(found.reference, computed_hash, &unknown_fields, checks.unknown_formats).map_err(bad)?;
    }
    Ok(found)
}

/// The heads from the answers for `latest` and, if they were asked for, `safe` and `finalized`.
pub(super) fn heads(
    endpoint: &RpcUrl,
    answers: &[RawAnswer],
    checks: &Checks,
    served_at: DateTime<Utc>,
) -> Result<Heads, ChainError> {
    let Some(Some(latest)) = answers.first() else {
        return Err(ChainError::MissingAnswer { endpoint: endpoint.to_string(), method: "eth_getBlockByNumber" });
    };
    let latest = checked_header(endpoint, latest, checks)?;
    let below_latest = |answer: Option<&RawAnswer>| -> Result<_, ChainError> {
        match answer {
            Some(Some(raw)) => {
                let found = checked_header(endpoint, raw, checks)?.reference;
                // The calls of a batch are answered one after another: the chain may have moved on in between.
                Ok((found.number <= latest.reference.number).then_some(found))
            }
            Some(None) | None => Ok(None),
        }
    };
    Ok(Heads { latest, safe: below_latest(answers.get(1))?, finalized: below_latest(answers.get(2))?, served_at })
}

/// The block at `number`, if it is final, from the answers for the end that `finality` counts from and for `number`.
pub(super) fn final_block(
    endpoint: &RpcUrl,
    answers: &[RawAnswer],
    checks: &Checks,
    number: BlockNumber,
    finality: Finality,
) -> Result<Option<BlockRef>, ChainError> {
    let [Some(end), Some(raw)] = answers else { return Ok(None) };
    let end = checked_header(endpoint, end, checks)?.reference.number;
    let last_final = match finality {
        Finality::Tags {} => Some(end),
        Finality::Depth { blocks } => Finality::final_by_depth(end, blocks),
    };
    let found = checked_header(endpoint, raw, checks)?.reference;
    if found.number != number {
        return Err(bad(BadBlock::Number { block: found, expected: number }));
    }
    Ok(last_final.is_some_and(|last| number <= last).then_some(found))
}

/// Verified blocks from pairs of answers (block, receipts), up to the first pair that is not there or not on the same
/// branch as the one before.
pub(super) fn blocks(
    endpoint: &RpcUrl,
    wanted: &[Wanted],
    answers: &[RawAnswer],
    checks: &Checks,
    served_at: DateTime<Utc>,
) -> Result<Vec<VerifiedBlock>, ChainError> {
    let run = assemble(endpoint, wanted, answers, served_at);
    run.and_then(|run| verify_as_far_as(run, checks).map_err(Unreadable::Bad)).map_err(|unreadable| match unreadable {
        Unreadable::Json(source) => malformed(endpoint, "eth_getBlockByNumber")(source),
        Unreadable::Bad(problem) => bad(problem),
        Unreadable::Replaced(number) => ChainError::ReplacedWhileFetching { number },
    })
}

/// Why a run cannot be made of the answers.
enum Unreadable {
    Json(serde_json::Error),
    Bad(BadBlock),
    Replaced(BlockNumber),
}

fn assemble(
    endpoint: &RpcUrl,
    wanted: &[Wanted],
    answers: &[RawAnswer],
    served_at: DateTime<Utc>,
) -> Result<Vec<FetchedBlock>, Unreadable> {
    let mut run: Vec<FetchedBlock> = Vec::with_capacity(wanted.len());
    let mut answers = answers.iter();
    for (number, hash) in wanted {
        let (Some(Some(block)), Some(Some(receipts))) = (answers.next(), answers.next()) else { break };
        let mut fetched = read_block(block, receipts, served_at).map_err(Unreadable::Json)?;
        fetched.unknown_fields.hide_secrets(endpoint);
        check_identity(&fetched, *number, *hash).map_err(Unreadable::Bad)?;
        let is_of_this_block = fetched.receipts.iter().all(|receipt| receipt.block_hash == fetched.reference.hash);
        // After a reorg, honest nodes answer an empty list for a block that their chain has no more.
        let has_receipts = fetched.transactions.is_empty() || !fetched.receipts.is_empty();
        let is_linked = run.last().is_none_or(|last| last.reference.hash == fetched.header.parent_hash);
        if is_of_this_block && has_receipts && is_linked {
            run.push(fetched);
        } else if run.is_empty() {
            return Err(Unreadable::Replaced(*number));
        } else {
            break;
        }
    }
    Ok(run)
}

fn check_identity(fetched: &FetchedBlock, number: BlockNumber, hash: Option<B256>) -> Result<(), BadBlock> {
    let block = fetched.reference;
    match hash {
        Some(hash) if block != (BlockRef { number, hash }) => {
            Err(BadBlock::Hash { block, expected: BlockRef { number, hash } })
        }
        None if block.number != number => Err(BadBlock::Number { block, expected: number }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::Classified as _;

    use super::*;
    use crate::verify::UnknownFormats;

    #[test]
    fn a_number_that_the_stores_cannot_hold_is_untrue_though_its_header_is_hashed() {
        let read = |number: u64| {
            let header = alloy::consensus::Header { number, ..Default::default() };
            let mut json = serde_json::to_value(&header).unwrap();
            json["hash"] = serde_json::to_value(header.hash_slow()).unwrap();
            let json = serde_json::value::to_raw_value(&json).unwrap();
            checked_header(&RpcUrl::parse("http://a").unwrap(), &json, &Checks::ALL)
        };
        assert_eq!(read(i64::MAX.cast_unsigned()).unwrap().reference.number.0, i64::MAX.cast_unsigned());
        assert_eq!(read(1 << 63).unwrap_err().code(), "chain.bad_number_too_high");
    }

    #[test]
    fn a_header_with_an_unknown_field_is_believed_only_where_its_hash_fits_or_the_chain_may_have_it() {
        let read = |timestamp: u64, unknown_formats| {
            let header = alloy::consensus::Header { timestamp: 7, ..Default::default() };
            let mut json = serde_json::to_value(&header).unwrap();
            json["hash"] = serde_json::to_value(header.hash_slow()).unwrap();
            json["timestamp"] = serde_json::json!(format!("{timestamp:#x}"));
            json["extDataHash"] = serde_json::json!("0x00");
            let json = serde_json::value::to_raw_value(&json).unwrap();
            let checks = Checks { unknown_formats, ..Checks::ALL };
            checked_header(&RpcUrl::parse("http://a").unwrap(), &json, &checks)
        };
        for unknown_formats in [UnknownFormats::Refuse, UnknownFormats::Accept] {
            assert_eq!(read(7, unknown_formats).unwrap().timestamp, 7);
        }
        let refused = read(8, UnknownFormats::Refuse).unwrap_err();
        assert_eq!(refused.code(), "chain.bad_unknown_format");
        assert_eq!(read(8, UnknownFormats::Accept).unwrap().timestamp, 8);
    }

    #[test]
    fn a_field_that_is_named_as_a_key_of_the_address_does_not_show_it() {
        const KEY: &str = "k3yk3yk3y";
        let endpoint = RpcUrl::parse(&format!("https://node.example/v2/{KEY}")).unwrap();
        let mut json = serde_json::to_value(alloy::consensus::Header::default()).unwrap();
        json["hash"] = serde_json::to_value(B256::ZERO).unwrap();
        json["transactions"] = serde_json::json!([]);
        json[KEY] = serde_json::json!("0x00");
        let raw = |json: &serde_json::Value| serde_json::value::to_raw_value(json).unwrap();
        let answers = [Some(raw(&json)), Some(raw(&serde_json::json!([])))];
        let wanted = [(BlockNumber(0), None)];
        let of_header = header(&endpoint, &answers, &Checks::ALL, None).unwrap_err();
        let of_block = blocks(&endpoint, &wanted, &answers, &Checks::ALL, DateTime::UNIX_EPOCH).unwrap_err();
        for refused in [of_header, of_block] {
            assert_eq!(refused.code(), "chain.bad_unknown_format");
            let shown = format!("{refused} {refused:?}");
            assert!(shown.contains("[secret]") && !shown.contains(KEY), "{shown}");
        }
    }
}
