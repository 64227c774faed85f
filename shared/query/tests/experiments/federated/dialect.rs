//! Writes a query down for the platform and for the judge. What the two spell differently is spelled here; nothing is
//! left out for one of them.

use super::question::{Condition, Field, Key, Kind, Literal, Order, Query, Scalar, Select, Tables};

/// Alias of the query inside what casts its columns.
const ANSWER: &str = "answer";

/// A query for the platform, whose columns come in their own types.
pub(crate) fn for_platform(query: &Query) -> String {
    Dialect::DuckDb.query(query)
}

/// Several queries in one for the platform: each row has the number of its query, then its columns as text.
pub(crate) fn packed_for_platform(queries: &[Query]) -> String {
    let width = queries.iter().map(Query::width).max().unwrap_or_default();
    let one = |(i, query): (usize, &Query)| {
        let mut texts = Dialect::DuckDb.texts(query);
        texts.resize(width, "CAST(NULL AS VARCHAR)".to_owned());
        format!("SELECT {i} AS place, {} FROM {}", texts.join(", "), Dialect::DuckDb.aliased(query, ANSWER))
    };
    queries.iter().enumerate().map(one).collect::<Vec<_>>().join(" UNION ALL ")
}

/// A query for the judge, whose columns come as text.
pub(crate) fn for_postgres(query: &Query) -> String {
    let texts = Dialect::Postgres.texts(query).join(", ");
    format!("SELECT {texts} FROM {}", Dialect::Postgres.aliased(query, ANSWER))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    DuckDb,
    Postgres,
}

impl Dialect {
    /// What each database calls something.
    fn say<'a>(self, duckdb: &'a str, postgres: &'a str) -> &'a str {
        match self {
            Self::DuckDb => duckdb,
            Self::Postgres => postgres,
        }
    }

    /// The columns of `query` as text, the bytes among them as `0x…`.
    fn texts(self, query: &Query) -> Vec<String> {
        let text = |(i, kind): (usize, Kind)| match kind {
            Kind::Bytes => format!("'0x' || {}", self.digits(&format!("{ANSWER}.c{i}"))),
            Kind::Number | Kind::Decimal | Kind::Double | Kind::Boolean | Kind::Text => {
                format!("CAST({ANSWER}.c{i} AS {})", self.say("VARCHAR", "text"))
            }
        };
        query.columns().into_iter().enumerate().map(text).collect()
    }

    fn aliased(self, query: &Query, alias: &str) -> String {
        let names: Vec<String> = (0..query.width()).map(|i| format!("c{i}")).collect();
        format!("({}) AS {alias}({})", self.query(query), names.join(", "))
    }

    fn query(self, query: &Query) -> String {
        let selects: Vec<String> = query.selects.iter().map(|select| self.select(select)).collect();
        let mut sql = selects.join(" UNION ALL ");
        if query.named {
            sql = format!("WITH named AS ({sql}) SELECT * FROM named");
        }
        sql + &query.order.as_ref().map(order).unwrap_or_default()
    }

    fn select(self, select: &Select) -> String {
        let outputs = select.outputs.iter().enumerate().map(|(i, output)| format!("{} AS c{i}", self.scalar(output)));
        let outputs = outputs.collect::<Vec<_>>().join(", ");
        let distinct = if select.distinct { "DISTINCT " } else { "" };
        let mut sql = format!("SELECT {distinct}{outputs} FROM {}", self.tables(&select.from));
        if !select.filters.is_empty() {
            sql.push_str(&format!(" WHERE {}", self.conditions(&select.filters, " AND ")));
        }
        let is_key = |(_, output): &(usize, &Scalar)| !output.aggregates();
        let keys: Vec<String> =
            select.outputs.iter().enumerate().filter(is_key).map(|(i, _)| (i + 1).to_string()).collect();
        if keys.len() < select.outputs.len() && !keys.is_empty() {
            sql.push_str(&format!(" GROUP BY {}", keys.join(", ")));
        }
        if let Some(rows) = select.having {
            sql.push_str(&format!(" HAVING count(*) >= {rows}"));
        }
        sql
    }

    fn tables(self, tables: &Tables) -> String {
        match tables {
            Tables::Dataset(dataset, alias) => format!("{dataset} AS {alias}"),
            Tables::Join { left, right, alias, outer, on } => {
                let join = if *outer { "LEFT JOIN" } else { "JOIN" };
                let on: Vec<String> =
                    on.iter().map(|(left, right)| format!("{} = {}", field(*left), field(*right))).collect();
                format!("{} {join} {right} AS {alias} ON {}", self.tables(left), on.join(" AND "))
            }
            Tables::Query(query, alias) => self.aliased(query, alias),
        }
    }

