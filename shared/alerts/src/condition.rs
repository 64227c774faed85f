//! Conditions: the Common Expression Language (<https://cel.dev>) over one row, typed when a rule is saved.
//!
//! The `cel` crate reads the text; names, types and evaluation are ours, since a chain's numbers have 256 bits and are compared
//! exactly, and its addresses are bytes that are written `0x…`. `docs/alerts.md` explains the language.
//!
//! Nothing here reads a clock, calls anything, or remembers a row. No text and no row makes it panic, and each is bounded in time.

mod evaluate;
mod expression;
mod literals;
mod lower;
mod names;
mod number;
mod parse;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use evaluate::{Evaluation, RowValues};
pub use evaluate::{EvaluationError, MAX_STEPS};
pub(crate) use expression::{ColumnRead, Expression, Read, Typed};
pub(crate) use literals::hex_bytes;
pub(crate) use names::{Names, ParameterName};
pub use number::Int;
pub use parse::{MAX_BYTES, MAX_NESTING, Mistake};
pub use value::Type;
pub(crate) use value::Value;

/// Reads and types `text`.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn compile(text: &str, names: &Names) -> Result<Typed, Vec<Mistake>> {
    parse::with_parsed(text, |parsed| lower::lower(parsed, names).map_err(|mistake| vec![mistake]))
}

/// As [`compile`], of an expression that has to be true or false.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn compile_condition(text: &str, names: &Names) -> Result<Expression, Vec<Mistake>> {
    let typed = compile(text, names)?;
    if typed.kind != Type::Bool {
        let message = format!("a condition is true or false, and this is {}", typed.kind);
        return Err(vec![Mistake::new(crate::definition::Position::START, message)]);
    }
    Ok(typed.expression)
}

/// Whether `condition` holds for the row, and the steps that it took.
///
/// # Errors
/// [`EvaluationError`].
pub(crate) fn holds<'a>(condition: &'a Expression, row: &impl RowValues<'a>) -> (Result<bool, EvaluationError>, u32) {
    let mut evaluation = Evaluation::new(row);
    let outcome = evaluation.holds(condition);
    (outcome, evaluation.steps())
}

/// The value of `expression` of the row.
///
/// # Errors
/// [`EvaluationError`].
pub(crate) fn value<'a>(expression: &'a Expression, row: &impl RowValues<'a>) -> Result<Value<'a>, EvaluationError> {
    Evaluation::new(row).value(expression)
}
