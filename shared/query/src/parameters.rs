//! Values for the `$1`, `?` and `$name` of a statement.
//!
//! They come as JSON: a list for `$1` and `?`, an object for `$name`. Each is read once, here, into a constant, and the
//! gate puts it into the tree where DuckDB's own parser has found a parameter, never into the text that is parsed.
//!
//! Numbers are what the same digits are in SQL. A text of `0x` and hexadecimal digits is bytes; `{"text": "0x…"}` keeps
//! it a text. Values are users' own: they are never logged, and errors name the parameter only.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value, json};

/// A value, ready for the tree.
#[derive(Clone, PartialEq)]
pub(crate) enum Constant {
    Null,
    Boolean(bool),
    Integer(i128),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The values of a query's parameters, by name in lower case; those of a list are called `1`, `2` and so on.
#[derive(Clone, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Constant>);

/// What is wrong with a parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// Neither a list nor an object.
    #[error("parameters are a JSON list for $1 and ?, or a JSON object for $name")]
    Shape,
    /// Two keys that differ in case only.
    #[error("the parameter ${name} is given twice; case does not matter in names")]
    Twice {
        /// Its name in lower case.
        name: String,
    },
    /// Its value is none.
    #[error("the value of the parameter ${name} {problem}")]
    Value {
        /// Its name.
        name: String,
        /// What is wrong, beginning with a verb.
        problem: &'static str,
    },
    /// The statement has it, and no value was given.
    #[error("the statement has the parameter ${name}, but no value is given for it")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A value was given, and the statement does not have it.
    #[error("a value is given for the parameter ${name}, which the statement does not have")]
    Surplus {
        /// Its name.
        name: String,
    },
    /// It stands where a number means a column.
    #[error("the parameter ${name} cannot be an item of ORDER BY, GROUP BY or DISTINCT ON")]
    Item {
        /// Its name.
        name: String,
    },
}

impl Parameters {
    /// Reads a JSON list or object; null is none.
    ///
    /// # Errors
    /// [`ParameterError`] for another shape, a name that comes twice, or a value that is none.
    pub fn from_json(json: Value) -> Result<Self, ParameterError> {
        let named: Vec<(String, Value)> = match json {
            Value::Null => Vec::new(),
            Value::Array(values) => (1..).map(|number: usize| number.to_string()).zip(values).collect(),
            Value::Object(values) => values.into_iter().collect(),
            _ => return Err(ParameterError::Shape),
        };
        let mut constants = BTreeMap::new();
        for (name, value) in named {
            let constant = constant(value).map_err(|problem| ParameterError::Value { name: name.clone(), problem })?;
            let name = name.to_lowercase();
            if constants.insert(name.clone(), constant).is_some() {
                return Err(ParameterError::Twice { name });
            }
        }
        Ok(Self(constants))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a parameter as the statement names it.
    pub(crate) fn get(&self, name: &str) -> Option<&Constant> {
        self.0.get(&name.to_lowercase())
    }

    /// The names, in lower case.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Names only.
impl fmt::Debug for Parameters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Parameters").field(&self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// As an object that reads back to the same values.
impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, constant) in &self.0 {
            map.serialize_entry(name, &json_of(constant))?;
        }
        map.end()
    }
}

fn constant(value: Value) -> Result<Constant, &'static str> {
    match value {
        Value::Null => Ok(Constant::Null),
        Value::Bool(value) => Ok(Constant::Boolean(value)),
        Value::Number(number) => self::number(&number),
        Value::String(text) => match hexadecimal(&text)? {
            Some(bytes) => Ok(Constant::Bytes(bytes)),
            None => self::text(text),
        },
        Value::Object(mut fields) => match (fields.remove("text"), fields.is_empty()) {
            (Some(Value::String(text)), true) => self::text(text),
            _ => Err("is an object, which can only be {\"text\": \"…\"}"),
        },
        Value::Array(_) => Err("is a list; give its items as parameters of their own"),
    }
}

