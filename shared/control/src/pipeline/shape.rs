//! What a pipeline file may hold: every key with its type, range, default and meaning.
//!
//! The reader ([`super::fit`]), the JSON Schema ([`super::schema`]) and the test of `docs/pipeline.md` follow from these
//! tables. What the values must be to each other is in [`super::check`].

mod formats;
mod tables;

pub(super) use formats::misfit;
pub(super) use tables::{FILE, THRESHOLD, TRIGGER, is_measure};

/// A mapping whose keys are known.
#[derive(Debug)]
pub(super) struct Table {
    /// What it is called in the schema.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

impl Table {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The known key that `name` looks like a slip of.
    pub(super) fn resembling(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.keys.iter().map(|key| key.name))
    }
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    pub(super) shape: Shape,
    /// With its unit.
    pub(super) about: &'static str,
}

/// Whether a key must be there, and what its absence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    /// Absent is the same as this, which is JSON.
    Default(&'static str),
    /// Absent has a meaning of its own, and so has `null`, the same one.
    Optional,
    /// One of the keys of this kind has to be there.
    OneOf,
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Shape {
    Text(&'static Format),
    Flag,
    /// A whole number from `least` to `most`.
    Whole {
        least: i64,
        most: i64,
    },
    /// Seconds above 0, at most [`MAX_SECONDS`], fractions allowed.
    Seconds,
    /// One of a closed list of words, each with its meaning.
    Word(&'static [(&'static str, &'static str)]),
    /// A mapping of anything.
    Free,
    /// A mapping whose keys are the user's.
    Texts {
        keys: &'static Format,
        values: &'static Format,
    },
    List(&'static Shape),
    Table(&'static Table),
}

/// At most 366 days, so that it stays a span that Postgres and Rust can hold.
pub(super) const MAX_SECONDS: u32 = 366 * 86_400;

/// A form of text.
#[derive(Debug)]
pub(super) struct Format {
    /// ECMA-262, anchored: all that the schema can say.
    pub(super) pattern: Option<&'static str>,
    /// Characters.
    pub(super) least: usize,
    /// Characters.
    pub(super) most: usize,
    /// What is wrong with a text, as the end of a sentence that begins with what it is.
    pub(super) check: fn(&str) -> Result<(), String>,
}

/// The one of `known` that `word` looks like a slip of: a third of its letters may be wrong, three at most.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().take(100).count();
    if length >= 100 {
        return None;
    }
    let bound = (length.div_ceil(3)).min(3);
    let near = known.filter(|candidate| candidate.len().abs_diff(length) <= bound);
    let scored = near.map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    scored
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?`, or nothing.
pub(super) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|suggestion| format!("; did you mean `{suggestion}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::tables::JOB;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let cases = [
            ("operatr", Some("operator")),
            ("max_atempts", Some("max_attempts")),
            ("piority", Some("priority")),
            ("nmae", Some("name")),
            ("retries", None),
            ("x", None),
            ("", None),
        ];
        for (word, wanted) in cases {
            assert_eq!(JOB.resembling(word), wanted, "{word}");
        }
        assert_eq!(JOB.resembling(&"x".repeat(1_000_000)), None);
    }
}
