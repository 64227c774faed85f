//! The walk over the tree: every node as its shape says, and which names are in scope where.
//!
//! A field that a node's shape does not list is refused, so that a part of SQL that this program has never seen
//! cannot pass unread.

use serde_json::{Map, Value};

use super::shapes::{self, Field, Fields};
use super::{Named, Refusal, functions};
use crate::platform_tables::PlatformTable;
use crate::relation::RelationName;

type Node = Map<String, Value>;

/// Checks a whole tree and returns what it names.
pub(super) fn walk(tree: &Value) -> Result<Named, Refusal> {
    let statements = tree
        .get("statements")
        .and_then(Value::as_array)
        .filter(|_| tree.get("error") == Some(&Value::Bool(false)))
        .ok_or_else(|| unknown("a tree without statements", None))?;
    let [statement] = statements.as_slice() else {
        return Err(Refusal::StatementCount { count: statements.len() });
    };
    let mut walk = Walk::default();
    walk.statement(statement)?;
    Ok(walk.named)
}

/// The first place where `name`, possibly dotted, is a column, a function or a relation.
pub(super) fn position_of(tree: &Value, name: &str) -> Option<u64> {
    match tree {
        Value::Array(values) => values.iter().find_map(|value| position_of(value, name)),
        Value::Object(node) => {
            let column = || -> Option<String> {
                let names = node.get("column_names")?.as_array()?;
                Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("."))
            };
            let is =
                |key: &str| node.get(key).and_then(Value::as_str).is_some_and(|own| own.eq_ignore_ascii_case(name));
            let named =
                is("function_name") || is("table_name") || column().is_some_and(|own| own.eq_ignore_ascii_case(name));
            if named && let Some(position) = position(node) {
                return Some(position);
            }
            node.values().find_map(|value| position_of(value, name))
        }
        _ => None,
    }
}

#[derive(Default)]
struct Walk {
    named: Named,
    /// Common table expressions that can be named here, in lower case. Never more than DuckDB itself would see, for
    /// which only letters of ASCII have a lower case.
    in_scope: Vec<String>,
}

impl Walk {
    fn statement(&mut self, value: &Value) -> Result<(), Refusal> {
        self.fields(object(value, "a statement")?, &[], shapes::STATEMENT)
    }

    fn query(&mut self, value: &Value) -> Result<(), Refusal> {
        let node = object(value, "a query")?;
        let node_type = text(node, "type");
        let own = shapes::query(node_type).ok_or_else(|| unknown(node_type, None))?;
        let outer = self.in_scope.len();
        self.fields(node, shapes::ANY_QUERY, own)?;
        if node_type == "RECURSIVE_CTE_NODE" {
            // The right side of a recursion may name the table that it defines; nothing else of it may.
            self.name_in_scope(text(node, "cte_name"))?;
            self.query(node.get("right").unwrap_or(&Value::Null))?;
        }
        self.in_scope.truncate(outer);
        Ok(())
    }

    fn relation(&mut self, value: &Value) -> Result<(), Refusal> {
        if value.is_null() {
            return Ok(());
        }
        let node = object(value, "a relation")?;
        let position = position(node);
        match text(node, "type") {
            "BASE_TABLE" => self.base_table(node)?,
            "TABLE_FUNCTION" => refuse_table_function(node)?,
            "SHOW_REF" => return Err(Refusal::Construct { what: "DESCRIBE, SHOW or SUMMARIZE", position }),
            "PIVOT" => return Err(Refusal::Construct { what: "PIVOT or UNPIVOT", position }),
            _ => {}
        }
        let own = shapes::relation(text(node, "type")).ok_or_else(|| unknown(text(node, "type"), position))?;
        self.fields(node, shapes::ANY_RELATION, own)
    }

