//! Known chains for people and for programs.

use isotherm_chain::{Checks, Finality};
use serde_json::{Value, json};

use super::{KnownChain, Source};
use crate::output::{cell, grouped, say, table};

pub(super) fn print_list(chains: &[KnownChain]) {
    let right = ["chain id", "block time (ms)", "reorg depth", "partition (blocks)"];
    let headings = [
        "chain",
        "chain id",
        "from",
        "block time (ms)",
        "final by",
        "reorg depth",
        "partition (blocks)",
        "traces by",
        "checks",
    ];
    let mut table = table(&headings, &right);
    for known in chains {
        let profile = &known.profile;
        table.add_row([
            profile.name.clone(),
            profile.chain_id.0.to_string(),
            source(known.source).to_owned(),
            grouped(profile.block_time_ms),
            finality(profile.finality),
            grouped(profile.max_reorg_depth),
            grouped(profile.partition_blocks),
            cell(&json!(profile.trace_method)),
            checks(profile.checks),
        ]);
    }
    say!("{table}");
}

fn source(source: Source) -> &'static str {
    match source {
        Source::BuiltIn => "built in",
        Source::File => "the file",
    }
}

fn finality(finality: Finality) -> String {
    match finality {
        Finality::Tags {} => "tags".to_owned(),
        Finality::Depth { blocks } => format!("{} blocks", grouped(blocks)),
    }
}

/// Those that are not as they are where a file says nothing.
fn checks(checks: Checks) -> String {
    let (all, own) = (json!(Checks::ALL), json!(checks));
    let others: Vec<String> = own
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| all[name.as_str()] != **value)
        .map(|(name, value)| format!("{name}: {}", cell(value)))
        .collect();
    if others.is_empty() { "all".to_owned() } else { format!("all but {}", others.join(", ")) }
}

pub(super) fn to_json(known: &KnownChain) -> Value {
    let mut json = json!(known.profile);
    json["source"] = json!(known.source.as_str());
    json
}

#[cfg(test)]
mod tests {
    use isotherm_chain::{ChainProfile, Check, UnknownFormats};
    use isotherm_types::{BlockNumber, ChainId};

    use super::*;
    use crate::golden;

    #[test]
    fn chains_for_programs_are_the_golden_file() {
        let five = ChainProfile::unknown(ChainId(5), "five".to_owned(), Finality::Depth { blocks: 9 });
        let checks = Checks { sender: Check::Never, ..Checks::ALL };
        let five = KnownChain { profile: ChainProfile { checks, ..five }, source: Source::File };
        let monad = KnownChain { profile: ChainProfile::built_in(ChainId(143)).unwrap(), source: Source::BuiltIn };
        golden::check("chains_list", &[five, monad].iter().map(to_json).collect());
    }

    #[test]
    fn checks_that_are_left_out_are_named() {
        assert_eq!(checks(Checks::ALL), "all");
        let (gas_used, unknown_formats) = (Check::From(BlockNumber(7)), UnknownFormats::Accept);
        let some = Checks { gas_used, sender: Check::Never, unknown_formats, ..Checks::ALL };
        assert_eq!(checks(some), "all but gas_used: 7, sender: never, unknown_formats: accept");
    }
}
