//! The platform's own tables as SQL sees them: `isotherm.tasks` and its likes. Pure.
//!
//! [`ALL`] is the one list: what the gate lets a query name, what is fetched, what `/v1/datasets`, the prompt and docs/sql.md
//! tell. A table is a `const` in this folder and its SELECT in `queries/platform/`, which gives each column by its name, and
//! `org_id`: whose row it is. The condition on it is not the SELECT's part: [`crate::platform_rows`] adds it to every one.
//!
//! It must never show a column that `isotherm_tenant` may not read: the SELECT runs under that role.

mod alerts;
mod causes;
mod chains;
mod trail;
mod work;

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};
use isotherm_types::sandbox::{PLATFORM_SCHEMA, Relation, RelationColumn};

/// The tables, in the order in which they are told.
pub const ALL: &[&PlatformTable] = &[
    &work::TASKS,
    &work::TASK_ATTEMPTS,
    &work::TASK_INPUTS,
    &work::JOBS,
    &causes::TRIGGERS,
    &causes::TRIGGER_FIRES,
    &causes::EVENTS,
    &trail::AUDIT_LOG,
    &trail::QUERIES,
    &alerts::ALERT_RULES,
    &alerts::ALERTS,
    &alerts::ALERT_HISTORY,
    &alerts::DELIVERIES,
    &chains::PARTITIONS,
    &chains::CHAINS,
];

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlatformTable {
    /// Its name in the schema.
    pub name: &'static str,
    /// What one row is.
    pub doc: &'static str,
    /// Its columns, in order; at least one.
    pub columns: &'static [PlatformColumn],
    /// A column of whole numbers that are never negative: comparisons of it with constants bound what is fetched.
    pub key: Option<&'static str>,
    /// Gives `columns` by their names, and `org_id`.
    pub select: &'static str,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlatformColumn {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub column_type: PlatformType,
    /// Whether a value may be absent.
    pub nullable: bool,
    /// What it holds.
    pub doc: &'static str,
}

/// Type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlatformType {
    /// Signed, 64 bits.
    Integer,
    /// Double.
    Double,
    /// True or false.
    Boolean,
    /// Text.
    Text,
    /// Text that is JSON.
    Json,
    /// Bytes.
    Bytes,
    /// An instant in UTC.
    Time,
}

impl PlatformType {
    /// The DuckDB type; that of an instant is the one of `block_time`.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Integer => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::Text | Self::Json => "VARCHAR",
            Self::Bytes => "BLOB",
            Self::Time => "TIMESTAMP",
        }
    }

    /// The Postgres type that a value is fetched as.
    pub fn postgres(self) -> &'static str {
        match self {
            Self::Integer => "bigint",
            Self::Double => "double precision",
            Self::Boolean => "boolean",
            Self::Text | Self::Json => "text",
            Self::Bytes => "bytea",
            Self::Time => "timestamptz",
        }
    }

    /// The Arrow type in between.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Integer => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Text | Self::Json => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

impl PlatformTable {
    /// The table that SQL names so, in any case; `None` if there is none.
    pub fn named(schema: &str, name: &str) -> Option<&'static Self> {
        let is_ours = schema.eq_ignore_ascii_case(PLATFORM_SCHEMA);
        ALL.iter().copied().find(|table| is_ours && table.name.eq_ignore_ascii_case(name))
    }

    /// The table of a name as a plan has it, the schema before a dot.
    pub fn of_full_name(name: &str) -> Option<&'static Self> {
        let (schema, name) = name.split_once('.')?;
        Self::named(schema, name)
    }

    /// How the sandbox is told of it.
    pub fn describe(&self) -> Relation {
        let columns = self.columns.iter().map(|column| RelationColumn {
            name: column.name.to_owned(),
            sql_type: column.column_type.sql().to_owned(),
        });
        Relation { schema: Some(PLATFORM_SCHEMA.to_owned()), name: self.name.to_owned(), columns: columns.collect() }
    }

    /// The sandbox's table of its rows. No table of hot rows is called so: those end with a chain's id.
    pub fn rows_table(&self) -> String {
        format!("platform_{}", self.name)
    }
}

impl fmt::Display for PlatformTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PLATFORM_SCHEMA}.{}", self.name)
    }
}

const fn required(name: &'static str, column_type: PlatformType, doc: &'static str) -> PlatformColumn {
    PlatformColumn { name, column_type, nullable: false, doc }
}

const fn optional(name: &'static str, column_type: PlatformType, doc: &'static str) -> PlatformColumn {
    PlatformColumn { name, column_type, nullable: true, doc }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write as _;

    use super::*;

    /// The tables as docs/sql.md has them.
    fn page() -> String {
        let mut page = String::new();
        for table in ALL {
            let head = "| column | type | may be absent | what it holds |\n| --- | --- | --- | --- |";
            let (name, doc) = (table.to_string(), table.doc);
            writeln!(page, "\n### {name}\n\n{}{}.\n\n{head}", doc[..1].to_uppercase(), &doc[1..]).unwrap();
            for column in table.columns {
                let absent = if column.nullable { "yes" } else { "" };
                let (name, sql_type, doc) = (column.name, column.column_type.sql(), column.doc);
                writeln!(page, "| `{name}` | {sql_type} | {absent} | {doc} |").unwrap();
            }
        }
        page
    }

    #[test]
    fn the_page_of_sql_has_every_table_with_its_columns() {
        let text = include_str!("../../../docs/sql.md");
        let begin = "<!-- tables of the platform -->\n";
        let told = text.split_once(begin).and_then(|(_, rest)| rest.split_once("\n<!-- end of the tables -->"));
        let told = told.expect("docs/sql.md has the part between its marks").0;
        assert!(told == page().trim_end(), "docs/sql.md should have:\n{}", page());
    }

    #[test]
    fn names_are_plain_and_no_two_are_the_same() {
        let is_plain =
            |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
        let mut tables = HashSet::new();
        for table in ALL {
            assert!(is_plain(table.name) && tables.insert(table.name), "{table}");
            let names: HashSet<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(names.len(), table.columns.len(), "{table}");
            assert!(names.iter().all(|name| is_plain(name)), "{table}");
            // The sandbox computes a column of its own from one that is called so.
            assert!(!names.contains("timestamp") && !names.contains("org_id"), "{table}");
            assert_eq!(table.select.matches(" AS org_id").count(), 1, "{table} says once whose its rows are");
            let key = table.columns.iter().find(|column| Some(column.name) == table.key);
            let is_whole = key.is_some_and(|key| key.column_type == PlatformType::Integer && !key.nullable);
            assert!(table.key.is_none() || is_whole, "{table}");
        }
    }

    #[test]
    fn a_table_is_found_in_its_schema_only_and_in_any_case() {
        for (schema, name, found) in [
            ("isotherm", "tasks", true),
            ("Isotherm", "TASKS", true),
            ("", "tasks", false),
            ("monad", "tasks", false),
            ("isotherm", "logs", false),
            ("isotherm", "users", false),
        ] {
            assert_eq!(PlatformTable::named(schema, name).is_some(), found, "{schema}.{name}");
        }
        for table in ALL {
            assert_eq!(PlatformTable::of_full_name(&table.describe().full_name()), Some(*table));
        }
    }
}
