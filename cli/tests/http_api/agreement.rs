//! The description agrees with the stack file, with the functions' tables, with the list of errors and with itself.

use std::collections::{BTreeMap, BTreeSet};

use boon::{Compiler, Schemas};
use isotherm_access::Permission;
use serde_json::{Value, json};

use crate::document::{Document, root};

#[test]
fn the_paths_are_the_routes_of_the_stack_file_in_its_order() {
    let stack = std::fs::read_to_string(root().join("terraform/stack.yaml")).unwrap();
    let (_, routes) = stack.split_once("\nroutes:\n").unwrap();
    let lines = routes.lines().take_while(|line| line.starts_with("  "));
    let routes: Vec<&str> = lines.map(|line| line.trim().split_once(": {").expect(line).0).collect();
    let document = Document::read();
    let described: BTreeSet<&str> = document.operations.iter().map(|operation| operation.key.as_str()).collect();
    let served: BTreeSet<&str> = routes.iter().copied().collect();
    assert_eq!(described, served);
    assert_eq!(document.operations.len(), routes.len(), "none is described twice");

    let paths = |keys: Vec<&str>| -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        for path in keys.into_iter().map(|key| key.split_once(' ').unwrap().1) {
            if !paths.iter().any(|known| known == path) {
                paths.push(path.to_owned());
            }
        }
        paths
    };
    let keys = document.operations.iter().map(|operation| operation.key.as_str()).collect();
    assert_eq!(paths(keys), paths(routes));
}

/// Permission of each route by the code; outer `None` for those that take calls without a token.
fn enforced() -> BTreeMap<&'static str, Option<Option<Permission>>> {
    let api = lambda_api::Route::ALL.map(|route| (route.key(), Some(route.permission())));
    let query = lambda_query::Route::ALL.map(|route| (route.key(), Some(Some(route.permission()))));
    let open = [lambda_api::description::ROUTE, lambda_trigger_webhook::ROUTE].map(|key| (key, None));
    api.into_iter().chain(query).chain(open).collect()
}

#[test]
fn each_operation_names_the_permission_that_its_function_asks_for() {
    let enforced = enforced();
    let document = Document::read();
    assert_eq!(document.operations.len(), enforced.len());
    for operation in &document.operations {
        let by_code = enforced[operation.key.as_str()];
        assert_eq!(operation.is_open, by_code.is_none(), "{}", operation.key);
        let by_code = by_code.flatten().map(|permission| permission.as_str().to_owned());
        assert_eq!(operation.permission, by_code, "{}", operation.key);
        for status in ["401", "403"] {
            let is_told = operation.said["responses"][status]["$ref"].is_string();
            assert!(is_told || operation.is_open, "{} can be answered with {status}", operation.key);
        }
    }
}

fn is_code(text: &str) -> bool {
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    text.split_once('.').is_some_and(|(family, name)| is_word(family) && is_word(name))
}

#[test]
fn the_codes_that_are_named_are_in_the_list_of_errors() {
    let list = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let known: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|code| is_code(code))
        .collect();
    let document = Document::read();
    let quoted = document.text.split('`').skip(1).step_by(2).filter(|text| is_code(text)).map(str::to_owned);
    let mut named: BTreeSet<String> = quoted.collect();
    codes_of_examples(&document.whole, &mut named);
    assert!(named.len() > 50, "codes were found: {named:?}");
    let unknown: Vec<_> = named.iter().filter(|code| !known.contains(code.as_str())).collect();
    assert!(unknown.is_empty(), "not in docs/errors.md: {unknown:?}");
}

fn codes_of_examples(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let code = fields.get("code").and_then(Value::as_str);
            found.extend(code.filter(|code| is_code(code)).map(str::to_owned));
            fields.values().for_each(|field| codes_of_examples(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| codes_of_examples(item, found)),
        _ => {}
    }
}

#[test]
fn every_body_and_answer_has_an_example_that_fits_its_schema() {
    let document = Document::read();
    let mut bodies = Vec::new();
    for operation in &document.operations {
        bodies.push((format!("the request of {}", operation.key), &operation.said["requestBody"]));
        for (status, answer) in operation.said["responses"].as_object().unwrap() {
            bodies.push((format!("{status} of {}", operation.key), answer));
        }
    }
    let mut fitted = 0;
    for (what, body) in &bodies {
        for (kind, schema, examples) in document.contents(body) {
            assert!(!examples.is_empty(), "{what} has no example as {kind}");
            let judge = Judge::of(schema, &document);
            for example in examples {
                judge.check(example, what);
                fitted += 1;
            }
        }
    }
    for operation in &document.operations {
        for parameter in operation.said["parameters"].as_array().unwrap() {
            let parameter = document.resolved(parameter);
            if let Some(example) = parameter.get("example") {
                Judge::of(&parameter["schema"], &document).check(example, &operation.key);
            }
        }
    }
    assert!(fitted > 100, "examples were found: {fitted}");
}

/// A schema of the document, ready to judge.
struct Judge {
    schemas: Schemas,
    schema: boon::SchemaIndex,
}

impl Judge {
    fn of(schema: &Value, document: &Document) -> Self {
        // References lead from the root of the resource, where the components have to be.
        let resource = json!({ "allOf": [schema], "components": document.whole["components"] });
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.enable_format_assertions();
        compiler.add_resource("schema.json", resource).unwrap();
        let schema = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, schema }
    }

    fn check(&self, example: &Value, what: &str) {
        let judged = self.schemas.validate(example, self.schema);
        assert!(judged.is_ok(), "an example of {what}: {:#}", judged.unwrap_err());
    }
}

#[test]
fn an_example_that_does_not_fit_is_noticed() {
    let document = Document::read();
    let judge = Judge::of(&json!({ "$ref": "#/components/schemas/PlainError" }), &document);
    let fits = |example: Value| judge.schemas.validate(&example, judge.schema).is_ok();
    assert!(fits(json!({ "code": "api.no_route", "message": "m" })));
    assert!(!fits(json!({ "code": "api.no_route" })));
    assert!(!fits(json!({ "code": "api.no_route", "message": "m", "hint": "h" })));
}
