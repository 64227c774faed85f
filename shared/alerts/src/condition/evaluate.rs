//! What a condition is of one row. Pure; bounded in steps.

use std::borrow::Cow;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use isotherm_types::{Classified, Disposition};

use super::expression::{ColumnRead, Comparison, Expression, Operation, TextTest, TimePart};
use super::number::Int;
use super::value::Value;

/// Steps that one row may take: nodes, elements of lists, and each 64 bytes of texts that are searched.
pub const MAX_STEPS: u32 = 100_000;

/// Bytes of a text that are searched in one step.
const BYTES_PER_STEP: usize = 64;

/// Why a row could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A number came to 2^512 or more.
    #[error("a number came to 2^512 or more")]
    Overflow,
    /// A division by 0.
    #[error("a number was divided by 0; ask for it before, as in `x != 0 && y / x > 2`")]
    DivisionByZero,
    /// [`MAX_STEPS`] were not enough.
    #[error("the condition took more than {MAX_STEPS} steps for one row")]
    TooManySteps,
    /// All rows of one run together took too many steps.
    #[error(
        "the condition took more than {limit} steps for the rows of one run; let `address`, `topic0` or `selector` choose them"
    )]
    TooSlow {
        /// The most that they may take.
        limit: u64,
    },
}

impl Classified for EvaluationError {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Overflow | Self::DivisionByZero => "alerts.condition_failed",
            Self::TooManySteps | Self::TooSlow { .. } => "alerts.condition_too_slow",
        }
    }
}

/// Where the values of a row are.
pub(crate) trait RowValues<'a> {
    /// The column's value.
    fn column(&self, read: ColumnRead) -> Value<'a>;

    /// The value of the parameter at `place` of the signature.
    fn argument(&self, place: usize) -> Value<'a>;
}

/// One evaluation of one row.
pub(crate) struct Evaluation<'a, 'row, S> {
    source: &'row S,
    variables: Vec<Value<'a>>,
    steps_left: u32,
}

impl<'a, 'row, S: RowValues<'a>> Evaluation<'a, 'row, S> {
    pub(crate) fn new(source: &'row S) -> Self {
        Self { source, variables: Vec::new(), steps_left: MAX_STEPS }
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> u32 {
        MAX_STEPS - self.steps_left
    }

    /// The value of `expression`.
    ///
    /// # Errors
    /// [`EvaluationError`].
    pub(crate) fn value(&mut self, expression: &'a Expression) -> Result<Value<'a>, EvaluationError> {
        self.spend(1)?;
        Ok(match expression {
            Expression::Constant(value) => borrowed(value),
            Expression::Column(read) => self.source.column(*read),
            Expression::Argument(place) => {
                let value = self.source.argument(*place);
                if let Value::List(elements) = &value {
                    // They are copied each time.
                    self.spend(elements.len())?;
                }
                value
            }
            Expression::Variable(nesting) => self.variables.get(*nesting).cloned().unwrap_or(Value::Absent),
            Expression::Choose(parts) => {
                let [condition, then, otherwise] = &**parts;
                if self.holds(condition)? { self.value(then)? } else { self.value(otherwise)? }
            }
            Expression::Arithmetic(operation, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                calculate(*operation, left, right)?
            }
            Expression::Negate(inner) => match self.value(inner)? {
                Value::Int(int) => Value::Int(int.negate()),
                _ => Value::Absent,
            },
            Expression::List(elements) => {
                Value::List(elements.iter().map(|element| self.value(element)).collect::<Result<_, _>>()?)
            }
            Expression::Element(list, place) => {
                let (list, place) = (self.value(list)?, self.value(place)?);
                element(list, &place)
            }
            Expression::Size(inner) => match self.value(inner)? {
                Value::Bytes(bytes) => int_of(bytes.len()),
                Value::Text(text) => {
                    self.spend_bytes(text.len())?;
                    int_of(text.chars().count())
                }
                Value::List(list) => int_of(list.len()),
                _ => Value::Absent,
            },
            Expression::ToInt(inner) => to_int(&self.value(inner)?),
            Expression::ToText(inner) => match self.value(inner)? {
                Value::Absent => Value::Absent,
                Value::Text(text) => Value::Text(text),
                value => Value::Text(Cow::Owned(value.show())),
            },
            Expression::InUnits(inner, decimals) => match self.value(inner)? {
                Value::Int(int) => Value::Text(Cow::Owned(int.to_units(*decimals))),
                _ => Value::Absent,
            },
            Expression::TimePart(part, inner) => match self.value(inner)? {
                Value::Time(seconds) => part_of(*part, seconds),
                _ => Value::Absent,
            },
            Expression::Not(_)
            | Expression::And(..)
            | Expression::Or(..)
            | Expression::Compare(..)
            | Expression::OneOf(..)
            | Expression::In(..)
            | Expression::Has(_)
            | Expression::Text(..)
            | Expression::Matches(..)
            | Expression::Quantified { .. } => Value::Bool(self.test(expression)?),
        })
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// [`EvaluationError`].
    pub(crate) fn holds(&mut self, expression: &'a Expression) -> Result<bool, EvaluationError> {
        Ok(matches!(self.value(expression)?, Value::Bool(true)))
    }

    fn test(&mut self, expression: &'a Expression) -> Result<bool, EvaluationError> {
        Ok(match expression {
            Expression::Not(inner) => !self.holds(inner)?,
            Expression::And(left, right) => return self.both(left, right, true),
            Expression::Or(left, right) => return self.both(left, right, false),
            Expression::Compare(comparison, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                compare(*comparison, &left, &right)
            }
            Expression::OneOf(inner, values) => {
                let value = self.value(inner)?;
                self.spend(values.len())?;
                value != Value::Absent && values.contains(&value)
            }
            Expression::In(inner, list) => {
                let value = self.value(inner)?;
                match self.value(list)? {
                    Value::List(list) => {
                        self.spend(list.len())?;
                        value != Value::Absent && list.contains(&value)
                    }
                    _ => false,
                }
            }
            Expression::Has(inner) => self.value(inner)? != Value::Absent,
            Expression::Text(test, text, part) => match (self.value(text)?, self.value(part)?) {
                (Value::Text(text), Value::Text(part)) => {
                    self.spend_bytes(text.len())?;
                    match test {
                        TextTest::StartsWith => text.starts_with(&*part),
                        TextTest::EndsWith => text.ends_with(&*part),
                        TextTest::Contains => text.contains(&*part),
                    }
                }
                _ => false,
            },
            Expression::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => {
                    self.spend_bytes(text.len())?;
                    pattern.is_match(&text)
                }
                _ => false,
            },
            Expression::Quantified { any, list, body } => {
                let Value::List(list) = self.value(list)? else { return Ok(!any) };
                return self.quantify(*any, list, body);
            }
            other => matches!(self.value(other)?, Value::Bool(true)),
        })
    }

    /// `&&` (`all`) or `||`. As in CEL, a side that decides alone does so even if the other one fails, but not if that took too long.
    fn both(&mut self, left: &'a Expression, right: &'a Expression, all: bool) -> Result<bool, EvaluationError> {
        match self.holds(left) {
            Ok(left) if left != all => Ok(left),
            Ok(_) => self.holds(right),
            Err(error @ (EvaluationError::TooManySteps | EvaluationError::TooSlow { .. })) => Err(error),
            Err(error) => match self.holds(right)? {
                right if right != all => Ok(right),
                _ => Err(error),
            },
        }
    }

    fn quantify(&mut self, any: bool, list: Vec<Value<'a>>, body: &'a Expression) -> Result<bool, EvaluationError> {
        let mut answer = !any;
        for element in list {
            self.variables.push(element);
            let holds = self.holds(body);
            self.variables.pop();
            if holds? == any {
                answer = any;
                break;
            }
        }
        Ok(answer)
    }

    fn spend(&mut self, steps: usize) -> Result<(), EvaluationError> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps_left.checked_sub(steps));
        self.steps_left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(EvaluationError::TooManySteps)
    }

    fn spend_bytes(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.spend(bytes / BYTES_PER_STEP)
    }
}

