//! The file's shape as a JSON Schema (2020-12), for editors. `docs/pipeline.schema.json` is what [`json_schema`] gives.
//!
//! A schema cannot say what holds between names, whether a cron expression fires, or which time zones there are: those
//! faults are found by `isotherm plan` only.

use serde_json::{Map, Value, json};

use super::shape::{FILE, Format, Key, MAX_SECONDS, Presence, Shape, Table};

/// The schema.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    let mut schema = table(&FILE, &mut definitions);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Isotherm pipeline");
    schema["$defs"] = Value::Object(definitions);
    schema
}

fn table(table: &Table, definitions: &mut Map<String, Value>) -> Value {
    let properties: Map<String, Value> =
        table.keys.iter().map(|key| (key.name.to_owned(), property(key, definitions))).collect();
    let required: Vec<&str> = names(table, Presence::Required);
    let mut schema = json!({
        "description": table.about,
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    });
    let one_of: Vec<Value> =
        names(table, Presence::OneOf).into_iter().map(|name| json!({ "required": [name] })).collect();
    if !one_of.is_empty() {
        schema["oneOf"] = Value::Array(one_of);
    }
    let rules = rules(table.name);
    if !rules.is_empty() {
        schema["allOf"] = Value::Array(rules);
    }
    schema
}

fn names(table: &Table, presence: Presence) -> Vec<&'static str> {
    table.keys.iter().filter(|key| key.presence == presence).map(|key| key.name).collect()
}

fn property(key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = shape(&key.shape, definitions);
    let mut about = key.about.to_owned();
    if let Shape::Word(words) = key.shape {
        let meanings: Vec<String> = words.iter().map(|(word, meaning)| format!("`{word}`: {meaning}")).collect();
        about = format!("{about} {}.", meanings.join("; "));
    }
    schema["description"] = json!(about);
    match key.presence {
        Presence::Default(value) => {
            schema["default"] = serde_json::from_str(value).expect("defaults are written as JSON");
        }
        Presence::Optional => allow_null(&mut schema),
        Presence::Required | Presence::OneOf => {}
    }
    schema
}

fn allow_null(schema: &mut Value) {
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    if let Some(kind) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
}

fn shape(shape: &Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Text(format) => text(format),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Whole { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Seconds => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS }),
        Shape::Word(words) => {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            json!({ "type": "string", "enum": words })
        }
        Shape::Free => json!({ "type": "object" }),
        Shape::Texts { keys, values } => {
            json!({ "type": "object", "propertyNames": text(keys), "additionalProperties": text(values) })
        }
        Shape::List(item) => json!({ "type": "array", "items": self::shape(item, definitions) }),
        Shape::Table(inner) => {
            let definition = table(inner, definitions);
            definitions.insert(inner.name.to_owned(), definition);
            json!({ "$ref": format!("#/$defs/{}", inner.name) })
        }
    }
}

fn text(format: &Format) -> Value {
    let mut schema = json!({ "type": "string", "minLength": format.least, "maxLength": format.most });
    if let Some(pattern) = format.pattern {
        schema["pattern"] = json!(pattern);
    }
    schema
}

/// What [`super::check`] asks of one table and a schema can say.
fn rules(table: &str) -> Vec<Value> {
    let given = |key: &str| json!({ "required": [key], "not": { "properties": { key: { "type": "null" } } } });
    match table {
        "job" => vec![
            json!({
                "if": { "required": ["always_on"], "properties": { "always_on": { "const": true } } },
                "then": {
                    "properties": { "max_concurrency": { "const": 1 }, "run_timeout_seconds": { "type": "null" } },
                },
            }),
            json!({
                "if": given("partition_blocks"),
                "then": { "required": ["strategy"], "properties": { "strategy": { "const": "per_partition" } } },
            }),
        ],
        "threshold" => vec![json!({
            "if": { "required": ["measure"], "properties": { "measure": { "enum": ["rows", "bytes"] } } },
            "then": given("dataset"),
            "else": { "properties": { "dataset": { "type": "null" } } },
        })],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
