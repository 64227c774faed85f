//! By what name a follower must find each kind of lie out.

/// Codes of errors, and the kinds of which one of their codes must be named. Those that stand nowhere may pass
/// unnoticed: what they say is right in the end, or what a node says that is behind or on another branch, or (as
/// `no_receipts` behind a block without transactions) only ends a run of blocks early.
const NAMED: &[(&str, &[&str])] = &[
    (
        "chain.malformed",
        &[
            "answered_twice",
            "cut_json",
            "doubled_key",
            "doubled_result",
            "empty_body",
            "gas_of_2_to_the_64",
            "missing_field",
            "swapped_ids",
            "tip_without_a_field",
            "transactions_as_hashes",
            "value_of_2_to_the_256",
            "web_page",
        ],
    ),
    ("chain.undecodable", &["cut_gzip", "false_gzip", "unknown_coding"]),
    ("chain.missing_answer", &["no_tip", "one_answer_for_all", "short_batch", "wrong_ids"]),
    ("chain.rpc_error", &["error_inside_a_batch"]),
    ("chain.wrong_chain_id", &["wrong_chain_id"]),
    ("chain.disputed", &["forged_old_tip"]),
    ("chain.bad_number", &["block_before"]),
    ("chain.bad_hash", &["another_block_by_hash", "another_header_by_hash"]),
    ("chain.bad_header_hash", &["another_field", "another_hash", "tip_with_another_hash"]),
    ("chain.replaced_while_fetching", &["another_hash", "receipts_of_the_block_before"]),
    (
        "chain.bad_transactions_root",
        &[
            "another_input",
            "another_transactions_root",
            "another_value",
            "doubled_transaction",
            "missing_transaction",
            "swapped_transactions",
        ],
    ),
    ("chain.bad_transaction_hash", &["another_transaction_hash"]),
    ("chain.bad_transaction_block", &["transaction_of_another_block"]),
    ("chain.bad_receipt_count", &["doubled_receipt", "missing_receipt"]),
    ("chain.bad_unknown_format", &["tip_with_an_unknown_field", "unknown_header_field", "unknown_type"]),
    ("chain.bad_value_too_large", &["price_of_2_to_the_127", "timestamp_of_2_to_the_40"]),
    ("chain.bad_parity", &["another_parity"]),
    ("chain.bad_sender", &["another_sender"]),
    ("chain.bad_effective_gas_price", &["another_price", "price_of_2_to_the_120", "price_of_2_to_the_127"]),
    ("chain.bad_contract_address", &["another_created_address", "contract_that_nobody_created"]),
    ("chain.bad_receipt_place", &["swapped_receipts", "wrong_transaction_index"]),
    ("chain.bad_receipt_gas", &["another_receipt_gas"]),
    ("chain.bad_gas_used", &["another_header_gas"]),
    ("chain.bad_log_index", &["wrong_log_index"]),
    (
        "chain.bad_logs_bloom",
        &["another_bloom", "another_log_address", "another_topic", "dropped_log", "dropped_logs", "dropped_topic"],
    ),
    (
        "chain.bad_receipts_root",
        &[
            "another_cumulative_gas",
            "another_log_address",
            "another_log_data",
            "another_receipts_root",
            "another_status",
            "another_topic",
            "doubled_logs",
            // Where other logs have set the same bits of the Bloom filter.
            "dropped_log",
            "dropped_topic",
            "moved_log",
            "truncated_log_data",
        ],
    ),
];

/// Kinds that are no lies, if an honest node says it: that is behind, or whose chain has just replaced the block.
const HONEST: &[&str] =
    &["no_receipts", "no_tip", "null_block", "null_receipts", "receipts_of_the_block_before", "stale_tip"];

/// Whether nobody may be called a liar for it.
pub(super) fn may_be_honest(kind: &str) -> bool {
    HONEST.contains(&kind)
}

/// The codes of which one must be named; none: it may pass unnoticed.
pub(super) fn codes(kind: &str) -> Vec<&'static str> {
    NAMED.iter().filter(|(_, kinds)| kinds.contains(&kind)).map(|(code, _)| *code).collect()
}

#[test]
fn only_kinds_that_there_are_are_expected_to_be_named() {
    let kinds: Vec<&str> = isotherm_lab::lies::kinds().iter().map(|kind| kind.name).collect();
    for name in NAMED.iter().flat_map(|(_, names)| names.iter()).chain(HONEST) {
        assert!(kinds.contains(name), "{name}");
    }
    let unnamed = kinds.iter().filter(|kind| codes(kind).is_empty());
    assert!(unnamed.count() < 20);
}
