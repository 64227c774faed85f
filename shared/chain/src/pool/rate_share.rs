//! The part of what an endpoint permits that one process may take, where several ask it. Pure.

/// A part of an endpoint's rate, in thousandths from 1 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateShare(u16);

impl RateShare {
    /// All of it.
    pub const WHOLE: Self = Self(1000);

    /// So many thousandths; at least one, at most all.
    pub fn of_thousand(thousandths: u16) -> Self {
        Self(thousandths.clamp(1, 1000))
    }

    /// This part of `calls`, at least one call: whoever may ask nothing at all makes no way.
    pub(crate) fn of(self, calls: usize) -> usize {
        let part = calls as u128 * u128::from(self.0) / 1000;
        usize::try_from(part).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_limit_do_not_add_up_to_more_than_it() {
        for (thousandths, calls, expected) in [(500, 25, 12), (1000, 25, 25), (0, 25, 1), (2000, 25, 25), (333, 9, 2)] {
            assert_eq!(RateShare::of_thousand(thousandths).of(calls), expected, "{thousandths} of {calls}");
        }
        assert_eq!(RateShare::WHOLE.of(usize::MAX), usize::MAX);
    }
}
