//! The fields of one JSON object, taken by name; what is left over is wrong.

use serde_json::{Map, Value};

use super::field_error::FieldError;

/// An object that is being read.
pub(super) struct Fields<'json> {
    map: &'json Map<String, Value>,
    /// What stands before the names of its fields in errors: empty, or `source.`.
    prefix: &'static str,
    known: Vec<&'static str>,
}

impl<'json> Fields<'json> {
    pub(super) fn new(map: &'json Map<String, Value>, prefix: &'static str) -> Self {
        Self { map, prefix, known: Vec::new() }
    }

    /// Path of the field `name`.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// An error about the field `name`.
    pub(super) fn error(&self, name: &str, message: impl Into<String>) -> FieldError {
        FieldError::new(self.path(name), message)
    }

    /// The value of a field; `null` is as if it were not there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'json Value> {
        self.known.push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Whether the field is there, without taking it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text of 1 to `longest` characters.
    pub(super) fn text(
        &mut self,
        name: &'static str,
        longest: usize,
        errors: &mut Vec<FieldError>,
    ) -> Option<&'json str> {
        let value = self.take(name)?;
        let problem = match value.as_str() {
            None => "it has to be a text".to_owned(),
            Some(text) if text.trim().is_empty() => {
                "it is empty; leave the field out if nothing is to be said".to_owned()
            }
            Some(text) if text.chars().nth(longest).is_some() => format!("it may have {longest} characters"),
            Some(text) if text.contains('\0') => "it has a NUL character".to_owned(),
            Some(text) => return Some(text),
        };
        errors.push(self.error(name, problem));
        None
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        (least, most): (u32, u32),
        errors: &mut Vec<FieldError>,
    ) -> Option<u32> {
        let value = self.take(name)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            errors.push(self.error(name, format!("it has to be a whole number from {least} to {most}")));
        }
        number
    }

    /// True or false.
    pub(super) fn switch(&mut self, name: &'static str, errors: &mut Vec<FieldError>) -> Option<bool> {
        let value = self.take(name)?;
        if value.as_bool().is_none() {
            errors.push(self.error(name, "it has to be true or false"));
        }
        value.as_bool()
    }

    /// A list of at most `longest` texts, no two alike, each read by `read`; one text alone counts as a list of it.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        name: &'static str,
        longest: usize,
        errors: &mut Vec<FieldError>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let texts = match value {
            Value::Array(texts) => texts.as_slice(),
            Value::String(_) => std::slice::from_ref(value),
            _ => {
                errors.push(self.error(name, "it has to be a list of texts"));
                return Vec::new();
            }
        };
        if texts.len() > longest {
            errors.push(self.error(name, format!("it has {} elements, and may have {longest}", texts.len())));
            return Vec::new();
        }
        if texts.is_empty() {
            errors.push(self.error(name, "it is empty; leave the field out if nothing is to be said"));
        }
        let mut values = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            let read = text.as_str().ok_or_else(|| "it has to be a text".to_owned()).and_then(&read);
            match read {
                Ok(value) if values.contains(&value) => {
                    errors.push(FieldError::new(format!("{}[{place}]", self.path(name)), "it is in the list already"));
                }
                Ok(value) => values.push(value),
                Err(problem) => errors.push(FieldError::new(format!("{}[{place}]", self.path(name)), problem)),
            }
        }
        values
    }

    /// Reports the fields that nobody has asked for.
    pub(super) fn finish(self, errors: &mut Vec<FieldError>) {
        for name in self.map.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let shown: String = name.chars().take(63).collect();
            let message = format!("there is no such field; there are {}", self.known.join(", "));
            errors.push(FieldError::new(self.path(&shown), message));
        }
    }
}
