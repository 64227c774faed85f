//! Parameters of a statement, as they are typed.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use anyhow::bail;
use serde_json::Value;

use super::lexer::{self, Kind};

/// Digits that a binary floating-point number keeps.
const EXACT_DIGITS: usize = 15;

/// `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    name: String,
    value: Value,
}

/// All of a request, by name or by place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parameters(BTreeMap<String, Value>);

impl Parameter {
    /// Of a name and the text of its value.
    ///
    /// # Errors
    /// A sentence, if the name is none.
    pub(super) fn new(name: &str, value: &str) -> Result<Self, String> {
        let is_word = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            && !name.starts_with(|first: char| first.is_ascii_digit());
        if name.is_empty() || !(is_place(name) || is_word) {
            return Err(format!("{name:?} is no name of a parameter: write letters, digits and _, or a place from 1"));
        }
        Ok(Self { name: name.to_owned(), value: parse_value(value) })
    }
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
        Self::new(name, value)
    }
}

/// Whether a name is that of the first, second … `?`.
fn is_place(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_digit()) && !name.starts_with('0')
}

/// JSON if it is JSON, else text. A number that would be rounded stays text, which the server reads exactly.
fn parse_value(text: &str) -> Value {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) if number.is_f64() && digits > EXACT_DIGITS => Value::String(text.trim().to_owned()),
        Ok(value) => value,
        Err(_) => Value::String(text.to_owned()),
    }
}

impl Parameters {
    /// Adds one, or puts another value in its place.
    pub(super) fn set(&mut self, parameter: Parameter) {
        self.0.insert(parameter.name, parameter.value);
    }

    /// Takes one away; whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Names and values, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Those that `sql` has: the server refuses a statement that is given others.
    pub(super) fn used_in(&self, sql: &str) -> Self {
        let tokens = lexer::tokens(sql);
        let (mut named, mut last_place) = (BTreeSet::new(), 0_usize);
        for (i, token) in tokens.iter().enumerate() {
            let name = match &sql[token.range()] {
                // It has the place behind the last one before it.
                "?" => last_place.saturating_add(1).to_string(),
                "$" => match tokens.get(i + 1) {
                    Some(next) if matches!(next.kind, Kind::Word | Kind::Number) => sql[next.range()].to_lowercase(),
                    _ => continue,
                },
                _ => continue,
            };
            last_place = last_place.max(name.parse().unwrap_or(0));
            named.insert(name);
        }
        let used = self.iter().filter(|(name, _)| named.contains(&name.to_lowercase()));
        Self(used.map(|(name, value)| (name.to_owned(), value.clone())).collect())
    }

    /// The field `parameters` of a request: a list of the places from 1 on, else an object, which can leave places out;
    /// nothing without any.
    ///
    /// # Errors
    /// If places are mixed with names.
    pub(super) fn to_json(&self) -> anyhow::Result<Option<Value>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let places: BTreeMap<usize, &Value> =
            self.0.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value))).collect();
        if !places.is_empty() && places.len() != self.0.len() {
            bail!("parameters have either names or places, not both: {}", self.names());
        }
        if !places.is_empty() && places.keys().copied().eq(1..=places.len()) {
            return Ok(Some(places.into_values().cloned().collect()));
        }
        Ok(Some(Value::Object(self.0.clone().into_iter().collect())))
    }

    fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl FromIterator<Parameter> for Parameters {
    fn from_iter<I: IntoIterator<Item = Parameter>>(parameters: I) -> Self {
        let mut all = Self::default();
        parameters.into_iter().for_each(|parameter| all.set(parameter));
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(texts: &[&str]) -> Parameters {
        texts.iter().map(|text| text.parse::<Parameter>().unwrap()).collect()
    }

    #[test]
    fn a_value_is_json_or_text() {
        let table = [
            ("a=5", json!(5)),
            ("a=-5", json!(-5)),
            ("a=1.5", json!(1.5)),
            ("a=true", json!(true)),
            ("a=null", json!(null)),
            ("a=", json!("")),
            ("a=\"5\"", json!("5")),
            ("a=0xAb", json!("0xAb")),
            ("a=b=c", json!("b=c")),
            ("a=two words", json!("two words")),
            ("a=[1, \"x\"]", json!([1, "x"])),
        ];
        for (text, value) in table {
            assert_eq!(of(&[text]).to_json().unwrap().unwrap()["a"], value, "{text}");
        }
    }

    #[test]
    fn no_number_is_rounded() {
        let largest = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        for text in [largest, "0.1234567890123456789"] {
            assert_eq!(of(&[&format!("a={text}")]).to_json().unwrap().unwrap()["a"], json!(text));
        }
        assert_eq!(of(&["a=18446744073709551615"]).to_json().unwrap().unwrap()["a"], json!(u64::MAX));
    }

    #[test]
    fn places_make_a_list_and_names_an_object() {
        assert_eq!(of(&[]).to_json().unwrap(), None);
        let ten = of(&["2=b", "1=a", "10=j", "3=", "4=", "5=", "6=", "7=", "8=", "9="]).to_json().unwrap();
        assert_eq!(ten, Some(json!(["a", "b", "", "", "", "", "", "", "", "j"])));
        assert_eq!(of(&["x=1", "x=2"]).to_json().unwrap(), Some(json!({ "x": 2 })), "the last one counts");
        assert_eq!(of(&["2=b"]).to_json().unwrap(), Some(json!({ "2": "b" })), "no list begins with the second");
        assert!(of(&["1=a", "x=b"]).to_json().is_err());
    }

    #[test]
    fn a_statement_is_given_the_parameters_that_it_has() {
        let names = of(&["a=1", "b=2"]);
        assert_eq!(names.used_in("select $A, '$b' -- $b"), of(&["a=1"]));
        assert_eq!(names.used_in("select 1"), Parameters::default());
        let places = of(&["1=a", "2=b"]);
        let table: [(&str, &[&str]); 7] = [
            ("select ?, ?", &["1=a", "2=b"]),
            ("select ? + $2", &["1=a", "2=b"]),
            ("select $1, ?, ?", &["1=a", "2=b"]),
            ("select ?, '?' -- ?", &["1=a"]),
            ("select $1 + $1", &["1=a"]),
            ("select $2", &["2=b"]),
            ("select '?', $b", &[]),
        ];
        for (sql, used) in table {
            assert_eq!(places.used_in(sql), of(used), "{sql}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "=1", "a", "0=1", "1a=1", "a-b=1", "ä=1", " a=1"] {
            assert!(bad.parse::<Parameter>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_text_comes_through_unchanged(text in "[a-zA-Z0-9 =;'\\\\]{0,20}") {
            let value = of(&[&format!("a={text}")]).to_json().unwrap().unwrap()["a"].clone();
            match serde_json::from_str::<Value>(&text) {
                Ok(_) => prop_assert!(!value.is_object()),
                Err(_) => prop_assert_eq!(value, json!(text)),
            }
        }
    }
}
