//! A JSON object none of whose names is there twice.
//!
//! Of two equal names most readers take the last one, some the first: an issuer and we could read two different tokens.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::TokenFault;

/// What the error of a second equal name says; told from other faults by this text.
const TWICE: &str = "a name is there twice";

/// Its names and values.
#[derive(Debug)]
pub(super) struct UniqueObject(BTreeMap<String, Value>);

impl UniqueObject {
    pub(super) fn parse(json: &[u8]) -> Result<Self, TokenFault> {
        serde_json::from_slice(json).map_err(|error| {
            if error.to_string().starts_with(TWICE) { TokenFault::DuplicateName } else { TokenFault::Malformed }
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
}

impl<'de> Deserialize<'de> for UniqueObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = UniqueObject;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<UniqueObject, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(UniqueObject(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_a_name_twice_is_none() {
        let object = UniqueObject::parse(br#"{"a":"x","b":{"a":1,"a":2}}"#).unwrap();
        assert_eq!((object.text("a"), object.text("b"), object.text("c")), (Some("x"), None, None));
        for json in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#] {
            assert_eq!(UniqueObject::parse(json.as_bytes()).unwrap_err(), TokenFault::DuplicateName, "{json}");
        }
        for json in ["", "[]", "1", "{}x", "{", "null", "\"a\""] {
            assert_eq!(UniqueObject::parse(json.as_bytes()).unwrap_err(), TokenFault::Malformed, "{json}");
        }
    }
}