    fn scalar(self, scalar: &Scalar) -> String {
        match scalar {
            Scalar::Field(of) => field(*of),
            Scalar::Constant(number) => number.to_string(),
            Scalar::Quotient(of, by) => format!("({} {} {by})", field(*of), self.say("//", "/")),
            Scalar::Remainder(of, by) => format!("({} % {by})", field(*of)),
            Scalar::Length(of) => format!("octet_length({})", field(*of)),
            Scalar::Digits(of, count) => format!("left({}, {count})", self.digits(&field(*of))),
            Scalar::Instead(of, other) => format!("coalesce({}, {})", field(*of), self.literal(other)),
            Scalar::IsAbsent(of) => format!("({} IS NULL)", field(*of)),
            Scalar::Choice(condition, yes, no) => {
                format!("CASE WHEN {} THEN {yes} ELSE {no} END", self.condition(condition))
            }
            Scalar::RowNumber(among, by) => {
                format!("row_number() OVER (PARTITION BY {} ORDER BY {})", field(*among), fields(by))
            }
            Scalar::RunningSum(of, among, by) => format!(
                "sum({}) OVER (PARTITION BY {} ORDER BY {} ROWS UNBOUNDED PRECEDING)",
                field(*of),
                field(*among),
                fields(by),
            ),
            Scalar::Count => "count(*)".to_owned(),
            Scalar::CountOf(of) => format!("count({})", field(*of)),
            Scalar::CountDistinct(of) => format!("count(DISTINCT {})", field(*of)),
            Scalar::CountWhere(condition) => format!("count(*) FILTER (WHERE {})", self.condition(condition)),
            Scalar::Sum(of) => format!("sum({})", field(*of)),
            Scalar::SumOfText(of) => format!("sum(CAST({} AS {}))", field(*of), self.say("BIGNUM", "numeric")),
            Scalar::Least(of) => format!("min({})", self.comparable(*of)),
            Scalar::Greatest(of) => format!("max({})", self.comparable(*of)),
        }
    }

    /// Postgres has no least and greatest bytes before its version 18.
    fn comparable(self, of: Field) -> String {
        if of.kind == Kind::Bytes { self.digits(&field(of)) } else { field(of) }
    }

    /// Bytes as lower-case hexadecimal digits.
    fn digits(self, bytes: &str) -> String {
        match self {
            Self::DuckDb => format!("lower(hex({bytes}))"),
            Self::Postgres => format!("encode({bytes}, 'hex')"),
        }
    }

    fn conditions(self, conditions: &[Condition], joined_by: &str) -> String {
        let conditions: Vec<String> = conditions.iter().map(|condition| self.condition(condition)).collect();
        conditions.join(joined_by)
    }

    fn condition(self, condition: &Condition) -> String {
        match condition {
            Condition::Between(of, first, last) => format!("{} BETWEEN {first} AND {last}", field(*of)),
            Condition::NotBetween(of, first, last) => format!("{} NOT BETWEEN {first} AND {last}", field(*of)),
            Condition::Compare(of, operator, with) => format!("{} {operator} {}", field(*of), self.literal(with)),
            Condition::Equal(left, right) => format!("{} = {}", field(*left), field(*right)),
            Condition::OneOf(of, literals) => format!("{} IN ({})", field(*of), self.literals(literals)),
            Condition::NoneOf(of, literals) => format!("{} NOT IN ({})", field(*of), self.literals(literals)),
            Condition::Absent(of) => format!("{} IS NULL", field(*of)),
            Condition::Present(of) => format!("{} IS NOT NULL", field(*of)),
            Condition::Like(of, pattern) => format!("{} LIKE '{pattern}'", field(*of)),
            Condition::Holds(of) => field(*of),
            Condition::Not(condition) => format!("NOT ({})", self.condition(condition)),
            Condition::Either(conditions) => format!("({})", self.conditions(conditions, " OR ")),
            Condition::Newest(of, count) => {
                // Signed, so that a young chain has no number below zero that cannot be.
                let newest = "SELECT CAST(max(newest.block_number) AS BIGINT)";
                format!("{} >= ({newest} - {count} FROM blocks AS newest)", field(*of))
            }
            Condition::Within(of, select) => format!("{} IN ({})", field(*of), self.select(select)),
            Condition::Exists(select) => format!("EXISTS ({})", self.select(select)),
        }
    }

    fn literals(self, literals: &[Literal]) -> String {
        literals.iter().map(|literal| self.literal(literal)).collect::<Vec<_>>().join(", ")
    }

    fn literal(self, literal: &Literal) -> String {
        match (literal, self) {
            (Literal::Number(number), _) => number.to_string(),
            (Literal::Decimal(number), _) => format!("CAST('{number}' AS DECIMAL(38,0))"),
            (Literal::Text(text), _) => format!("'{}'", text.replace('\'', "''")),
            (Literal::BareBytes(bytes), Self::DuckDb) => format!("0x{}", hex::encode(bytes)),
            (Literal::Bytes(bytes), Self::DuckDb) => format!("unhex('{}')", hex::encode(bytes)),
            (Literal::Bytes(bytes) | Literal::BareBytes(bytes), Self::Postgres) => {
                format!("decode('{}', 'hex')", hex::encode(bytes))
            }
        }
    }
}

fn field(field: Field) -> String {
    format!("{}.{}", field.alias, field.name)
}

fn fields(of: &[Field]) -> String {
    of.iter().map(|of| field(*of)).collect::<Vec<_>>().join(", ")
}

/// The two databases put absent values at different ends unless they are told.
fn order(order: &Order) -> String {
    let key = |key: &Key| {
        let direction = if key.descending { "DESC" } else { "ASC" };
        let nulls = if key.nulls_first { "FIRST" } else { "LAST" };
        format!("{} {direction} NULLS {nulls}", key.column + 1)
    };
    let keys = order.keys.iter().map(key).collect::<Vec<_>>().join(", ");
    let limit = order.limit.map(|(rows, after)| format!(" LIMIT {rows} OFFSET {after}")).unwrap_or_default();
    format!(" ORDER BY {keys}{limit}")
}
