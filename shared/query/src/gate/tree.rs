//! The walk over the tree: every node type with its fields, and which names are in scope where.
//!
//! A field that a node type does not list here is refused, so that a part of SQL that this program has never seen
//! cannot pass unread.

use std::collections::BTreeSet;

use isotherm_types::Dataset;
use serde_json::{Map, Value};

use super::{RELATIONS, Refusal, functions};

type Node = Map<String, Value>;

/// How a field is read.
#[derive(Clone, Copy)]
enum Field {
    /// Names, flags and numbers; nothing in it can run.
    Plain,
    /// An expression, or null.
    Expression,
    /// A list of expressions.
    Expressions,
    /// A relation in `FROM`, or null.
    Relation,
    /// A SELECT with its own node.
    Statement,
    /// The node of a query.
    Query,
    /// A list of `{type, null_order, expression}`.
    Orders,
    /// A list of modifiers: ORDER BY, LIMIT, DISTINCT.
    Modifiers,
    /// One modifier.
    Modifier,
    /// A list of `{key, value}` with an expression as value.
    Replacements,
    /// A list of `{when_expr, then_expr}`.
    CaseChecks,
    /// A list of lists of expressions.
    Rows,
    /// The common table expressions; read before all other fields.
    CommonTables,
    /// Must be null or false.
    Absent,
}

use Field::{
    Absent, CaseChecks, CommonTables, Expression, Expressions, Modifier, Modifiers, Orders, Plain, Query, Relation,
    Replacements, Rows, Statement,
};

const EXPRESSION_FIELDS: [(&str, Field); 4] =
    [("class", Plain), ("type", Plain), ("alias", Plain), ("query_location", Plain)];

const RELATION_FIELDS: [(&str, Field); 4] =
    [("type", Plain), ("alias", Plain), ("sample", Plain), ("query_location", Plain)];

const QUERY_FIELDS: [(&str, Field); 3] = [("type", Plain), ("modifiers", Modifiers), ("cte_map", CommonTables)];

/// Checks a whole tree and returns the datasets that it names.
pub(super) fn walk(tree: &Value) -> Result<BTreeSet<Dataset>, Refusal> {
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
    Ok(walk.relations)
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
    relations: BTreeSet<Dataset>,
    /// Common table expressions that can be named here, in lower case. Never more than DuckDB itself would see.
    in_scope: Vec<String>,
}

impl Walk {
    fn statement(&mut self, value: &Value) -> Result<(), Refusal> {
        self.fields(object(value, "a statement")?, &[("node", Query), ("named_param_map", Plain)], &[])
    }

    fn query(&mut self, value: &Value) -> Result<(), Refusal> {
        let node = object(value, "a query")?;
        let outer = self.in_scope.len();
        match text(node, "type") {
            "SELECT_NODE" => self.fields(
                node,
                &QUERY_FIELDS,
                &[
                    ("select_list", Expressions),
                    ("from_table", Relation),
                    ("where_clause", Expression),
                    ("group_expressions", Expressions),
                    ("group_sets", Plain),
                    ("aggregate_handling", Plain),
                    ("having", Expression),
                    ("sample", Plain),
                    ("qualify", Expression),
                ],
            ),
            "SET_OPERATION_NODE" => self.fields(
                node,
                &QUERY_FIELDS,
                &[("setop_type", Plain), ("left", Query), ("right", Query), ("setop_all", Plain)],
            ),
            "RECURSIVE_CTE_NODE" => self.recursion(node),
            other => Err(unknown(other, None)),
        }?;
        self.in_scope.truncate(outer);
        Ok(())
    }

    /// The right side of a recursion may name the table that it defines; nothing else of it may.
    fn recursion(&mut self, node: &Node) -> Result<(), Refusal> {
        let fields = [("cte_name", Plain), ("union_all", Plain), ("aliases", Plain), ("key_targets", Expressions)];
        self.fields(node, &QUERY_FIELDS, &[&fields[..], &[("left", Query), ("right", Plain)]].concat())?;
        self.name_in_scope(text(node, "cte_name"))?;
        self.query(node.get("right").unwrap_or(&Value::Null))
    }

    fn relation(&mut self, value: &Value) -> Result<(), Refusal> {
        if value.is_null() {
            return Ok(());
        }
        let node = object(value, "a relation")?;
        let position = position(node);
        let own: &[(&str, Field)] = match text(node, "type") {
            "BASE_TABLE" => return self.base_table(node),
            "EMPTY" => &[],
            "EXPRESSION_LIST" => &[("expected_names", Plain), ("expected_types", Plain), ("values", Rows)],
            "JOIN" => &[
                ("left", Relation),
                ("right", Relation),
                ("condition", Expression),
                ("join_type", Plain),
                ("ref_type", Plain),
                ("using_columns", Plain),
                ("delim_flipped", Plain),
                ("duplicate_eliminated_columns", Plain),
            ],
            "SUBQUERY" => &[("subquery", Statement), ("column_name_alias", Plain)],
            "TABLE_FUNCTION" => return self.table_function(node),
            "SHOW_REF" => return Err(Refusal::Construct { what: "DESCRIBE, SHOW or SUMMARIZE", position }),
            "PIVOT" => return Err(Refusal::Construct { what: "PIVOT or UNPIVOT", position }),
            other => return Err(unknown(other, position)),
        };
        self.fields(node, &RELATION_FIELDS, own)
    }