    fn base_table(&mut self, node: &Node) -> Result<(), Refusal> {
        let parts = ["catalog_name", "schema_name", "table_name"].map(|key| text(node, key));
        let [catalog, schema, name] = parts;
        let refusal = || Refusal::Relation {
            name: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("."),
            position: position(node),
        };
        if !catalog.is_empty() {
            return Err(refusal());
        }
        if schema.is_empty() && self.in_scope.contains(&name.to_ascii_lowercase()) {
            return Ok(());
        }
        if let Some(table) = PlatformTable::named(schema, name) {
            self.named.tables.entry(table).or_insert_with(|| position(node));
            return Ok(());
        }
        let relation = RelationName::of(schema, name).ok_or_else(refusal)?;
        self.named.relations.entry(relation).or_insert_with(|| position(node));
        Ok(())
    }

    fn expression(&mut self, value: &Value) -> Result<(), Refusal> {
        if value.is_null() {
            return Ok(());
        }
        let node = object(value, "an expression")?;
        let position = position(node);
        match text(node, "class") {
            "FUNCTION" | "WINDOW" => refuse_function(node)?,
            // Each has become a constant before this walk.
            "PARAMETER" => return Err(Refusal::Construct { what: "a parameter ($1, ?)", position }),
            "DEFAULT" => return Err(Refusal::Construct { what: "DEFAULT", position }),
            _ => {}
        }
        let own = shapes::expression(text(node, "class")).ok_or_else(|| unknown(text(node, "class"), position))?;
        self.fields(node, shapes::ANY_EXPRESSION, own)
    }

    fn modifier(&mut self, value: &Value) -> Result<(), Refusal> {
        let node = object(value, "a modifier")?;
        let own = shapes::modifier(text(node, "type")).ok_or_else(|| unknown(text(node, "type"), None))?;
        self.fields(node, &[], own)
    }

    /// Reads every field of `node` as its shape says.
    fn fields(&mut self, node: &Node, shared: Fields, own: Fields) -> Result<(), Refusal> {
        if let Some(tables) = node.get("cte_map") {
            self.common_tables(tables)?;
        }
        for (key, value) in node {
            match shared.iter().chain(own).find(|(name, _)| name == key) {
                Some((_, field)) => self.field(key, *field, value)?,
                None => return Err(unknown(&format!("field {key}"), position(node))),
            }
        }
        Ok(())
    }

    fn field(&mut self, key: &str, field: Field, value: &Value) -> Result<(), Refusal> {
        match field {
            Field::Plain => refuse_hidden_expression(value),
            Field::Absent if value.is_null() || value == &Value::Bool(false) => Ok(()),
            Field::Absent => Err(unknown(&format!("field {key}"), None)),
            Field::Expression => self.expression(value),
            Field::Expressions => each(value, key, |value| self.expression(value)),
            Field::Relation => self.relation(value),
            Field::Statement => self.statement(value),
            Field::Query => self.query(value),
            Field::Rows => each(value, key, |row| each(row, key, |value| self.expression(value))),
            Field::CaseChecks => each(value, key, |check| self.fields(object(check, key)?, &[], shapes::CASE_CHECK)),
            Field::Replacements => each(value, key, |pair| self.fields(object(pair, key)?, &[], shapes::REPLACEMENT)),
            Field::Orders => each(value, key, |order| self.fields(object(order, key)?, &[], shapes::ORDER)),
            Field::Modifiers => each(value, key, |modifier| self.modifier(modifier)),
            Field::Modifier => self.modifier(value),
            // Common tables were read first, by `fields`.
            Field::CommonTables | Field::Elsewhere => Ok(()),
        }
    }

    /// Reads common tables in their order: each sees those before it, and comes into scope after it was read.
    fn common_tables(&mut self, value: &Value) -> Result<(), Refusal> {
        let tables = object(value, "common tables")?.get("map").unwrap_or(&Value::Null);
        each(tables, "common tables", |entry| {
            let entry = object(entry, "a common table")?;
            let table = object(entry.get("value").unwrap_or(&Value::Null), "a common table")?;
            self.fields(table, &[], shapes::COMMON_TABLE)?;
            self.name_in_scope(text(entry, "key"))
        })
    }

