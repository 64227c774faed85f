//! `isotherm follower evidence`: what endpoints were caught at, to be shown to whoever runs them.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_hot_store::evidence::{self, Evidence, MOST_KEPT};
use isotherm_types::ChainId;
use serde_json::{Value, json};

use super::chains;
use crate::args::EvidenceArguments;
use crate::connected::Connected;
use crate::output;
use crate::output::{grouped, instant, say, table};

/// What is kept of one chain.
struct Kept {
    chain: String,
    chain_id: ChainId,
    /// The newest first.
    evidence: Vec<Evidence>,
}

pub(super) async fn run(connected: &mut Connected, wanted: &EvidenceArguments) -> anyhow::Result<ExitCode> {
    let conn = &mut connected.conn;
    let mut found = Vec::new();
    for cursor in chains(conn, wanted.chain.as_deref()).await? {
        let evidence = evidence::newest(conn, cursor.chain_id, MOST_KEPT).await;
        let evidence = evidence.context("could not read the evidence")?;
        found.push(Kept { chain: cursor.chain, chain_id: cursor.chain_id, evidence });
    }
    output::show(wanted.printed.output, &found.iter().map(to_json).collect(), || print(&found))?;
    Ok(ExitCode::SUCCESS)
}

fn print(found: &[Kept]) {
    for Kept { chain, evidence, .. } in found {
        if evidence.is_empty() {
            say!("chain {chain}: no endpoint was caught at anything untrue");
            continue;
        }
        say!("chain {chain}: {}", pieces(evidence.len() as u64));
        let headings = ["served (UTC)", "endpoint", "block", "answer bytes", "code", "what is untrue"];
        let mut shown = table(&headings, &["block", "answer bytes"]);
        for piece in evidence {
            shown.add_row([
                instant(piece.served_at),
                piece.endpoint.clone(),
                piece.block_number.map_or_else(String::new, |number| grouped(number.0)),
                grouped(piece.answer_bytes),
                piece.code.clone(),
                piece.message.clone(),
            ]);
        }
        say!("{shown}");
        say!("`isotherm follower evidence --chain {chain} --output json` has the answers, as much of them as is kept");
    }
}

/// So many untrue answers, in words.
pub(super) fn pieces(count: u64) -> String {
    match count {
        1 => "1 untrue answer".to_owned(),
        count => format!("{} untrue answers", grouped(count)),
    }
}

fn to_json(kept: &Kept) -> Value {
    json!({
        "chain": kept.chain, "chain_id": kept.chain_id,
        "evidence": kept.evidence.iter().map(piece_json).collect::<Vec<_>>(),
    })
}

fn piece_json(piece: &Evidence) -> Value {
    json!({
        "served_at": piece.served_at, "endpoint": piece.endpoint, "code": piece.code, "message": piece.message,
        "block_number": piece.block_number, "block_hash": piece.block_hash, "answer_sha256": piece.answer_sha256,
        "answer_bytes": piece.answer_bytes, "answer_start": piece.answer_start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follower::view::tests::{behind, lie};
    use crate::golden;

    #[test]
    fn evidence_for_programs_is_the_golden_file() {
        let cursor = behind().cursor;
        let kept = |evidence| Kept { chain: cursor.chain.clone(), chain_id: cursor.chain_id, evidence };
        let unnumbered = Evidence { block_number: None, ..lie() };
        golden::check("follower_evidence", &json!([to_json(&kept(vec![lie(), unnumbered])), to_json(&kept(vec![]))]));
    }

    #[test]
    fn one_answer_is_told_from_many() {
        assert_eq!([0, 1, 1_200].map(pieces), ["0 untrue answers", "1 untrue answer", "1,200 untrue answers"]);
    }
}