/// The same value, without copying what is long.
fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Absent => Value::Absent,
        Value::Bool(value) => Value::Bool(*value),
        Value::Int(int) => Value::Int(*int),
        Value::Bytes(bytes) => Value::Bytes(Cow::Borrowed(&**bytes)),
        Value::Text(text) => Value::Text(Cow::Borrowed(&**text)),
        Value::Time(seconds) => Value::Time(*seconds),
        Value::List(values) => Value::List(values.iter().map(borrowed).collect()),
    }
}

fn compare(comparison: Comparison, left: &Value<'_>, right: &Value<'_>) -> bool {
    // Whatever is compared with an absent value: it does not hold.
    let Some(order) = left.order(right) else { return false };
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::Unequal => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn calculate<'a>(operation: Operation, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, EvaluationError> {
    let number = |int: Option<Int>| int.map(Value::Int).ok_or(EvaluationError::Overflow);
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => match operation {
            Operation::Add => number(left.checked_add(right)),
            Operation::Subtract => number(left.checked_sub(right)),
            Operation::Multiply => number(left.checked_mul(right)),
            Operation::Divide => left.checked_div(right).map(Value::Int).ok_or(EvaluationError::DivisionByZero),
            Operation::Remainder => left.checked_rem(right).map(Value::Int).ok_or(EvaluationError::DivisionByZero),
        },
        (Value::Time(left), Value::Time(right)) => number(Int::from(left).checked_sub(Int::from(right))),
        (Value::Time(time), Value::Int(seconds)) => {
            let seconds = seconds.to_i64().ok_or(EvaluationError::Overflow)?;
            let moved = match operation {
                Operation::Subtract => time.checked_sub(seconds),
                _ => time.checked_add(seconds),
            };
            moved.map(Value::Time).ok_or(EvaluationError::Overflow)
        }
        _ => Ok(Value::Absent),
    }
}

fn element<'a>(list: Value<'a>, place: &Value<'a>) -> Value<'a> {
    let (Value::List(mut list), Value::Int(place)) = (list, place) else { return Value::Absent };
    let place = place.to_i64().and_then(|place| usize::try_from(place).ok());
    place.filter(|place| *place < list.len()).map_or(Value::Absent, |place| list.swap_remove(place))
}

fn to_int<'a>(value: &Value<'a>) -> Value<'a> {
    let int = match value {
        Value::Int(int) => Some(*int),
        Value::Bytes(bytes) => Int::from_be_bytes(bytes),
        Value::Text(text) => Int::from_decimal(text),
        Value::Time(seconds) => Some(Int::from(*seconds)),
        Value::Bool(_) | Value::List(_) | Value::Absent => None,
    };
    int.map_or(Value::Absent, Value::Int)
}

fn part_of<'a>(part: TimePart, seconds: i64) -> Value<'a> {
    let Some(instant) = DateTime::<Utc>::from_timestamp(seconds, 0) else { return Value::Absent };
    let number = match part {
        TimePart::Hours => instant.hour(),
        TimePart::Minutes => instant.minute(),
        TimePart::DayOfWeek => instant.weekday().num_days_from_sunday(),
    };
    Value::Int(Int::from(u64::from(number)))
}

fn int_of<'a>(count: usize) -> Value<'a> {
    Value::Int(Int::from(u64::try_from(count).unwrap_or(u64::MAX)))
}