    /// A name that looks like a file is refused even where it is a common table.
    fn name_in_scope(&mut self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(Refusal::Name { name: name.to_owned() });
        }
        self.in_scope.push(name.to_ascii_lowercase());
        Ok(())
    }
}

fn refuse_table_function(node: &Node) -> Result<(), Refusal> {
    let function = object(node.get("function").unwrap_or(&Value::Null), "a table function")?;
    let name = text(function, "function_name");
    if text(function, "class") == "FUNCTION" && functions::is_allowed_in_from(name) {
        return Ok(());
    }
    Err(Refusal::TableFunction { name: name.to_owned(), position: position(function) })
}

fn refuse_function(node: &Node) -> Result<(), Refusal> {
    let name = text(node, "function_name");
    let is_builtin = matches!(text(node, "schema"), "" | "main") && text(node, "catalog").is_empty();
    if is_builtin && functions::is_allowed(name) {
        return Ok(());
    }
    Err(Refusal::Function { name: name.to_owned(), position: position(node) })
}

/// Plain fields hold no expressions; one that does is a shape that this program does not know.
fn refuse_hidden_expression(value: &Value) -> Result<(), Refusal> {
    match value {
        Value::Array(values) => values.iter().try_for_each(refuse_hidden_expression),
        Value::Object(node) if node.contains_key("class") || node.contains_key("node") => {
            Err(unknown("an expression in an unusual place", position(node)))
        }
        Value::Object(node) => node.values().try_for_each(refuse_hidden_expression),
        _ => Ok(()),
    }
}

fn each(value: &Value, what: &str, check: impl FnMut(&Value) -> Result<(), Refusal>) -> Result<(), Refusal> {
    value.as_array().ok_or_else(|| unknown(what, None))?.iter().try_for_each(check)
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Node, Refusal> {
    value.as_object().ok_or_else(|| unknown(what, None))
}

/// A text field; an absent one is empty, which no check takes for a known name.
fn text<'a>(node: &'a Node, key: &str) -> &'a str {
    node.get(key).and_then(Value::as_str).unwrap_or("")
}

/// DuckDB writes 2^64 - 1 for "nowhere".
fn position(node: &Node) -> Option<u64> {
    node.get("query_location").and_then(Value::as_u64).filter(|position| *position != u64::MAX)
}

fn unknown(what: &str, position: Option<u64>) -> Refusal {
    Refusal::Unknown { what: what.to_owned(), position }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn select(column: &Value) -> Value {
        json!({"error": false, "statements": [{"named_param_map": [], "node": {
            "type": "SELECT_NODE", "modifiers": [], "cte_map": {"map": []}, "select_list": [column],
            "from_table": {"type": "EMPTY", "alias": "", "sample": null, "query_location": u64::MAX},
            "where_clause": null, "group_expressions": [], "group_sets": [], "aggregate_handling": "STANDARD_HANDLING",
            "having": null, "sample": null, "qualify": null,
        }}]})
    }

    fn constant() -> Value {
        json!({"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "query_location": 7,
               "value": {"type": {"id": "INTEGER", "type_info": null}, "is_null": false, "value": 1}})
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(walk(&select(&constant())), Ok(Named::default()));
        let mut new_class = constant();
        new_class["class"] = json!("TELEPATHY");
        let mut new_field = constant();
        new_field["side_effect"] = json!("x");
        let mut hidden = constant();
        hidden["value"]["value"] = json!({"class": "FUNCTION", "function_name": "getenv"});
        for column in [new_class, new_field, hidden, json!(1), json!({})] {
            let refused = walk(&select(&column));
            assert!(matches!(refused, Err(Refusal::Unknown { .. })), "{column}: {refused:?}");
        }
        let mut new_node = select(&constant());
        new_node["statements"][0]["node"]["type"] = json!("UPDATE_NODE");
        for tree in [new_node, json!({}), json!({"error": true, "statements": []}), json!(null)] {
            assert!(matches!(walk(&tree), Err(Refusal::Unknown { .. })), "{tree}");
        }
    }
}
