//! The shapes of DuckDB's tree: each node type with all its fields and how each is read.
//!
//! **Source**: the serialization of `ParsedExpression`, `TableRef`, `QueryNode` and `ResultModifier` in DuckDB 1.5.5.
//! A node type or a field that is not here does not pass.

use Field::{
    Absent, CaseChecks, CommonTables, Elsewhere, Expression, Expressions, Modifier, Modifiers, Orders, Plain, Query,
    Relation, Replacements, Rows, Statement,
};

/// The fields of a node.
pub(super) type Fields = &'static [(&'static str, Field)];

/// How a field is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
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
    /// Read by the caller, who knows what is in scope there.
    Elsewhere,
    /// Must be null or false.
    Absent,
}

/// Fields of every expression.
pub(super) const ANY_EXPRESSION: Fields =
    &[("class", Plain), ("type", Plain), ("alias", Plain), ("query_location", Plain)];

/// Fields of every relation.
pub(super) const ANY_RELATION: Fields =
    &[("type", Plain), ("alias", Plain), ("sample", Plain), ("query_location", Plain)];

/// Fields of every query node.
pub(super) const ANY_QUERY: Fields = &[("type", Plain), ("modifiers", Modifiers), ("cte_map", CommonTables)];

/// Fields of a SELECT in its brackets.
pub(super) const STATEMENT: Fields = &[("node", Query), ("named_param_map", Plain)];

/// Fields of a common table expression.
pub(super) const COMMON_TABLE: Fields =
    &[("aliases", Plain), ("query", Statement), ("materialized", Plain), ("key_targets", Expressions)];

/// Fields of one item of ORDER BY.
pub(super) const ORDER: Fields = &[("type", Plain), ("null_order", Plain), ("expression", Expression)];

/// Fields of one WHEN of a CASE.
pub(super) const CASE_CHECK: Fields = &[("when_expr", Expression), ("then_expr", Expression)];

/// Fields of one item of `* REPLACE`.
pub(super) const REPLACEMENT: Fields = &[("key", Plain), ("value", Expression)];

/// Fields of a query node besides [`ANY_QUERY`].
pub(super) fn query(node_type: &str) -> Option<Fields> {
    Some(match node_type {
        "SELECT_NODE" => &[
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
        "SET_OPERATION_NODE" => &[("setop_type", Plain), ("left", Query), ("right", Query), ("setop_all", Plain)],
        "RECURSIVE_CTE_NODE" => &[
            ("cte_name", Plain),
            ("union_all", Plain),
            ("aliases", Plain),
            ("key_targets", Expressions),
            ("left", Query),
            ("right", Elsewhere),
        ],
        _ => return None,
    })
}

/// Fields of a modifier besides its `type`.
pub(super) fn modifier(modifier_type: &str) -> Option<Fields> {
    Some(match modifier_type {
        "ORDER_MODIFIER" => &[("type", Plain), ("orders", Orders)],
        "LIMIT_MODIFIER" | "LIMIT_PERCENT_MODIFIER" => {
            &[("type", Plain), ("limit", Expression), ("offset", Expression)]
        }
        "DISTINCT_MODIFIER" => &[("type", Plain), ("distinct_on_targets", Expressions)],
        _ => return None,
    })
}

/// Fields of a relation besides [`ANY_RELATION`].
pub(super) fn relation(relation_type: &str) -> Option<Fields> {
    Some(match relation_type {
        "BASE_TABLE" => &[
            ("schema_name", Plain),
            ("table_name", Plain),
            ("column_name_alias", Plain),
            ("catalog_name", Plain),
            ("at_clause", Absent),
        ],
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
        "TABLE_FUNCTION" => &[("function", Expression), ("column_name_alias", Plain), ("with_ordinality", Plain)],
        _ => return None,
    })
}

/// Fields of an expression besides [`ANY_EXPRESSION`].
pub(super) fn expression(class: &str) -> Option<Fields> {
    Some(match class {
        "BETWEEN" => &[("input", Expression), ("lower", Expression), ("upper", Expression)],
        "CASE" => &[("case_checks", CaseChecks), ("else_expr", Expression)],
        "CAST" => &[("child", Expression), ("cast_type", Plain), ("try_cast", Plain)],
        "COLLATE" => &[("child", Expression), ("collation", Plain)],
        "COLUMN_REF" => &[("column_names", Plain)],
        "COMPARISON" => &[("left", Expression), ("right", Expression)],
        "CONJUNCTION" | "OPERATOR" => &[("children", Expressions)],
        "CONSTANT" => &[("value", Plain)],
        "FUNCTION" => &[
            ("function_name", Plain),
            ("schema", Plain),
            ("catalog", Plain),
            ("children", Expressions),
            ("filter", Expression),
            ("order_bys", Modifier),
            ("distinct", Plain),
            ("is_operator", Plain),
            ("export_state", Absent),
        ],
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
        "WINDOW" => &[
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
        ],
        _ => return None,
    })
}
