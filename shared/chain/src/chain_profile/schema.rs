//! The file's form as a JSON Schema (2020-12), for editors. `docs/chains.schema.json` is what [`json_schema`] gives.
//!
//! A schema cannot say that no two chains have one id or one name; the reader does.

use isotherm_types::sandbox::PLATFORM_SCHEMA;
use serde_json::{Map, Value, json};

use super::keys::{FILE, Key, MAX_NAME, Presence, Shape, Table};

/// The schema.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    let mut schema = table(&FILE, &mut definitions);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Isotherm chains");
    schema["$defs"] = Value::Object(definitions);
    schema
}

fn table(table: &Table, definitions: &mut Map<String, Value>) -> Value {
    let properties: Map<String, Value> =
        table.keys.iter().map(|key| (key.name.to_owned(), property(key, definitions))).collect();
    let required: Vec<&str> =
        table.keys.iter().filter(|key| key.presence == Presence::Required).map(|key| key.name).collect();
    let mut schema = json!({
        "description": table.about,
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    });
    if table.name == "finality" {
        schema["if"] = json!({ "properties": { "kind": { "const": "depth" } } });
        schema["then"] = json!({ "required": ["blocks"] });
        schema["else"] = json!({ "properties": { "blocks": false } });
    }
    schema
}

fn property(key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = shape(&key.shape, definitions);
    let mut about = key.about.to_owned();
    if let Shape::Word(words) = key.shape {
        let meanings: Vec<String> = words.iter().map(|(word, meaning)| format!("`{word}`: {meaning}")).collect();
        about = format!("{about} {}.", meanings.join("; "));
    }
    schema["description"] = json!(about);
    if let Presence::Default(value) = key.presence {
        schema["default"] = serde_json::from_str(value).expect("defaults are written as JSON");
    }
    schema
}

fn shape(shape: &Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Whole { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Name => {
            let not = json!({ "const": PLATFORM_SCHEMA });
            json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$", "maxLength": MAX_NAME, "not": not })
        }
        Shape::Word(words) => {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            json!({ "type": "string", "enum": words })
        }
        Shape::Check => json!({
            "oneOf": [{ "const": "never" }, { "type": "integer", "minimum": 0, "maximum": i64::MAX }],
        }),
        Shape::Table(inner) => reference(inner, definitions),
        Shape::List(inner) => json!({ "type": "array", "items": reference(inner, definitions) }),
    }
}

fn reference(inner: &Table, definitions: &mut Map<String, Value>) -> Value {
    let definition = table(inner, definitions);
    definitions.insert(inner.name.to_owned(), definition);
    json!({ "$ref": format!("#/$defs/{}", inner.name) })
}
