use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::super::check;
use super::*;
use crate::literals::rewrite;
use crate::parameters::Parameters;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap()
}

/// A statement around results and items of ORDER BY.
fn select(columns: &[Value], order_by: &[Value]) -> Value {
    let orders: Vec<Value> = order_by
        .iter()
        .map(|item| json!({"type": "ORDER_DEFAULT", "null_order": "ORDER_DEFAULT", "expression": item}))
        .collect();
    json!({"error": false, "statements": [{"named_param_map": [{"key": "1", "value": 1}], "node": {
        "type": "SELECT_NODE", "modifiers": [{"type": "ORDER_MODIFIER", "orders": orders}], "cte_map": {"map": []},
        "select_list": columns, "where_clause": null, "group_expressions": [], "group_sets": [], "having": null,
        "from_table": {"type": "EMPTY", "alias": "", "sample": null, "query_location": NOWHERE},
        "aggregate_handling": "STANDARD_HANDLING", "sample": null, "qualify": null,
    }}]})
}

fn parameter(identifier: &str) -> Value {
    json!({"class": "PARAMETER", "type": "VALUE_PARAMETER", "alias": "", "query_location": NOWHERE,
           "identifier": identifier})
}

fn function(name: &str, children: &[Value]) -> Value {
    json!({"class": "FUNCTION", "type": "FUNCTION", "alias": "", "query_location": 7, "function_name": name,
           "schema": "", "catalog": "", "children": children, "filter": null, "distinct": false,
           "is_operator": false, "export_state": false,
           "order_bys": {"type": "ORDER_MODIFIER", "orders": []}})
}