    fn base_table(&mut self, node: &Node) -> Result<(), Refusal> {
        let own =
            [("schema_name", Plain), ("table_name", Plain), ("column_name_alias", Plain), ("catalog_name", Plain)];
        self.fields(node, &RELATION_FIELDS, &[&own[..], &[("at_clause", Absent)]].concat())?;
        let (name, position) = (text(node, "table_name"), position(node));
        let qualifiers = [text(node, "catalog_name"), text(node, "schema_name")];
        if qualifiers.iter().any(|qualifier| !qualifier.is_empty()) {
            let [catalog, schema] = qualifiers;
            let name =
                [catalog, schema, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
            return Err(Refusal::Relation { name, position });
        }
        let lower = name.to_lowercase();
        if self.in_scope.contains(&lower) {
            return Ok(());
        }
        match lower.parse::<Dataset>() {
            Ok(dataset) if RELATIONS.contains(&dataset) => {
                self.relations.insert(dataset);
                Ok(())
            }
            Ok(dataset) => Err(Refusal::NotCollected { dataset, position }),
            Err(_) => Err(Refusal::Relation { name: name.to_owned(), position }),
        }
    }

    fn table_function(&mut self, node: &Node) -> Result<(), Refusal> {
        let function = object(node.get("function").unwrap_or(&Value::Null), "a table function")?;
        let name = text(function, "function_name");
        if text(function, "class") != "FUNCTION" || !functions::is_allowed_in_from(name) {
            return Err(Refusal::TableFunction { name: name.to_owned(), position: position(function) });
        }
        let own = [("function", Expression), ("column_name_alias", Plain), ("with_ordinality", Plain)];
        self.fields(node, &RELATION_FIELDS, &own)
    }

    fn expression(&mut self, value: &Value) -> Result<(), Refusal> {
        if value.is_null() {
            return Ok(());
        }
        let node = object(value, "an expression")?;
        let position = position(node);
        let own: &[(&str, Field)] = match text(node, "class") {
            "BETWEEN" => &[("input", Expression), ("lower", Expression), ("upper", Expression)],
            "CASE" => &[("case_checks", CaseChecks), ("else_expr", Expression)],
            "CAST" => &[("child", Expression), ("cast_type", Plain), ("try_cast", Plain)],
            "COLLATE" => &[("child", Expression), ("collation", Plain)],
            "COLUMN_REF" => &[("column_names", Plain)],
            "COMPARISON" => &[("left", Expression), ("right", Expression)],
            "CONJUNCTION" | "OPERATOR" => &[("children", Expressions)],
            "CONSTANT" => {
                refuse_hex_literal(node)?;
                &[("value", Plain)]
            }
            "FUNCTION" => {
                refuse_function(node)?;
                &[
                    ("function_name", Plain),
                    ("schema", Plain),
                    ("catalog", Plain),
                    ("children", Expressions),
                    ("filter", Expression),
                    ("order_bys", Modifier),
                    ("distinct", Plain),
                    ("is_operator", Plain),
                    ("export_state", Absent),
                ]
            }
            "LAMBDA" => &[("lhs", Expression), ("expr", Expression)],
            "POSITIONAL_REFERENCE" => &[("index", Plain)],
            "STAR" => &[
                ("relation_name", Plain),
                ("exclude_list", Plain),
                ("qualified_exclude_list", Plain),
                ("rename_list", Plain),
                ("replace_list", Replacements),
                ("columns", Plain),
                ("expr", Expression),
            ],
            "SUBQUERY" => {
                &[("subquery_type", Plain), ("subquery", Statement), ("child", Expression), ("comparison_type", Plain)]
            }
            "WINDOW" => {
                refuse_function(node)?;
                &[
                    ("function_name", Plain),
                    ("schema", Plain),
                    ("catalog", Plain),
                    ("children", Expressions),
                    ("partitions", Expressions),
                    ("orders", Orders),
                    ("arg_orders", Orders),
                    ("start", Plain),
                    ("end", Plain),
                    ("start_expr", Expression),
                    ("end_expr", Expression),
                    ("offset_expr", Expression),
                    ("default_expr", Expression),
                    ("filter_expr", Expression),
                    ("ignore_nulls", Plain),
                    ("exclude_clause", Plain),
                    ("distinct", Plain),
                ]
            }
            "PARAMETER" => return Err(Refusal::Construct { what: "a parameter ($1, ?)", position }),
            "DEFAULT" => return Err(Refusal::Construct { what: "DEFAULT", position }),
            other => return Err(unknown(other, position)),
        };
        self.fields(node, &EXPRESSION_FIELDS, own)
    }

    /// Reads every field of `node` as its lists say; a field in neither list is refused.
    fn fields(&mut self, node: &Node, shared: &[(&str, Field)], own: &[(&str, Field)]) -> Result<(), Refusal> {
        let known = |key: &str| shared.iter().chain(own).find(|(name, _)| *name == key).map(|(_, field)| *field);
        if let Some(tables) = node.get("cte_map") {
            self.common_tables(tables)?;
        }
        for (key, value) in node {
            match known(key) {
                Some(field) => self.field(key, field, value)?,
                None => return Err(unknown(&format!("field {key}"), position(node))),
            }
        }
        Ok(())
    }

    fn field(&mut self, key: &str, field: Field, value: &Value) -> Result<(), Refusal> {
        match field {
            Plain => refuse_hidden_expression(value),
            Absent if value.is_null() || value == &Value::Bool(false) => Ok(()),
            Absent => Err(unknown(&format!("field {key}"), None)),
            Expression => self.expression(value),
            Expressions => each(value, key, |value| self.expression(value)),
            Relation => self.relation(value),
            Statement => self.statement(value),
            Query => self.query(value),
            Rows => each(value, key, |row| each(row, key, |value| self.expression(value))),
            CaseChecks => each(value, key, |check| {
                self.fields(object(check, key)?, &[("when_expr", Expression), ("then_expr", Expression)], &[])
            }),
            Replacements => {
                each(value, key, |pair| self.fields(object(pair, key)?, &[("key", Plain), ("value", Expression)], &[]))
            }
            Orders => each(value, key, |order| {
                let fields = [("type", Plain), ("null_order", Plain), ("expression", Expression)];
                self.fields(object(order, key)?, &fields, &[])
            }),
            Modifiers => each(value, key, |modifier| self.modifier(modifier)),
            Modifier => self.modifier(value),
            // Read first, by `fields`.
            CommonTables => Ok(()),
        }
    }

    fn modifier(&mut self, value: &Value) -> Result<(), Refusal> {
        let node = object(value, "a modifier")?;
        let own: &[(&str, Field)] = match text(node, "type") {
            "ORDER_MODIFIER" => &[("orders", Orders)],
            "LIMIT_MODIFIER" | "LIMIT_PERCENT_MODIFIER" => &[("limit", Expression), ("offset", Expression)],
            "DISTINCT_MODIFIER" => &[("distinct_on_targets", Expressions)],
            other => return Err(unknown(other, None)),
        };
        self.fields(node, &[("type", Plain)], own)
    }

    /// Reads common tables in their order: each sees those before it, and comes into scope after it was read.
    fn common_tables(&mut self, value: &Value) -> Result<(), Refusal> {
        let tables = object(value, "common tables")?.get("map").unwrap_or(&Value::Null);
        each(tables, "common tables", |entry| {
            let entry = object(entry, "a common table")?;
            let table = object(entry.get("value").unwrap_or(&Value::Null), "a common table")?;
            let fields =
                [("aliases", Plain), ("query", Statement), ("materialized", Plain), ("key_targets", Expressions)];
            self.fields(table, &fields, &[])?;
            self.name_in_scope(text(entry, "key"))
        })
    }

    /// A name that looks like a file is refused even where it is a common table.
    fn name_in_scope(&mut self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(Refusal::Name { name: name.to_owned() });
        }
        self.in_scope.push(name.to_lowercase());
        Ok(())
    }
}

fn refuse_function(node: &Node) -> Result<(), Refusal> {
    let name = text(node, "function_name");
    let is_builtin = matches!(text(node, "schema"), "" | "main") && text(node, "catalog").is_empty();
    if is_builtin && functions::is_allowed(name) {
        return Ok(());
    }
    Err(Refusal::Function { name: name.to_owned(), position: position(node) })
}

/// DuckDB reads `0xab` as the number 0 called `xab`; nobody means that.
fn refuse_hex_literal(node: &Node) -> Result<(), Refusal> {
    let alias = text(node, "alias");
    let is_zero = node.get("value").and_then(|value| value.get("value")).and_then(Value::as_u64) == Some(0);
    let is_hex = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_zero && alias.strip_prefix(['x', 'X']).is_some_and(is_hex) {
        let what = "a bare 0x literal (write unhex('…') for bytes)";
        return Err(Refusal::Construct { what, position: position(node) });
    }
    Ok(())
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
