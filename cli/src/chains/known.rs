//! The chains that can be named: those of a file, and those that are built in. Pure.

use isotherm_chain::ChainProfile;
use isotherm_types::ChainId;

use crate::connected::unknown;

/// A chain with its profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownChain {
    pub(crate) profile: ChainProfile,
    pub(crate) source: Source,
}

/// Where a profile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    BuiltIn,
    File,
}

impl Source {
    /// The same, for programs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built_in",
            Self::File => "file",
        }
    }
}

/// Chains of different ids and different names.
#[derive(Debug)]
pub(crate) struct KnownChains(Vec<KnownChain>);

impl KnownChains {
    /// Those of a file, then the built-in ones whose id and name are not in it.
    pub(crate) fn of(file: Vec<ChainProfile>) -> Self {
        let is_replaced = |built_in: &ChainProfile| {
            file.iter().any(|own| own.chain_id == built_in.chain_id || own.name == built_in.name)
        };
        let mut built_in = ChainProfile::all_built_in();
        built_in.retain(|profile| !is_replaced(profile));
        let own = file.into_iter().map(|profile| KnownChain { profile, source: Source::File });
        let built_in = built_in.into_iter().map(|profile| KnownChain { profile, source: Source::BuiltIn });
        Self(own.chain(built_in).collect())
    }

    pub(crate) fn all(&self) -> &[KnownChain] {
        &self.0
    }

    /// The one whose name is `word`, else the one whose id it is.
    pub(crate) fn named(&self, word: &str) -> Option<&KnownChain> {
        let by_name = self.0.iter().find(|chain| chain.profile.name == word);
        by_name.or_else(|| self.0.iter().find(|chain| chain.profile.chain_id.0.to_string() == word))
    }

    /// The one of this id.
    pub(crate) fn of_id(&self, chain_id: ChainId) -> Option<&KnownChain> {
        self.0.iter().find(|chain| chain.profile.chain_id == chain_id)
    }

    /// What to say of a word that names none.
    pub(crate) fn unknown(&self, word: &str) -> anyhow::Error {
        let there: Vec<String> =
            self.0.iter().map(|chain| format!("{} ({})", chain.profile.name, chain.profile.chain_id.0)).collect();
        unknown("chain", word, &there)
    }
}

#[cfg(test)]
mod tests {
    use isotherm_chain::Finality;

    use super::*;

    fn profile(chain_id: u64, name: &str) -> ChainProfile {
        ChainProfile::unknown(ChainId(chain_id), name.to_owned(), Finality::Tags {})
    }

    fn words(known: &KnownChains) -> Vec<(u64, &str, &str)> {
        known.0.iter().map(|one| (one.profile.chain_id.0, one.profile.name.as_str(), one.source.as_str())).collect()
    }

    #[test]
    fn a_file_wins_over_what_is_built_in_by_id_and_by_name() {
        let known = KnownChains::of(vec![profile(5, "five"), profile(143, "mine"), profile(6, "ethereum")]);
        assert_eq!(
            words(&known),
            [
                (5, "five", "file"),
                (143, "mine", "file"),
                (6, "ethereum", "file"),
                (10_143, "monad-testnet", "built_in"),
                (31_337, "anvil", "built_in"),
            ]
        );
    }

    #[test]
    fn a_chain_is_named_by_its_name_or_its_id() {
        let known = KnownChains::of(vec![profile(5, "five"), profile(6, "5")]);
        let id = |word: &str| known.named(word).map(|chain| chain.profile.chain_id.0);
        let found = ["five", "5", "6", "143", "monad", "0143", "+143", "Monad", ""].map(id);
        assert_eq!(found, [Some(5), Some(6), Some(6), Some(143), Some(143), None, None, None, None]);
        assert_eq!(known.of_id(ChainId(5)).unwrap().profile.name, "five");
    }

    #[test]
    fn an_unknown_chain_is_answered_with_those_that_are_there() {
        let error = KnownChains::of(vec![profile(5, "five")]).unknown("six").to_string();
        assert_eq!(
            error,
            "there is no chain called \"six\"; there are: five (5), monad (143), monad-testnet (10143), ethereum (1), \
             anvil (31337)"
        );
    }
}
