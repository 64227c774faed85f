//! What is kept of an answer that cannot be true, so that it can be shown to whoever gave it.
//!
//! Bounded, and without the keys of the endpoint's address.

use chrono::{DateTime, Utc};
use isotherm_types::BlockRef;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::endpoint::RawAnswer;
use crate::rpc_url::RpcUrl;
use crate::verify::BadBlock;

/// Characters of an answer that are kept.
pub const KEPT_CHARS: usize = 64 << 10;

/// Characters of an answer that a line of the log bears.
const LOGGED_CHARS: usize = 1024;

/// An untrue answer, as much of it as is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Scheme, host and port of who said it.
    pub endpoint: String,
    /// The block, as it was served.
    pub block: BlockRef,
    /// Stable name of what is untrue.
    pub code: String,
    /// What is untrue, with both values.
    pub message: String,
    /// When the answer came.
    pub served_at: DateTime<Utc>,
    /// SHA-256 of the answers about the block, one right after another; hexadecimal.
    pub answer_sha256: String,
    /// Their length.
    pub answer_bytes: u64,
    /// Their first [`KEPT_CHARS`] characters.
    pub answer_start: String,
}

impl Evidence {
    /// Keeps what `answers` say about the block of `problem`: the first one that names its hash, and the one after
    /// it, as receipts come after their block; all if none names it.
    pub(crate) fn of(url: &RpcUrl, problem: &BadBlock, answers: &[RawAnswer], served_at: DateTime<Utc>) -> Self {
        let hash = problem.block().hash.to_string();
        let names_it = |answer: &RawAnswer| answer.as_ref().is_some_and(|answer| answer.get().contains(&hash));
        let about = match answers.iter().position(names_it) {
            Some(place) => &answers[place..answers.len().min(place + 2)],
            None => answers,
        };
        let kept: Vec<&str> = about.iter().map(text_of).collect();
        let mut sha256 = Sha256::new();
        kept.iter().for_each(|text| sha256.update(text));
        let mut answer_start = String::new();
        let mut room = KEPT_CHARS;
        for text in &kept {
            let start = url.without_secrets(text, room);
            room -= start.chars().count();
            answer_start.push_str(&start);
        }
        Self {
            endpoint: url.to_string(),
            block: problem.block(),
            code: problem.code().to_owned(),
            message: url.without_secrets(&problem.to_string(), KEPT_CHARS),
            served_at,
            answer_sha256: alloy::hex::encode(sha256.finalize()),
            answer_bytes: kept.iter().map(|text| text.len() as u64).sum(),
            answer_start,
        }
    }

    /// Writes it into the log.
    pub(crate) fn log(&self) {
        tracing::warn!(
            rpc.endpoint = self.endpoint,
            block.number = self.block.number.0,
            block.hash = %self.block.hash,
            error.code = self.code,
            error.message = self.message,
            rpc.answer_sha256 = self.answer_sha256,
            rpc.answer_bytes = self.answer_bytes,
            rpc.answer_start = self.answer_start.chars().take(LOGGED_CHARS).collect::<String>(),
            "an endpoint served a block that cannot be true"
        );
    }
}

fn text_of(answer: &RawAnswer) -> &str {
    answer.as_ref().map_or("null", |answer| answer.get())
}

#[cfg(test)]
mod tests {
    use isotherm_types::{B256, BlockNumber};
    use serde_json::value::RawValue;

    use super::*;

    fn answer(text: &str) -> RawAnswer {
        Some(RawValue::from_string(text.to_owned()).unwrap())
    }

    fn problem(hash: B256) -> BadBlock {
        let block = BlockRef { number: BlockNumber(7), hash };
        BadBlock::ReceiptCount { block, transactions: 2, receipts: 0 }
    }

    #[test]
    fn what_is_about_the_block_is_kept_and_no_key() {
        let url = RpcUrl::parse("https://node.example/v2/k3yk3yk3y").unwrap();
        let hash = B256::repeat_byte(0x11);
        let about = [format!(r#"{{"hash":"{hash}"}}"#), r#"[{"x":"k3yk3yk3y"}]"#.to_owned()];
        let child = format!(r#"{{"hash":"0x33","parentHash":"{hash}"}}"#);
        let answers = [answer(r#"{"hash":"0x22"}"#), None, answer(&about[0]), answer(&about[1]), answer(&child)];
        let evidence = Evidence::of(&url, &problem(hash), &answers, DateTime::UNIX_EPOCH);
        assert_eq!(evidence.endpoint, "https://node.example:443");
        assert_eq!(evidence.code, "chain.bad_receipt_count");
        assert_eq!(evidence.answer_sha256, alloy::hex::encode(Sha256::digest(about.concat())));
        assert_eq!(evidence.answer_bytes, about.concat().len() as u64);
        assert_eq!(evidence.answer_start, about.concat().replace("k3yk3yk3y", "[secret]"));
        let read: Evidence = serde_json::from_str(&serde_json::to_string(&evidence).unwrap()).unwrap();
        assert_eq!(read, evidence);
    }

    #[test]
    fn answers_that_do_not_name_the_block_are_all_kept() {
        let url = RpcUrl::parse("http://node.example").unwrap();
        let answers = [answer("[1]"), None, answer("[2]")];
        let evidence = Evidence::of(&url, &problem(B256::ZERO), &answers, DateTime::UNIX_EPOCH);
        assert_eq!(evidence.answer_start, "[1]null[2]");
    }

    #[test]
    fn a_long_answer_is_cut_and_a_key_at_the_cut_is_not() {
        let url = RpcUrl::parse("https://node.example/v2/k3yk3yk3y").unwrap();
        let long = format!("\"{}k3yk3yk3y{}\"", "é".repeat(KEPT_CHARS - 5), "é".repeat(5000));
        let evidence = Evidence::of(&url, &problem(B256::ZERO), &[answer(&long)], DateTime::UNIX_EPOCH);
        assert_eq!(evidence.answer_start, format!("\"{}[sec", "é".repeat(KEPT_CHARS - 5)));
        assert_eq!(evidence.answer_bytes, long.len() as u64);
        assert_eq!(evidence.answer_sha256, alloy::hex::encode(Sha256::digest(&long)));
    }
}
