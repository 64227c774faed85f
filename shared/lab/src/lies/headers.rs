//! Lies about the ends of the chain, and about headers.

use serde_json::{Value, json};

use super::foreign::hide_behind_a_field;
use super::kind::{Elsewhere, LieKind, Tells};
use super::values::{change, rehash_header, strip_transactions};
use crate::rpc::quantity;

/// Blocks by which a forged old tip is below the newest one.
const FAR_BELOW: u64 = 50;

/// Their table.
pub(super) static KINDS: &[LieKind] = &[
    LieKind::new("no_tip", Tells::Tag("latest", |header, _| !std::mem::take(header).is_null())),
    LieKind::new("stale_tip", Tells::Tag("latest", header_before)),
    LieKind::new("falling_tip", Tells::Tag("latest", falling_tip)),
    LieKind::new("forged_tip", Tells::Tag("latest", |header, _| forge(header))),
    // Alone, its word is all there is, and it says that the chain was replaced down to there.
    LieKind::new("forged_old_tip", Tells::Tag("latest", forged_old_tip)).in_company(),
    LieKind::new("tip_with_an_unknown_field", Tells::Tag("latest", |header, _| hide_behind_a_field(header))),
    LieKind::new("tip_beyond_the_chain", Tells::Tag("latest", tip_beyond_the_chain)),
    LieKind::new("tip_with_another_hash", Tells::Tag("latest", |header, _| header.get_mut("hash").is_some_and(change))),
    LieKind::new("tip_without_a_field", Tells::Tag("latest", tip_without_a_field)),
    LieKind::new("forged_finalized", Tells::Tag("finalized", forged_finalized)),
    LieKind::new("another_header_by_hash", Tells::HeaderByHash(header_before)),
];

/// The block before.
fn header_before(header: &mut Value, elsewhere: &Elsewhere) -> bool {
    if elsewhere.before.block.is_null() {
        return false;
    }
    header.clone_from(&elsewhere.before.block);
    strip_transactions(header);
    true
}

fn falling_tip(header: &mut Value, elsewhere: &Elsewhere) -> bool {
    let is_known = !elsewhere.lower.is_null();
    if is_known {
        header.clone_from(&elsewhere.lower);
    }
    is_known
}

/// Another header in its place, whose hash fits.
fn forge(header: &mut Value) -> bool {
    header.get_mut("mixHash").is_some_and(change) && rehash_header(header)
}

/// A forged header of a block that nobody has yet.
fn tip_beyond_the_chain(header: &mut Value, _: &Elsewhere) -> bool {
    let Some(number) = quantity(&header["number"]) else { return false };
    header["number"] = json!(format!("{:#x}", number + 5));
    rehash_header(header)
}

/// A forged header far below the newest one: deeper than a reorg may be.
fn forged_old_tip(header: &mut Value, _: &Elsewhere) -> bool {
    let Some(number) = quantity(&header["number"]) else { return false };
    header["number"] = json!(format!("{:#x}", number.saturating_sub(FAR_BELOW).max(1)));
    forge(header)
}

fn tip_without_a_field(header: &mut Value, _: &Elsewhere) -> bool {
    header.as_object_mut().is_some_and(|fields| fields.remove("stateRoot").is_some())
}

/// A block that the chain does not have, right below its newest one, is called final.
fn forged_finalized(header: &mut Value, elsewhere: &Elsewhere) -> bool {
    header_before(header, elsewhere) && forge(header)
}
