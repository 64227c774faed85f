//! The tree that a condition becomes when it is saved: typed, names replaced by places, literals by values.

use regex::Regex;

use super::value::{Type, Value};

/// How a column's array is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// As its type says.
    Plain,
    /// Seconds since 1970-01-01 UTC.
    Time,
    /// A big-endian number in bytes of a fixed length.
    Unsigned,
    /// A decimal number in a text.
    Decimal,
}

/// A column of the row, by its place in `Dataset::columns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColumnRead {
    pub(crate) column: usize,
    pub(crate) read: Read,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is done with two whole numbers, or with a time and a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What is asked of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// A part of an instant, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimePart {
    Hours,
    Minutes,
    /// 0 is Sunday.
    DayOfWeek,
}

/// A node of the tree. `Bool` nodes are never absent.
#[derive(Debug)]
pub(crate) enum Expression {
    Constant(Value<'static>),
    Column(ColumnRead),
    /// A decoded parameter, by its place in the signature.
    Argument(usize),
    /// What `exists` or `all` goes through, by nesting from the outside.
    Variable(usize),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    /// Condition, then, else.
    Choose(Box<[Self; 3]>),
    Compare(Comparison, Box<Self>, Box<Self>),
    /// Whether it is one of these.
    OneOf(Box<Self>, Vec<Value<'static>>),
    /// Whether the list has it.
    In(Box<Self>, Box<Self>),
    Arithmetic(Operation, Box<Self>, Box<Self>),
    Negate(Box<Self>),
    List(Vec<Self>),
    /// Element of a list or tuple, from 0.
    Element(Box<Self>, Box<Self>),
    Has(Box<Self>),
    Size(Box<Self>),
    Text(TextTest, Box<Self>, Box<Self>),
    Matches(Box<Self>, Regex),
    ToInt(Box<Self>),
    ToText(Box<Self>),
    /// As a text, divided by ten to this power.
    InUnits(Box<Self>, usize),
    TimePart(TimePart, Box<Self>),
    /// Whether some (`any`) or all elements of the list make the body true.
    Quantified {
        any: bool,
        list: Box<Self>,
        body: Box<Self>,
    },
}

/// A node with its type.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) expression: Expression,
    pub(crate) kind: Type,
}

impl Expression {
    /// Calls `visit` with each column that is read.
    pub(crate) fn each_column(&self, visit: &mut dyn FnMut(ColumnRead)) {
        match self {
            Self::Column(column) => visit(*column),
            Self::Constant(_) | Self::Argument(_) | Self::Variable(_) => {}
            Self::Not(inner)
            | Self::Negate(inner)
            | Self::Has(inner)
            | Self::Size(inner)
            | Self::Matches(inner, _)
            | Self::ToInt(inner)
            | Self::ToText(inner)
            | Self::InUnits(inner, _)
            | Self::OneOf(inner, _)
            | Self::TimePart(_, inner) => inner.each_column(visit),
            Self::And(left, right)
            | Self::Or(left, right)
            | Self::Compare(_, left, right)
            | Self::In(left, right)
            | Self::Arithmetic(_, left, right)
            | Self::Element(left, right)
            | Self::Text(_, left, right)
            | Self::Quantified { list: left, body: right, .. } => {
                left.each_column(visit);
                right.each_column(visit);
            }
            Self::Choose(parts) => parts.iter().for_each(|part| part.each_column(visit)),
            Self::List(elements) => elements.iter().for_each(|element| element.each_column(visit)),
        }
    }
}
