//! The environment, read once and parsed into typed values.
//!
//! A reader asks an [`Environment`] for all that it needs, then calls [`Environment::check`]: one error names *every*
//! missing or bad variable. This is the only place that reads the process's environment. What the variables are
//! called follows from the keys of `terraform/stack.yaml`; see [`settings`].
//!
//! It must never put the value of a secret into an error.

pub mod settings;

use std::collections::BTreeMap;
use std::str::FromStr;

use isotherm_types::{Classified, Disposition};

use crate::secret::Secret;

/// Variables to read from, and what was wrong with those read so far.
#[derive(Clone, Debug)]
pub struct Environment {
    values: Secret<BTreeMap<String, String>>,
    faults: Vec<VariableFault>,
}

/// A value read from an [`Environment`]; opened with the [`Checked`] that proves that nothing was wrong.
#[derive(Debug)]
pub struct Reading<T>(Option<T>);

/// Proof that every variable read so far was there and well formed.
#[derive(Debug)]
pub struct Checked(());

/// What is wrong with one variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableFault {
    /// It is not there.
    #[error("{name} is not set")]
    Missing {
        /// The variable.
        name: String,
    },
    /// It is there and empty.
    #[error("{name} is empty")]
    Empty {
        /// The variable.
        name: String,
    },
    /// Its value cannot be used.
    #[error("{name} is not {expected}")]
    Malformed {
        /// The variable.
        name: String,
        /// What it should be, such as `a whole number of seconds`.
        expected: String,
    },
}

/// Every variable that is missing or bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// One entry a variable, in the order in which they were asked for.
    pub faults: Vec<VariableFault>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the environment is incomplete")?;
        for (i, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if i == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Classified for ConfigError {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "config.invalid"
    }
}

impl Environment {
    /// The variables of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        // A variable that is not UTF-8 is none of ours; asking for it reports it as missing.
        let pairs =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_pairs(pairs)
    }

    /// Made-up variables, for tests and for starting a part by hand.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values: Secret::new(values), faults: Vec::new() }
    }

    /// A text that must be there and not be empty.
    pub fn text(&mut self, name: &str) -> Reading<String> {
        match self.values.expose().get(name) {
            Some(value) if !value.is_empty() => Reading(Some(value.clone())),
            Some(_) => self.fault(VariableFault::Empty { name: name.to_owned() }),
            None => self.fault(VariableFault::Missing { name: name.to_owned() }),
        }
    }

    /// A text that may be missing; an empty one counts as missing.
    pub fn optional_text(&mut self, name: &str) -> Reading<Option<String>> {
        Reading(Some(self.values.expose().get(name).filter(|value| !value.is_empty()).cloned()))
    }

    /// A text that must be there and must not be shown.
    pub fn secret(&mut self, name: &str) -> Reading<Secret<String>> {
        self.text(name).map(Secret::new)
    }

    /// A value parsed from a text that must be there. `expected` ends the sentence "NAME is not …".
    pub fn parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Reading<T> {
        let text = self.text(name);
        self.parse(name, text, expected)
    }

    /// As [`Environment::parsed`], for a variable that may be missing; an empty one counts as missing.
    pub fn optional_parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Reading<Option<T>> {
        match self.optional_text(name).0.flatten() {
            None => Reading(Some(None)),
            Some(text) => self.parse(name, Reading(Some(text)), expected).map(Some),
        }
    }

    /// As [`Environment::optional_parsed`], with a value for a variable that is missing or empty.
    pub fn parsed_or<T: FromStr>(&mut self, name: &str, expected: &str, default: T) -> Reading<T> {
        self.optional_parsed(name, expected).map(|value| value.unwrap_or(default))
    }

    /// A list separated by commas; missing or empty is the empty list.
    pub fn list(&mut self, name: &str) -> Reading<Vec<String>> {
        self.optional_text(name).map(|text| {
            let items = text.iter().flat_map(|text| text.split(','));
            items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        })
    }

    /// Variables whose names lie between `prefix` and `suffix`, by the part in the middle, in lower case.
    pub fn family(&mut self, prefix: &str, suffix: &str) -> Reading<BTreeMap<String, String>> {
        let members = self.values.expose().iter().filter_map(|(name, value)| {
            let middle = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
            (!value.is_empty()).then(|| (middle.to_ascii_lowercase(), value.clone()))
        });
        Reading(Some(members.collect()))
    }

    /// Variables of which `wanted` holds, name and value: what a parent passes on to its child.
    pub fn select(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let chosen = self.values.expose().iter().filter(|(name, _)| wanted(name));
        chosen.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`ConfigError`] that names every variable that was missing or bad.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        if self.faults.is_empty() { Ok(Checked(())) } else { Err(ConfigError { faults: self.faults.clone() }) }
    }

    fn parse<T: FromStr>(&mut self, name: &str, text: Reading<String>, expected: &str) -> Reading<T> {
        let Some(text) = text.0 else { return Reading(None) };
        match text.trim().parse() {
            Ok(value) => Reading(Some(value)),
            Err(_) => self.fault(VariableFault::Malformed { name: name.to_owned(), expected: expected.to_owned() }),
        }
    }

    fn fault<T>(&mut self, fault: VariableFault) -> Reading<T> {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
        Reading(None)
    }
}

impl<T> Reading<T> {
    /// Applies `change` to the value that was read.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        Reading(self.0.map(change))
    }

    /// The value, if it is good; to read another variable that depends on it.
    pub fn peek(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// Both values, or neither.
    pub fn and<U>(self, other: Reading<U>) -> Reading<(T, U)> {
        Reading(self.0.zip(other.0))
    }

    /// The value.
    ///
    /// # Panics
    /// If `checked` was made from another [`Environment`], or before this reading.
    pub fn open(self, _checked: &Checked) -> T {
        self.0.expect("an environment that passed its check has every value that was read from it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_names_every_bad_variable() {
        let mut environment = Environment::from_pairs([("EMPTY", ""), ("NUMBER", "seven"), ("GOOD", "x")]);
        let _ = environment.text("GOOD");
        let _ = environment.text("EMPTY");
        let _ = environment.text("MISSING");
        let _ = environment.parsed::<u32>("NUMBER", "a whole number");
        let error = environment.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment is incomplete: EMPTY is empty; MISSING is not set; NUMBER is not a whole number"
        );
        assert_eq!(error.code(), "config.invalid");
    }

    #[test]
    fn a_bad_secret_is_named_but_not_shown() {
        let mut environment = Environment::from_pairs([("KEY", "hunter2")]);
        let _ = environment.parsed::<u32>("KEY", "a number");
        let error = environment.check().unwrap_err();
        assert!(!format!("{environment:?} {error:?} {error}").contains("hunter2"));
    }

    #[test]
    fn good_values_open_after_the_check() {
        let mut environment =
            Environment::from_pairs([("A", "x"), ("LIST", "one, two,,"), ("Q_TASKS_NOOP_URL", "u"), ("N", " 5 ")]);
        let text = environment.text("A");
        let list = environment.list("LIST");
        let none = environment.list("NO_LIST");
        let number = environment.parsed::<u32>("N", "a number").and(environment.parsed_or("NO_N", "a number", 7_u32));
        let family = environment.family("Q_TASKS_", "_URL");
        let checked = environment.check().unwrap();
        assert_eq!(text.open(&checked), "x");
        assert_eq!(list.open(&checked), ["one", "two"]);
        assert!(none.open(&checked).is_empty());
        assert_eq!(number.open(&checked), (5, 7));
        assert_eq!(family.open(&checked)["noop"], "u");
    }
}
