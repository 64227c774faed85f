//! Whether a lie is due: which order holds, how often it was told and from where. Pure.

use std::collections::BTreeSet;

use super::kind::LieKind;

/// What is to be lied about.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The kind of lie.
    pub kind: &'static LieKind,
    /// Answers that are let through although the lie could be told.
    pub let_through: usize,
    /// Answers that are altered then, at most.
    pub times: usize,
    /// From where.
    pub tellers: Tellers,
}

/// The addresses from which a lie is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tellers {
    /// The one that is the first to have the occasion; the others are honest.
    First,
    /// All of them.
    All,
}

/// The present order, and what has become of it.
#[derive(Debug, Default)]
pub(super) struct Script {
    order: Option<Order>,
    let_through: usize,
    told: usize,
    teller: Option<usize>,
    places: BTreeSet<usize>,
}

impl Script {
    /// Takes an order in place of the one before.
    pub(super) fn begin(&mut self, order: Order) {
        *self = Self { order: Some(order), ..Self::default() };
    }

    /// Forgets the order; returns how many answers were altered, and the places of the addresses that did it.
    pub(super) fn end(&mut self) -> (usize, BTreeSet<usize>) {
        let Self { told, places, .. } = std::mem::take(self);
        (told, places)
    }

    /// Answers that were altered.
    pub(super) fn told(&self) -> usize {
        self.told
    }

    /// What the address at `place` may lie about now, and how often that was told.
    pub(super) fn due(&self, place: usize) -> Option<(&'static LieKind, usize)> {
        let order = self.order.as_ref()?;
        let is_teller = match order.tellers {
            Tellers::All => true,
            Tellers::First => self.teller.is_none_or(|teller| teller == place),
        };
        (is_teller && self.told < order.times).then_some((order.kind, self.told))
    }

    /// Whether the address at `place` tells a lie of `kind` that it has ready; then it counts, unless it only leads up
    /// to one (`is_told` is false).
    pub(super) fn claim(&mut self, place: usize, kind: &LieKind, is_told: bool) -> bool {
        let Some(order) = self.order else { return false };
        if self.due(place).is_none_or(|(due, _)| !std::ptr::eq(due, kind)) {
            return false;
        }
        if is_told && self.let_through < order.let_through {
            self.let_through += 1;
            return false;
        }
        self.teller = Some(place);
        if is_told {
            self.told += 1;
            self.places.insert(place);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds;
    use super::*;

    fn script(let_through: usize, times: usize, tellers: Tellers) -> Script {
        let mut script = Script::default();
        script.begin(Order { kind: kinds()[0], let_through, times, tellers });
        script
    }

    #[test]
    fn a_lie_is_told_by_the_first_and_only_as_often_as_ordered() {
        let mut script = script(1, 2, Tellers::First);
        let claims = [4, 5, 4, 5, 5].map(|place| script.claim(place, kinds()[0], true));
        assert_eq!(claims, [false, true, false, true, false], "the first is let through, and binds nobody");
        assert_eq!(script.end(), (2, BTreeSet::from([5])));
        assert!(script.due(5).is_none() && !script.claim(5, kinds()[0], true), "the order is over");
    }

    #[test]
    fn all_tell_it_if_that_is_ordered() {
        let mut script = script(0, usize::MAX, Tellers::All);
        assert_eq!([1, 2, 1].map(|place| script.claim(place, kinds()[0], true)), [true; 3]);
        assert_eq!(script.end(), (3, BTreeSet::from([1, 2])));
    }

    #[test]
    fn what_leads_up_to_a_lie_binds_and_does_not_count() {
        let mut script = script(0, 1, Tellers::First);
        assert!(script.claim(3, kinds()[0], false) && script.claim(3, kinds()[0], false));
        assert_eq!((script.told(), script.due(4).is_none()), (0, true));
        assert!(script.claim(3, kinds()[0], true) && !script.claim(3, kinds()[0], false), "it has been told");
    }

    #[test]
    fn a_lie_of_an_order_that_is_over_is_not_told() {
        let mut script = script(0, 1, Tellers::All);
        assert!(!script.claim(0, kinds()[1], true));
        assert_eq!(script.told(), 0);
    }
}
