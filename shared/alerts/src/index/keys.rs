//! The tables in which rows are looked up.

use std::collections::HashMap;
use std::sync::Arc;

use isotherm_types::Dataset;

use super::compiled::CompiledRule;
use crate::source::Decoder;

/// A table that is probed for every row.
///
/// foldhash takes a few nanoseconds for 20 or 32 bytes, where the standard library's `SipHash` takes some twenty, and most rows are
/// found in no table: the hash is what a row costs. Tenants choose the keys, so it is seeded anew in every process, and nobody can see
/// how long a look takes. Whoever found keys that collide all the same would slow down the rows of those keys only, by at most the
/// number of rules that an organisation may have.
type Table<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Places of rules. One list of a key, however many rules have the key.
type Places = Vec<u32>;

/// Rules of a dataset by the first topic or the selector (`N` bytes), and by address.
#[derive(Debug)]
pub(super) struct Keys<const N: usize> {
    by_first: Table<[u8; N], Behind>,
    by_address: Table<[u8; 20], Places>,
    /// Rules that every row may concern.
    everywhere: Places,
}

/// What stands behind a first topic or selector.
#[derive(Debug, Default)]
struct Behind {
    of_any_address: Places,
    by_address: Table<[u8; 20], Places>,
}

impl<const N: usize> Default for Keys<N> {
    fn default() -> Self {
        Self { by_first: Table::default(), by_address: Table::default(), everywhere: Places::new() }
    }
}

impl<const N: usize> Keys<N> {
    fn add(&mut self, place: u32, firsts: &[[u8; N]], addresses: &[[u8; 20]]) {
        match (firsts, addresses) {
            ([], []) => self.everywhere.push(place),
            ([], addresses) => {
                for address in addresses {
                    self.by_address.entry(*address).or_default().push(place);
                }
            }
            (firsts, addresses) => {
                for first in firsts {
                    let behind = self.by_first.entry(*first).or_default();
                    if addresses.is_empty() {
                        behind.of_any_address.push(place);
                    }
                    for address in addresses {
                        behind.by_address.entry(*address).or_default().push(place);
                    }
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_first.is_empty() && self.by_address.is_empty() && self.everywhere.is_empty()
    }

    /// Adds the rules that a row with this first topic or selector, and this address, may concern.
    #[inline]
    pub(super) fn look_up(&self, first: Option<&[u8]>, address: Option<&[u8]>, found: &mut Places) {
        if !self.everywhere.is_empty() {
            found.extend_from_slice(&self.everywhere);
        }
        if let Some(behind) = first.and_then(|first| self.behind(first)) {
            found.extend_from_slice(&behind.of_any_address);
            if let Some(places) = address.and_then(|address| of_address(&behind.by_address, address)) {
                found.extend_from_slice(places);
            }
        }
        if let Some(places) = address.and_then(|address| of_address(&self.by_address, address)) {
            found.extend_from_slice(places);
        }
    }

    #[inline]
    fn behind(&self, first: &[u8]) -> Option<&Behind> {
        if self.by_first.is_empty() {
            return None;
        }
        self.by_first.get(<&[u8; N]>::try_from(first.get(..N)?).ok()?)
    }
}

#[inline]
fn of_address<'table>(table: &'table Table<[u8; 20], Places>, address: &[u8]) -> Option<&'table Places> {
    if table.is_empty() {
        return None;
    }
    table.get(<&[u8; 20]>::try_from(address).ok()?)
}

/// The tables of all datasets, and what decodes their rows.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) logs: Keys<32>,
    pub(super) transactions: Keys<4>,
    pub(super) traces: Keys<4>,
    /// All of them: there is one row a block.
    pub(super) blocks: Places,
    pub(super) decoders: Vec<Arc<Decoder>>,
    /// Which of `decoders` a rule decodes by, by its place.
    pub(super) decoder_of: Vec<Option<u32>>,
}

impl Tables {
    pub(super) fn build<'rule>(rules: impl Iterator<Item = (usize, &'rule CompiledRule)>) -> Self {
        let mut tables = Self::default();
        let mut shapes: HashMap<&str, u32> = HashMap::new();
        for (place, rule) in rules {
            let parts = &rule.parts;
            if tables.decoder_of.len() <= place {
                tables.decoder_of.resize(place + 1, None);
            }
            if let Some((shape, decoder)) = &parts.decoder {
                let next = number(tables.decoders.len());
                let known = *shapes.entry(shape.as_str()).or_insert(next);
                if known == next {
                    tables.decoders.push(Arc::clone(decoder));
                }
                tables.decoder_of[place] = Some(known);
            }
            let place = number(place);
            match parts.dataset {
                Some(Dataset::Blocks) => tables.blocks.push(place),
                Some(Dataset::Transactions) => tables.transactions.add(place, &parts.selectors, &parts.addresses),
                Some(Dataset::Logs) => tables.logs.add(place, &parts.topics, &parts.addresses),
                Some(Dataset::Traces) => tables.traces.add(place, &parts.selectors, &parts.addresses),
                None => {}
            }
        }
        tables
    }

    /// Whether some rule looks at rows of `dataset`.
    pub(super) fn is_asked(&self, dataset: Dataset) -> bool {
        match dataset {
            Dataset::Blocks => !self.blocks.is_empty(),
            Dataset::Transactions => !self.transactions.is_empty(),
            Dataset::Logs => !self.logs.is_empty(),
            Dataset::Traces => !self.traces.is_empty(),
        }
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("there are fewer than 2^32 rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(keys: &Keys<4>, first: Option<&[u8]>, address: Option<&[u8]>) -> Vec<u32> {
        let mut found = Vec::new();
        keys.look_up(first, address, &mut found);
        found.sort_unstable();
        found
    }

    #[test]
    fn a_row_is_found_under_each_of_its_keys_and_under_no_other() {
        let (selector, other) = ([1, 2, 3, 4], [9; 4]);
        let (address, stranger) = ([7; 20], [8; 20]);
        let mut keys = Keys::default();
        keys.add(0, &[selector], &[address]);
        keys.add(1, &[selector], &[]);
        keys.add(2, &[], &[address]);
        keys.add(3, &[selector, other], &[address, stranger]);
        assert_eq!(look_up(&keys, Some(&[1, 2, 3, 4, 99]), Some(&address)), [0, 1, 2, 3]);
        assert_eq!(look_up(&keys, Some(&selector), Some(&[5; 20])), [1]);
        assert_eq!(look_up(&keys, Some(&selector), None), [1]);
        assert_eq!(look_up(&keys, Some(&other), Some(&stranger)), [3]);
        assert_eq!(look_up(&keys, Some(&[1, 2, 3]), Some(&address)), [2], "too short for a selector");
        assert_eq!(look_up(&keys, None, None), [0; 0]);
        keys.add(4, &[], &[]);
        assert_eq!(look_up(&keys, None, None), [4]);
        assert!(!keys.is_empty() && Keys::<4>::default().is_empty());
    }
}
