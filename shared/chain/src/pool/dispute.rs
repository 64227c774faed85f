//! Whether the endpoints agree about a block that one of them has shown.
//!
//! A node shows what it has; nobody can tell by itself whether the chain has that too. So what would make somebody stop
//! for good is held against what the other endpoints have at its number. Decides nothing about the chain: who is right
//! is not known, only that they differ.

use std::time::Instant;

use isotherm_types::BlockRef;

use super::Pool;
use crate::block::HeaderRef;
use crate::client::{header_call, quantity};

/// What an endpoint says to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// It has that block.
    Agrees,
    /// It has another one there, or none though it has a later one.
    Disputes,
    /// It is not as far, or does not say.
    Silent,
}

impl Opinion {
    /// The opinion of an endpoint with this newest block and this one at `block`'s number.
    fn of(block: BlockRef, latest: Option<HeaderRef>, there: Option<HeaderRef>) -> Self {
        match (there, latest) {
            (Some(there), _) if there.reference == block => Self::Agrees,
            (Some(there), _) if there.reference.number == block.number => Self::Disputes,
            (None, Some(latest)) if latest.reference.number > block.number => Self::Disputes,
            _ => Self::Silent,
        }
    }
}

/// Whether anybody contradicts the block.
pub(crate) fn are_in_dispute(opinions: &[(usize, Opinion)]) -> bool {
    opinions.iter().any(|(_, opinion)| *opinion == Opinion::Disputes)
}

/// The places of endpoints to be passed over for a while after a dispute, so that the others are heard: those that agree
/// to the block, and the one at `shown_by`. None if nobody else contradicts it.
pub(crate) fn passed_over(opinions: &[(usize, Opinion)], shown_by: usize) -> Vec<usize> {
    let disputes = |(place, opinion): &(usize, Opinion)| *opinion == Opinion::Disputes && *place != shown_by;
    if !opinions.iter().any(disputes) {
        return Vec::new();
    }
    let agreeing = opinions.iter().filter(|(_, opinion)| *opinion == Opinion::Agrees).map(|(place, _)| *place);
    agreeing.filter(|place| *place != shown_by).chain([shown_by]).collect()
}

impl Pool {
    /// The places of endpoints that are not quarantined now.
    pub(crate) fn trusted(&self) -> Vec<usize> {
        let now = Instant::now();
        let views = self.views(&self.inquiry(1, None), now);
        (0..views.len()).filter(|place| !views[*place].is_quarantined(now)).collect()
    }

    /// Asks the endpoint at `place` what it has at `block`'s number.
    pub(crate) async fn opinion(&self, place: usize, block: BlockRef) -> Opinion {
        let calls = [header_call("latest"), header_call(&quantity(block.number))];
        match self.headers(&self.members[place], &calls, None).await.as_deref() {
            Ok([latest, there]) => Opinion::of(block, *latest, *there),
            Ok(_) => Opinion::Silent,
            Err((error, evidence)) => {
                self.failed(place, error, evidence.clone(), false);
                Opinion::Silent
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::{B256, BlockNumber};

    use super::Opinion::{Agrees, Disputes, Silent};
    use super::*;

    fn header(number: u64, branch: u8) -> Option<HeaderRef> {
        let reference = BlockRef { number: BlockNumber(number), hash: B256::repeat_byte(branch) };
        Some(HeaderRef { reference, parent_hash: B256::ZERO, timestamp: 0 })
    }

    #[test]
    fn another_block_contradicts_and_so_does_none_below_a_later_one() {
        let block = header(7, 1).unwrap().reference;
        let cases = [
            (header(9, 1), header(7, 1), Agrees),
            (header(7, 1), header(7, 1), Agrees),
            // The newest one went down in between, or is not told.
            (header(3, 1), header(7, 1), Agrees),
            (None, header(7, 1), Agrees),
            (header(9, 2), header(7, 2), Disputes),
            (None, header(7, 2), Disputes),
            (header(8, 2), None, Disputes),
            // On its way to it.
            (header(7, 2), None, Silent),
            (header(6, 2), None, Silent),
            (None, None, Silent),
            (header(9, 1), header(8, 1), Silent),
        ];
        for (latest, there, expected) in cases {
            assert_eq!(Opinion::of(block, latest, there), expected, "{latest:?} {there:?}");
        }
    }

    #[test]
    fn who_is_contradicted_by_another_is_passed_over_with_all_that_say_the_same() {
        let places = |opinions: &[Opinion], shown_by| {
            let opinions: Vec<_> = opinions.iter().copied().enumerate().collect();
            (are_in_dispute(&opinions), passed_over(&opinions, shown_by))
        };
        assert_eq!(places(&[Agrees], 0), (false, vec![]));
        assert_eq!(places(&[Agrees, Silent], 0), (false, vec![]));
        assert_eq!(places(&[Agrees, Disputes], 0), (true, vec![0]));
        assert_eq!(places(&[Agrees, Disputes, Agrees, Silent], 2), (true, vec![0, 2]));
        // It has shown the block, and says something else now.
        assert_eq!(places(&[Disputes, Disputes], 0), (true, vec![0]));
        // Nobody is left who could be heard in its place.
        assert_eq!(places(&[Disputes, Silent], 0), (true, vec![]));
        assert_eq!(places(&[Disputes, Agrees], 0), (true, vec![]));
    }
}
