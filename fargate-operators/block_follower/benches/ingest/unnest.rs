//! The peer leg: one `INSERT … SELECT … FROM unnest(…)` a table and transaction, as most clients of Postgres write
//! many rows.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, UInt32Type, UInt64Type};
use isotherm_types::Dataset;
use isotherm_types::schema::ColumnType;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres};

use crate::rows::Group;

/// The values of one column, as they are bound.
enum Values<'rows> {
    Integers(Vec<Option<i64>>),
    Doubles(Vec<Option<f64>>),
    Truths(Vec<Option<bool>>),
    Texts(Vec<Option<&'rows str>>),
    Bytes(Vec<Option<&'rows [u8]>>),
    /// Decimal digits, which the statement turns into numbers.
    Digits(Vec<Option<String>>),
}

/// Lays the values out at once, and returns what writes them.
pub(crate) fn write(conn: &mut PgConnection, groups: &[Group]) -> impl Future<Output = ()> {
    let ready: Vec<_> = groups.iter().map(lay_out).collect();
    async move {
        for group in &ready {
            let mut db_tx = conn.begin().await.expect("a transaction");
            for (statement, columns) in group {
                let query = sqlx::query(AssertSqlSafe(statement.as_str()));
                columns.iter().fold(query, bind).execute(&mut *db_tx).await.expect("the rows are taken");
            }
            db_tx.commit().await.expect("a commit");
        }
    }
}

/// A statement and its values for each dataset.
fn lay_out(group: &Group) -> Vec<(String, Vec<Values<'_>>)> {
    group.0.iter().map(|(dataset, rows)| (statement(*dataset), columns(rows))).collect()
}

fn bind<'query>(
    query: Query<'query, Postgres, PgArguments>,
    values: &Values<'_>,
) -> Query<'query, Postgres, PgArguments> {
    match values {
        Values::Integers(values) => query.bind(values.as_slice()),
        Values::Doubles(values) => query.bind(values.as_slice()),
        Values::Truths(values) => query.bind(values.as_slice()),
        Values::Texts(values) => query.bind(values.as_slice()),
        Values::Bytes(values) => query.bind(values.as_slice()),
        Values::Digits(values) => query.bind(values.as_slice()),
    }
}

fn statement(dataset: Dataset) -> String {
    let (mut names, mut values, mut arrays) = (Vec::new(), Vec::new(), Vec::new());
    for (place, column) in (1..).zip(dataset.columns()) {
        names.push(column.name.to_owned());
        let (value, array) = match column.column_type {
            ColumnType::Decimal => (format!("{}::numeric", column.name), "text"),
            other => (column.name.to_owned(), other.postgres()),
        };
        values.push(value);
        arrays.push(format!("${place}::{array}[]"));
    }
    let (names, values, arrays) = (names.join(", "), values.join(", "), arrays.join(", "));
    format!("INSERT INTO hot.{dataset} ({names}) SELECT {values} FROM unnest({arrays}) AS given ({names})")
}

fn columns(rows: &RecordBatch) -> Vec<Values<'_>> {
    rows.columns().iter().map(|array| values(array.as_ref())).collect()
}

fn values(array: &dyn Array) -> Values<'_> {
    match array.data_type() {
        DataType::UInt32 => {
            let integers = array.as_primitive::<UInt32Type>().iter();
            Values::Integers(integers.map(|value| value.map(i64::from)).collect())
        }
        DataType::UInt64 => {
            let fitting = |value: u64| i64::try_from(value).expect("the numbers fit");
            let integers = array.as_primitive::<UInt64Type>().iter();
            Values::Integers(integers.map(|value| value.map(fitting)).collect())
        }
        DataType::Float64 => Values::Doubles(array.as_primitive::<Float64Type>().iter().collect()),
        DataType::Boolean => Values::Truths(array.as_boolean().iter().collect()),
        DataType::Utf8 => Values::Texts(array.as_string::<i32>().iter().collect()),
        DataType::Binary => Values::Bytes(array.as_binary::<i32>().iter().collect()),
        DataType::FixedSizeBinary(_) => Values::Bytes(array.as_fixed_size_binary().iter().collect()),
        DataType::Decimal128(_, 0) => {
            let numbers = array.as_primitive::<Decimal128Type>().iter();
            Values::Digits(numbers.map(|value| value.map(|value| value.to_string())).collect())
        }
        other => panic!("no dataset has a column of {other}"),
    }
}
