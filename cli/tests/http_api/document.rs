//! `docs/openapi.yaml`, read once.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The description of the API.
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) whole: Value,
    /// In the order of the file.
    pub(crate) operations: Vec<Operation>,
}

/// A method of a path.
pub(crate) struct Operation {
    /// As a route of `terraform/stack.yaml`: `GET /v1/whoami`.
    pub(crate) key: String,
    /// `x-isotherm-permission`; `None` for `none`.
    pub(crate) permission: Option<String>,
    /// Whether it takes calls without a token.
    pub(crate) is_open: bool,
    /// What stands under the method, with the parameters of its path beside its own.
    pub(crate) said: Value,
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

impl Document {
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(root().join("docs/openapi.yaml")).unwrap();
        // JSON objects forget the order of their keys.
        let ordered: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
        let whole: Value = serde_yaml_ng::from_str(&text).unwrap();
        let paths = ordered["paths"].as_mapping().unwrap().keys().map(|path| path.as_str().unwrap().to_owned());
        let of_path = |path: String| {
            let methods = ordered["paths"][path.as_str()].as_mapping().unwrap().keys();
            let methods = methods.map(|method| method.as_str().unwrap()).filter(|method| *method != "parameters");
            methods.map(|method| Operation::of(&whole, &path, method)).collect::<Vec<_>>()
        };
        let operations = paths.flat_map(of_path).collect();
        Self { text, whole, operations }
    }

    /// `value`, or what it refers to.
    pub(crate) fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.whole.pointer(reference.strip_prefix('#').unwrap()).expect(reference),
            None => value,
        }
    }

    /// Schema and examples of each kind of content of a request's body or an answer.
    pub(crate) fn contents<'a>(&'a self, body: &'a Value) -> Vec<(&'a str, &'a Value, Vec<&'a Value>)> {
        let kinds = self.resolved(body)["content"].as_object().into_iter().flatten();
        let content = |(kind, content): (&'a String, &'a Value)| {
            let named = content["examples"].as_object().into_iter().flatten();
            let named = named.map(|(_, example)| &self.resolved(example)["value"]);
            let examples: Vec<&Value> = content.get("example").into_iter().chain(named).collect();
            (kind.as_str(), &content["schema"], examples)
        };
        kinds.map(content).collect()
    }
}

impl Operation {
    fn of(whole: &Value, path: &str, method: &str) -> Self {
        let item = &whole["paths"][path];
        let mut said = item[method].clone();
        let shared = item["parameters"].as_array().into_iter().flatten();
        let own = said["parameters"].as_array().into_iter().flatten();
        said["parameters"] = shared.chain(own).cloned().collect();
        let key = format!("{} {path}", method.to_uppercase());
        let permission = said["x-isotherm-permission"].as_str().unwrap_or_else(|| panic!("{key} names no permission"));
        Self {
            permission: (permission != "none").then(|| permission.to_owned()),
            is_open: said["security"].as_array().is_some_and(Vec::is_empty),
            key,
            said,
        }
    }

    /// Method and path, with the examples of its parameters in the place of their names.
    pub(crate) fn example_call(&self, document: &Document) -> (String, String) {
        let (method, path) = self.key.split_once(' ').unwrap();
        let mut path = path.to_owned();
        for parameter in self.said["parameters"].as_array().unwrap() {
            let parameter = document.resolved(parameter);
            if parameter["in"] == "path" {
                let example = &parameter["example"];
                let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                path = path.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &text);
            }
        }
        assert!(!path.contains('{'), "{} has a parameter without an example", self.key);
        (method.to_owned(), path)
    }

    /// The first example of its body; `None` if it has none.
    pub(crate) fn example_body(&self, document: &Document) -> Option<Value> {
        let contents = document.contents(&self.said["requestBody"]);
        contents.first().and_then(|(_, _, examples)| examples.first().map(|example| (*example).clone()))
    }
}
