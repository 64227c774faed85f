//! A query as such, before it is written down for either database.

use std::collections::BTreeSet;

use isotherm_types::Dataset;
use isotherm_types::schema::ColumnType;

/// What the values of a column or an expression are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Decimal,
    Double,
    Boolean,
    Text,
    Bytes,
}

impl From<ColumnType> for Kind {
    fn from(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::UInt32 | ColumnType::UInt64 => Self::Number,
            ColumnType::Float64 => Self::Double,
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Text => Self::Text,
            ColumnType::Bytes | ColumnType::FixedBytes(_) => Self::Bytes,
            ColumnType::Decimal => Self::Decimal,
        }
    }
}

/// A column of a relation in `FROM`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) alias: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

impl Field {
    /// The column of a dataset.
    pub(crate) fn of(dataset: Dataset, alias: &'static str, name: &str) -> Self {
        let column = dataset.column(name).unwrap_or_else(|| panic!("{dataset} has no {name}"));
        Self { alias, name: column.name, kind: column.column_type.into() }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Literal {
    Number(u64),
    Decimal(i128),
    Text(String),
    Bytes(Vec<u8>),
    /// The same bytes, which users of the platform may write as a bare `0x…`.
    BareBytes(Vec<u8>),
}

/// Something that has a value in each row, or in each group.
#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    Field(Field),
    Constant(u64),
    /// The whole part of a division.
    Quotient(Field, u64),
    Remainder(Field, u64),
    /// In bytes.
    Length(Field),
    /// The first hexadecimal digits.
    Digits(Field, u32),
    /// The literal where nothing is.
    Instead(Field, Literal),
    IsAbsent(Field),
    /// One number where the condition holds, another one elsewhere.
    Choice(Box<Condition>, u64, u64),
    /// The place of the row among those with an equal first field, in the order of the others.
    RowNumber(Field, Vec<Field>),
    /// The sum of the first field up to the row, among those with an equal second field, in the order of the others.
    RunningSum(Field, Field, Vec<Field>),
    Count,
    CountOf(Field),
    CountDistinct(Field),
    CountWhere(Box<Condition>),
    Sum(Field),
    /// Of decimal digits in a text, exact at any size.
    SumOfText(Field),
    Least(Field),
    Greatest(Field),
}

impl Scalar {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Field(field) | Self::Instead(field, _) => field.kind,
            Self::Least(field) | Self::Greatest(field) => match field.kind {
                // They are compared as hexadecimal digits.
                Kind::Bytes => Kind::Text,
                kind => kind,
            },
            Self::Digits(..) => Kind::Text,
            Self::IsAbsent(_) => Kind::Boolean,
            Self::Constant(_)
            | Self::Quotient(..)
            | Self::Remainder(..)
            | Self::Length(_)
            | Self::Choice(..)
            | Self::RowNumber(..)
            | Self::RunningSum(..)
            | Self::Count
            | Self::CountOf(_)
            | Self::CountDistinct(_)
            | Self::CountWhere(_)
            | Self::Sum(_)
            | Self::SumOfText(_) => Kind::Number,
        }
    }

    /// Whether it has a value in each group only.
    pub(crate) fn aggregates(&self) -> bool {
        matches!(
            self,
            Self::Count
                | Self::CountOf(_)
                | Self::CountDistinct(_)
                | Self::CountWhere(_)
                | Self::Sum(_)
                | Self::SumOfText(_)
                | Self::Least(_)
                | Self::Greatest(_)
        )
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Between(Field, u64, u64),
    NotBetween(Field, u64, u64),
    /// Operator and literal.
    Compare(Field, &'static str, Literal),
    Equal(Field, Field),
    OneOf(Field, Vec<Literal>),
    NoneOf(Field, Vec<Literal>),
    Absent(Field),
    Present(Field),
    Like(Field, &'static str),
    Holds(Field),
    Not(Box<Condition>),
    Either(Vec<Condition>),
    /// The block is one of the last so many and the newest.
    Newest(Field, u64),
    Within(Field, Box<Select>),
    Exists(Box<Select>),
}

/// What stands in `FROM`.
#[derive(Clone, Debug)]
pub(crate) enum Tables {
    Dataset(Dataset, &'static str),
    Join {
        left: Box<Tables>,
        right: Dataset,
        alias: &'static str,
        /// Whether rows without a partner stay.
        outer: bool,
        on: Vec<(Field, Field)>,
    },
    /// Its columns are called `c0`, `c1` and so on.
    Query(Box<Query>, &'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) outputs: Vec<Scalar>,
    pub(crate) from: Tables,
    pub(crate) filters: Vec<Condition>,
    /// Fewest rows of a group.
    pub(crate) having: Option<u64>,
    pub(crate) distinct: bool,
}

impl Select {
    pub(crate) fn new(outputs: Vec<Scalar>, from: Tables, filters: Vec<Condition>) -> Self {
        Self { outputs, from, filters, having: None, distinct: false }
    }
}

/// An order by all columns, so that only equal rows can change places.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) keys: Vec<Key>,
    /// Rows at most, after so many.
    pub(crate) limit: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) column: usize,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// A whole query: one SELECT, or several joined by UNION ALL.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) selects: Vec<Select>,
    pub(crate) order: Option<Order>,
    /// Whether the whole is a common table expression, which is selected from.
    pub(crate) named: bool,
    /// What it is made of, for the counts.
    pub(crate) kinds: BTreeSet<&'static str>,
}

impl Query {
    pub(crate) fn of(select: Select) -> Self {
        Self { selects: vec![select], order: None, named: false, kinds: BTreeSet::new() }
    }

    /// What is in each of its columns.
    pub(crate) fn columns(&self) -> Vec<Kind> {
        self.selects[0].outputs.iter().map(Scalar::kind).collect()
    }

    pub(crate) fn width(&self) -> usize {
        self.selects[0].outputs.len()
    }
}
