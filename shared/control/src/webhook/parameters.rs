//! What a task is told of a delivery.

use serde_json::{Map, Value};

use super::Refusal;
use crate::codec::storable_json;
use crate::triggers::WebhookConfig;

/// The task's parameters: what the trigger's pointers find in `body`, or all of it as `payload` if it has none.
///
/// # Errors
/// [`Refusal::NotJson`]; [`Refusal::MissingParameter`] for the first pointer, by the parameter's name, that finds nothing.
/// A `null` in the body is something.
pub fn task_input(config: &WebhookConfig, body: &[u8]) -> Result<Value, Refusal> {
    let payload: Value = serde_json::from_slice(body).map_err(|source| Refusal::NotJson { source })?;
    if config.parameters.is_empty() {
        return Ok(Value::Object(Map::from_iter([("payload".to_owned(), storable_json(&payload))])));
    }
    let found = config.parameters.iter().map(|(parameter, pointer)| match payload.pointer(pointer) {
        Some(value) => Ok((parameter.clone(), storable_json(value))),
        None => Err(Refusal::MissingParameter { parameter: parameter.clone(), pointer: pointer.clone() }),
    });
    found.collect::<Result<Map<String, Value>, Refusal>>().map(Value::Object)
}