fn word(names: &[&str]) -> Value {
    json!({"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "query_location": 7, "column_names": names})
}

/// The tree after the substitution, and whether it changed.
fn substituted(mut tree: Value, parameters: &Value) -> Result<(Value, bool), Refusal> {
    let statement = rewrite("").unwrap();
    let parameters = Parameters::from_json(parameters.clone()).unwrap();
    let given = Given { statement: &statement, parameters: &parameters, now: now() };
    let changed = substitute(&mut tree, &given)?;
    Ok((tree, changed))
}

/// The results of a statement after the substitution.
fn results(columns: &[Value], parameters: &Value) -> Result<Vec<Value>, Refusal> {
    let (tree, _) = substituted(select(columns, &[]), parameters)?;
    Ok(tree["statements"][0]["node"]["select_list"].as_array().unwrap().clone())
}

#[test]
fn parameters_become_constants_that_keep_their_name() {
    let found = results(&[parameter("1"), parameter("Name")], &json!({"1": 5, "name": "x"})).unwrap();
    let expected = json!([
        {"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "$1", "query_location": NOWHERE,
         "value": {"type": {"id": "INTEGER", "type_info": null}, "is_null": false, "value": 5}},
        {"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "$Name", "query_location": NOWHERE,
         "value": {"type": {"id": "VARCHAR", "type_info": null}, "is_null": false, "value": "x"}},
    ]);
    assert_eq!(json!(found), expected);
    let (tree, changed) = substituted(select(&[parameter("1")], &[]), &json!([null])).unwrap();
    assert!(changed);
    assert_eq!(tree["statements"][0]["named_param_map"], json!([]));
    let inside = results(&[function("abs", &[parameter("1")])], &json!([5])).unwrap();
    assert_eq!(inside[0]["children"][0]["alias"], "", "an alias inside a call would name an argument");
}

#[test]
fn parameters_that_do_not_fit_are_named() {
    let missing = |name: &str| Refusal::Parameter(ParameterError::Missing { name: name.to_owned() });
    assert_eq!(results(&[parameter("2")], &json!(["a"])), Err(missing("2")));
    assert_eq!(results(&[parameter("who")], &json!(null)), Err(missing("who")));
    let surplus = Refusal::Parameter(ParameterError::Surplus { name: "2".to_owned() });
    assert_eq!(results(&[parameter("1")], &json!(["a", "b"])), Err(surplus));
}

#[test]
fn a_parameter_never_stands_for_a_column() {
    let item = Refusal::Parameter(ParameterError::Item { name: "1".to_owned() });
    assert_eq!(substituted(select(&[], &[parameter("1")]), &json!([1])), Err(item.clone()));
    for list in ["group_expressions", "distinct_on_targets"] {
        let mut tree = select(&[], &[]);
        tree["statements"][0]["node"][list] = json!([parameter("1")]);
        assert_eq!(substituted(tree, &json!([1])), Err(item.clone()), "{list}");
    }
    let deeper = function("abs", &[parameter("1")]);
    assert!(substituted(select(&[], &[deeper]), &json!([1])).is_ok());
}

#[test]
fn the_present_is_one_constant() {
    let words = ["current_timestamp", "localtimestamp"].map(|name| word(&[name]));
    let columns = [&[function("now", &[]), function("TODAY", &[])], &words[..]].concat();
    let found = results(&columns, &json!(null)).unwrap();
    let value = |i: usize| (found[i]["value"]["type"]["id"].clone(), found[i]["value"]["value"].clone());
    assert_eq!(value(0), (json!("TIMESTAMP WITH TIME ZONE"), json!(1_700_000_000_123_456_i64)));
    assert_eq!(value(1), (json!("DATE"), json!(19_675)));
    assert_eq!(value(2), value(0));
    assert_eq!(value(3), (json!("TIMESTAMP"), json!(1_700_000_000_123_456_i64)));
    assert_eq!((&found[0]["alias"], &found[2]["alias"]), (&json!("now()"), &json!("current_timestamp")));
    assert_eq!(found[0]["query_location"], 7);
    let (tree, _) = substituted(select(&columns, &[]), &json!(null)).unwrap();
    assert!(!reads_the_clock(&tree));
}

#[test]
fn what_may_be_something_else_than_the_present_stays() {
    let mut named = word(&["current_date"]);
    named["alias"] = json!("current_date");
    let lambda = json!({"class": "LAMBDA", "type": "LAMBDA", "alias": "", "query_location": 7,
                        "lhs": word(&["current_date"]), "expr": word(&["current_date"])});
    let elsewhere = json!({"class": "FUNCTION", "function_name": "now", "schema": "mine", "children": []});
    for column in [
        function("now", &[word(&["a"])]),
        function("age", &[word(&["a"])]),
        function("current_localtime", &[]),
        word(&["localtime"]),
        word(&["t", "current_date"]),
        named,
        lambda,
        elsewhere,
    ] {
        let (tree, changed) = substituted(select(std::slice::from_ref(&column), &[]), &json!(null)).unwrap();
        assert!(!changed, "{column}");
        assert!(reads_the_clock(&tree), "{column}");
    }
    // A text may be what names a column.
    let text = function("from_json", &[json!({"class": "CONSTANT", "value": {"value": "{\"Current_Date\": 1}"}})]);
    assert!(!substituted(select(&[word(&["current_date"]), text], &[]), &json!(null)).unwrap().1);
}

#[test]
fn a_bare_literal_that_was_read_as_zero_is_refused() {
    let zero = json!({"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "xab", "query_location": 7,
                      "value": {"type": {"id": "INTEGER", "type_info": null}, "is_null": false, "value": 0}});
    let none = Parameters::default();
    // As if the rewriting had missed a literal.
    let judged = |sql: &str| {
        let statement = rewrite("").unwrap().with_original(sql);
        let given = Given { statement: &statement, parameters: &none, now: now() };
        substitute(&mut select(std::slice::from_ref(&zero), &[]), &given)
    };
    let refused = Err(Refusal::Construct { what: "a bare 0x literal", position: Some(7) });
    assert_eq!(judged("select 0xab"), refused);
    assert_eq!(judged("select 0 xab"), Ok(false), "a number with a name");
}

#[test]
fn a_tree_without_a_replacement_is_passed_on_byte_for_byte() {
    let statement = rewrite("select a").unwrap();
    let none = Parameters::default();
    let given = Given { statement: &statement, parameters: &none, now: now() };
    let text = format!("  {}", select(&[word(&["a"])], &[]));
    assert_eq!(check(text.clone(), &given).unwrap().text(), text);
}

proptest! {
    #[test]
    fn a_number_survives_the_writing_of_the_tree_to_the_last_bit(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let tree: Value = serde_json::from_str(&format!("{{\"value\": {number:e}}}")).unwrap();
        let again: Value = serde_json::from_str(&tree.to_string()).unwrap();
        prop_assert_eq!(again["value"].as_f64().map(f64::to_bits), Some(bits));
    }

    #[test]
    fn a_value_is_one_constant_whatever_it_holds(value in any::<String>()) {
        prop_assume!(!value.contains('\0'));
        let found = results(&[parameter("1")], &json!([{"text": value}])).unwrap();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&found[0]["class"], "CONSTANT");
        prop_assert_eq!(&found[0]["value"]["value"], &value);
    }
}
