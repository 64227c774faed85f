//! Trees that no parser made: what a sandbox gets if its parent is fooled.

use serde_json::{Value, json};

/// Trees as text, each with its name.
pub(crate) fn trees(file: &str, out: &str) -> Vec<(&'static str, String)> {
    let read = function("read_text", &[text(file)]);
    let mut doubled = statement(&[constant(1)], &empty());
    let copy = doubled["statements"][0].clone();
    doubled["statements"].as_array_mut().unwrap().push(copy);
    let break_out = format!("x\") FROM (SELECT 1)) AS answer(c0); COPY (SELECT 1) TO '{out}/forged.csv'; --");
    let mut aliased = constant(1);
    aliased["alias"] = json!(break_out);
    let mut raw = constant(1);
    raw["value"]["value"] = json!(format!("1) AS answer(c0); COPY (SELECT 1) TO '{out}/raw.csv'; --"));
    let query = function("query", &[text(&format!("from '{file}'"))]);
    let quoted = text(&format!("'); COPY (SELECT 1) TO '{out}/quoted.csv'; --"));
    let named = function(&format!("abs(1)); COPY (SELECT 1) TO '{out}/named.csv'; --"), &[constant(1)]);
    let mut cast = json!({
        "class": "CAST", "type": "OPERATOR_CAST", "alias": "", "query_location": 0, "try_cast": false,
        "child": text("x"), "cast_type": {"id": "VARCHAR", "type_info": null},
    });
    cast["cast_type"]["type_info"] =
        json!({"type": "ENUM_TYPE_INFO", "alias": format!("a); COPY (SELECT 1) TO '{out}/cast.csv'; --")});
    let unknown = json!({"node": {"type": "INSERT_NODE"}, "named_param_map": []});
    let unquoted = "a\"; DROP VIEW blocks; --";
    let trees = [
        ("a table function", statement(&[star()], &table_function(&read))),
        ("a relation that is a file", statement(&[star()], &base_table("", "", file))),
        ("a relation of the catalogue", statement(&[star()], &base_table("system", "main", "duckdb_settings"))),
        ("a function of the system", statement(&[function("getenv", &[text("HOME")])], &empty())),
        ("two statements", doubled),
        ("an alias that closes its quotes", statement(&[aliased], &empty())),
        ("a number that is text", statement(&[raw], &empty())),
        ("a text that closes its quotes", statement(&[quoted], &empty())),
        ("a function whose name is a statement", statement(&[named], &empty())),
        ("a type whose name is a statement", statement(&[cast], &empty())),
        ("a relation whose name closes its quotes", statement(&[star()], &base_table("", "", unquoted))),
        ("a query of a text", statement(&[star()], &table_function(&query))),
        ("no select list", statement(&[], &empty())),
        ("an unknown node", json!({"error": false, "statements": [unknown]})),
        ("no statement", json!({"error": false, "statements": []})),
        ("an error", json!({"error": true, "error_message": "x"})),
        ("a list", json!([1, 2])),
    ];
    let mut forged: Vec<(&str, String)> = trees.into_iter().map(|(name, tree)| (name, tree.to_string())).collect();
    forged.push(("no tree but a statement", format!("COPY (SELECT 1) TO '{out}/statement.csv'")));
    forged.push(("deeper than any parser goes", "[".repeat(20_000)));
    forged
}

fn statement(columns: &[Value], from: &Value) -> Value {
    json!({"error": false, "statements": [{"named_param_map": [], "node": {
        "type": "SELECT_NODE", "modifiers": [], "cte_map": {"map": []}, "select_list": columns, "from_table": from,
        "where_clause": null, "group_expressions": [], "group_sets": [], "aggregate_handling": "STANDARD_HANDLING",
        "having": null, "sample": null, "qualify": null,
    }}]})
}

fn empty() -> Value {
    json!({"type": "EMPTY", "alias": "", "sample": null, "query_location": 0})
}

fn base_table(catalog: &str, schema: &str, name: &str) -> Value {
    json!({"type": "BASE_TABLE", "alias": "", "sample": null, "query_location": 0, "schema_name": schema,
           "table_name": name, "column_name_alias": [], "catalog_name": catalog, "at_clause": null})
}

fn table_function(function: &Value) -> Value {
    json!({"type": "TABLE_FUNCTION", "alias": "", "sample": null, "query_location": 0, "function": function,
           "column_name_alias": [], "with_ordinality": "WITHOUT_ORDINALITY"})
}

fn function(name: &str, arguments: &[Value]) -> Value {
    json!({"class": "FUNCTION", "type": "FUNCTION", "alias": "", "query_location": 0, "function_name": name,
           "schema": "", "catalog": "", "children": arguments, "filter": null,
           "order_bys": {"type": "ORDER_MODIFIER", "orders": []}, "distinct": false, "is_operator": false,
           "export_state": false})
}

fn star() -> Value {
    json!({"class": "STAR", "type": "STAR", "alias": "", "query_location": 0, "relation_name": "", "exclude_list": [],
           "replace_list": [], "columns": false, "expr": null, "qualified_exclude_list": [], "rename_list": []})
}

fn constant(value: u64) -> Value {
    json!({"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "query_location": 0,
           "value": {"type": {"id": "INTEGER", "type_info": null}, "is_null": false, "value": value}})
}

fn text(value: &str) -> Value {
    json!({"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "query_location": 0,
           "value": {"type": {"id": "VARCHAR", "type_info": null}, "is_null": false, "value": value}})
}
