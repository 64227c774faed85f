//! What a person can do about a chain that is halted. Pure.

use isotherm_hot_store::disputed_reorg::Refusal;

/// What to do about a halt with this code.
pub(super) fn on_halt(chain: &str, code: &str) -> String {
    let look_again = format!("`isotherm follower resume --chain {chain} --look-again`");
    match code {
        "chain.reorg_below_finalized" | "chain.reorg_too_deep" => format!(
            "compare both hashes with an explorer that you trust; if the chain is right, `isotherm follower resume \
             --chain {chain} --accept-reorg --reason …`; if the endpoint is wrong, use another one and {look_again}"
        ),
        "chain.reorg_below_first_block" => format!(
            "compare both hashes with an explorer that you trust; if the endpoint is wrong, use another one and \
             {look_again}; if the chain is right, wipe this chain's data and start again"
        ),
        "chain.reorg_below_watermark" => cold(&look_again),
        _ if code.starts_with("follower.gap_") => format!(
            "do what the message says, then {look_again}; `isotherm follower gaps --chain {chain}` shows what is not \
             whole"
        ),
        _ => format!("mend the cause, then {look_again}"),
    }
}

/// What to do where a reorg cannot be accepted.
pub(super) fn on_refusal(chain: &str, refusal: &Refusal) -> String {
    let look_again = format!("`isotherm follower resume --chain {chain} --look-again`");
    match refusal {
        Refusal::NotHalted => format!("nothing; `isotherm follower status --chain {chain}` shows how it is followed"),
        Refusal::NoReorg { code } => on_halt(chain, code),
        Refusal::OtherBranch { .. } => format!(
            "if the chain has moved on since, {look_again}: the follower halts again and says what it finds now"
        ),
        Refusal::NoAncestor => format!(
            "{look_again} has the follower look for it again; if the branches part below the first stored block, wipe \
             this chain's data and start again"
        ),
        Refusal::Cold { .. } => cold(&look_again),
    }
}

fn cold(look_again: &str) -> String {
    format!(
        "cold files are never rewritten; if the endpoint is wrong, use another one and {look_again}; if the chain is \
         right, wipe this chain's data, hot and cold, and start again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_halt_has_its_advice_with_the_command_to_give() {
        for code in [
            "chain.reorg_below_finalized",
            "chain.reorg_too_deep",
            "chain.reorg_below_first_block",
            "chain.reorg_below_watermark",
            "follower.gap_not_served",
            "anything.else",
        ] {
            let advice = on_halt("demo", code);
            assert!(advice.contains("isotherm follower resume --chain demo --look-again"), "{code}: {advice}");
            let can_be_accepted = ["chain.reorg_below_finalized", "chain.reorg_too_deep"].contains(&code);
            assert_eq!(advice.contains("--accept-reorg"), can_be_accepted, "{code}: {advice}");
        }
        assert!(on_halt("demo", "anything.else").starts_with("mend the cause"));
    }
}
