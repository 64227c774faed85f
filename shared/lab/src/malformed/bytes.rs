//! Bytes that were good once, and bytes that never were.

use rand::Rng;

/// Texts between these come to nest.
const OPENERS: [&[u8]; 8] = [b"[", b"{\"a\":", b"(", b"- ", b"{a: ", b"((1+", b"/*", b"!"];

/// Where readers of text and of numbers slip.
const AWKWARD: [&[u8]; 24] = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\0",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    "\u{1f4a5}".as_bytes(),
    b"-1",
    b"1e999",
    b"0x",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"115792089237316195423570985008687907853269984665640564039457584007913129639936",
    b"0.1e-400",
    b"NaN",
    b"null",
    b"true",
    b"\"\\ud800\"",
    b"\"",
    b"'",
    b"\\",
    b"\r\n",
    b"\xff\xff\xff\xff",
];

/// A source of bytes that a door may be handed.
#[derive(Clone, Debug)]
pub struct Bytes {
    good: Vec<Vec<u8>>,
    /// Words that mean something to the door.
    words: Vec<Vec<u8>>,
    most_bytes: usize,
}

impl Bytes {
    /// Draws from `good` inputs and from `words` that the door knows; an input has at most about `most_bytes`.
    ///
    /// # Panics
    /// If there is no good input.
    pub fn new(good: impl IntoIterator<Item = Vec<u8>>, words: &[&str], most_bytes: usize) -> Self {
        let good: Vec<_> = good.into_iter().collect();
        assert!(!good.is_empty(), "inputs are made of good ones");
        Self { good, words: words.iter().map(|word| word.as_bytes().to_vec()).collect(), most_bytes }
    }

    /// The next input: seven in eight are good ones with one to four changes, the others are made of nothing.
    pub fn draw(&self, random: &mut impl Rng) -> Vec<u8> {
        let mut bytes = if random.random_ratio(1, 8) { self.scratch(random) } else { self.one(random).to_vec() };
        for _ in 0..random.random_range(1..=4) {
            self.change(&mut bytes, random);
        }
        bytes.truncate(self.most_bytes);
        bytes
    }

    fn one(&self, random: &mut impl Rng) -> &[u8] {
        &self.good[random.random_range(0..self.good.len())]
    }

    fn word(&self, random: &mut impl Rng) -> &[u8] {
        let place = random.random_range(0..self.words.len() + AWKWARD.len());
        match self.words.get(place) {
            Some(word) => word,
            None => AWKWARD[place - self.words.len()],
        }
    }

    fn scratch(&self, random: &mut impl Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        if random.random_ratio(1, 3) {
            bytes.resize(random.random_range(0..400), 0);
            random.fill(bytes.as_mut_slice());
            return bytes;
        }
        for _ in 0..random.random_range(0..60) {
            bytes.extend_from_slice(self.word(random));
            let space: &&[u8] = one_of(&[b" ", b"", b"\n", b",", b": ", b"."], random);
            bytes.extend_from_slice(space);
        }
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, random: &mut impl Rng) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..64)).min(bytes.len());
        match random.random_range(0..12) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let again = bytes[at..end].repeat(random.random_range(1..=40));
                insert(bytes, at, &again);
            }
            5 => {
                let other = self.one(random);
                let (from, to) = (random.random_range(0..=other.len()), random.random_range(0..=other.len()));
                let part = other[from.min(to)..from.max(to)].to_vec();
                drop(bytes.splice(at..end, part));
            }
            6 => {
                let opener = *one_of(&OPENERS, random);
                insert(bytes, at, &opener.repeat(random.random_range(20..4_000)));
            }
            7 => {
                let letter = *one_of(b"a0\" \n\\\xff", random);
                insert(bytes, at, &vec![letter; random.random_range(1..=self.most_bytes / 4 + 1)]);
            }
            8 | 9 => {
                let word = self.word(random).to_vec();
                drop(bytes.splice(at..end, word));
            }
            10 => {
                // Lengths and counts stand in numbers of four bytes.
                let number: [u8; 4] = *one_of(&[[0xff; 4], [0xff, 0xff, 0xff, 0x7f], [0; 4], [0, 0, 0, 0x10]], random);
                for (byte, with) in bytes.iter_mut().skip(at).zip(number) {
                    *byte = with;
                }
            }
            _ => {
                let word = self.word(random).to_vec();
                insert(bytes, at, &word);
            }
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    drop(bytes.splice(at..at, more.iter().copied()));
}

fn one_of<'a, T>(list: &'a [T], random: &mut impl Rng) -> &'a T {
    &list[random.random_range(0..list.len())]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn drawn(seed: u64) -> Vec<Vec<u8>> {
        let source = Bytes::new([b"version: 1\njobs: []\n".to_vec()], &["jobs", "*a"], 10_000);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..500).map(|_| source.draw(&mut random)).collect()
    }

    #[test]
    fn inputs_repeat_by_their_seed_are_many_and_bounded() {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let distinct: BTreeSet<_> = drawn(1).into_iter().collect();
        assert!(distinct.len() > 400, "{}", distinct.len());
        assert!(distinct.iter().all(|bytes| bytes.len() <= 10_000));
        assert!(distinct.iter().any(|bytes| std::str::from_utf8(bytes).is_err()));
        assert!(distinct.iter().any(|bytes| bytes.len() > 1_000));
    }
}