fn number(number: &Number) -> Result<Constant, &'static str> {
    /// Where integers end that JSON numbers carry exactly; beyond it a reader of JSON has already rounded.
    const ABOVE_U64: f64 = 18_446_744_073_709_551_616.0;
    const BELOW_I64: f64 = -9_223_372_036_854_775_808.0;

    if let Some(integer) = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)) {
        return Ok(Constant::Integer(integer));
    }
    match number.as_f64() {
        Some(double) if BELOW_I64 < double && double < ABOVE_U64 => Ok(Constant::Double(double)),
        _ => Err("is a number that JSON does not carry exactly; give it as a text and cast it, as in $1::BIGNUM"),
    }
}

fn text(text: String) -> Result<Constant, &'static str> {
    if text.contains('\0') {
        return Err("holds a character 0, which no text of SQL can hold");
    }
    Ok(Constant::Text(text))
}

/// The bytes of `0x…`; `None` if the text is something else.
fn hexadecimal(text: &str) -> Result<Option<Vec<u8>>, &'static str> {
    match text.strip_prefix("0x").map(hex::decode) {
        Some(Ok(bytes)) => Ok(Some(bytes)),
        Some(Err(hex::FromHexError::OddLength)) if text[2..].bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Err("has an odd number of digits after 0x; if it is a text, write {\"text\": \"0x…\"}")
        }
        _ => Ok(None),
    }
}

fn json_of(constant: &Constant) -> Value {
    match constant {
        Constant::Null => Value::Null,
        Constant::Boolean(value) => json!(value),
        // Every integer came from a JSON number.
        Constant::Integer(value) => Number::from_i128(*value).map_or(Value::Null, Value::Number),
        Constant::Double(value) => json!(value),
        Constant::Text(text) if text.starts_with("0x") => json!({ "text": text }),
        Constant::Text(text) => json!(text),
        Constant::Bytes(bytes) => json!(format!("0x{}", hex::encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Parameters, ParameterError> {
        Parameters::from_json(serde_json::from_str(json).unwrap())
    }

    fn first(json: &str) -> Constant {
        read(&format!("[{json}]")).unwrap().get("1").unwrap().clone()
    }

    #[test]
    fn each_kind_of_json_is_one_kind_of_constant() {
        let table = [
            ("null", Constant::Null),
            ("true", Constant::Boolean(true)),
            ("-5", Constant::Integer(-5)),
            ("18446744073709551615", Constant::Integer(u64::MAX.into())),
            ("1.5", Constant::Double(1.5)),
            ("\"it's\"", Constant::Text("it's".to_owned())),
            ("\"0xAb01\"", Constant::Bytes(vec![0xab, 1])),
            ("\"0x\"", Constant::Bytes(vec![])),
            ("\"0xzz\"", Constant::Text("0xzz".to_owned())),
            ("\"0xzzz\"", Constant::Text("0xzzz".to_owned())),
            ("{\"text\": \"0xab\"}", Constant::Text("0xab".to_owned())),
            ("{\"text\": \"0xabc\"}", Constant::Text("0xabc".to_owned())),
        ];
        for (json, expected) in table {
            assert!(first(json) == expected, "{json}");
        }
    }

    #[test]
    fn a_value_that_is_none_names_its_parameter() {
        for value in [
            "18446744073709551616",
            "-9223372036854775809",
            "1e300",
            "\"0xabc\"",
            "\"a\\u0000b\"",
            "[1]",
            "{}",
            "{\"text\": 1}",
            "{\"text\": \"a\", \"b\": 1}",
        ] {
            let error = read(&format!("{{\"Amount\": {value}}}")).unwrap_err();
            assert!(error.to_string().contains("$Amount"), "{value}: {error}");
        }
        assert_eq!(read("5"), Err(ParameterError::Shape));
        assert_eq!(read("{\"a\": 1, \"A\": 2}"), Err(ParameterError::Twice { name: "a".to_owned() }));
    }

    #[test]
    fn what_is_written_reads_back_and_debugging_shows_no_value() {
        let json = r#"{"a": null, "b": "0xab", "c": {"text": "0xab"}, "d": 18446744073709551615, "e": 0.1}"#;
        let parameters = read(json).unwrap();
        let again: Parameters = serde_json::from_str(&serde_json::to_string(&parameters).unwrap()).unwrap();
        assert!(again == parameters);
        assert_eq!(format!("{:?}", read("[\"secret\"]").unwrap()), "Parameters([\"1\"])");
        assert!(serde_json::from_str::<Parameters>("null").unwrap().is_empty());
    }
}
