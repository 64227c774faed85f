//! A JSON object read field by field, so that an error names the field.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::MalformedRequest;

/// Fields that have not been read yet.
pub(crate) struct Fields {
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The fields of `value`.
    ///
    /// # Errors
    /// [`MalformedRequest::Shape`] if it is no object.
    pub(crate) fn of(value: Value) -> Result<Self, MalformedRequest> {
        match value {
            Value::Object(left) => Ok(Self { left, known: Vec::new() }),
            _ => Err(MalformedRequest::Shape),
        }
    }

    /// A field that must be there. `expected` ends the sentence "the field is not …".
    ///
    /// # Errors
    /// [`MalformedRequest::Missing`], [`MalformedRequest::Field`].
    pub(crate) fn required<T: DeserializeOwned>(
        &mut self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<T, MalformedRequest> {
        self.optional(field, expected)?.ok_or(MalformedRequest::Missing { field })
    }

    /// A field that may be left out or null.
    ///
    /// # Errors
    /// [`MalformedRequest::Field`].
    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, MalformedRequest> {
        match self.raw(field) {
            Value::Null => Ok(None),
            value => {
                let read = serde_json::from_value(value);
                read.map(Some).map_err(|problem| MalformedRequest::Field { field, expected, problem })
            }
        }
    }

    /// A field as it is; null if it is left out.
    pub(crate) fn raw(&mut self, field: &'static str) -> Value {
        self.known.push(field);
        self.left.remove(field).unwrap_or(Value::Null)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`MalformedRequest::Unknown`] if a field is left.
    pub(crate) fn finish(self) -> Result<(), MalformedRequest> {
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((field, _)) => Err(MalformedRequest::Unknown { field, known: self.known.join(", ") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of(value).unwrap()
    }

    #[test]
    fn every_error_names_its_field() {
        let wrong = fields(json!({ "n": "x" })).required::<u64>("n", "a whole number").unwrap_err();
        assert!(wrong.to_string().starts_with("the field `n` is not a whole number"), "{wrong}");
        let missing = fields(json!({ "n": null })).required::<u64>("n", "a whole number").unwrap_err();
        assert_eq!(missing.to_string(), "the field `n` is missing");
        let mut read = fields(json!({ "n": 1, "m": 2 }));
        assert_eq!(read.optional::<u64>("n", "").unwrap(), Some(1));
        let unknown = read.finish().unwrap_err();
        assert_eq!(unknown.to_string(), "there is no field `m`; the fields are n");
        assert!(matches!(Fields::of(json!([])), Err(MalformedRequest::Shape)));
    }
}
