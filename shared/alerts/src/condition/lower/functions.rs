//! The functions of conditions.

use cel::common::ast::{CallExpr, Expr, IdedExpr};
use regex::RegexBuilder;

use super::{Lowered, Lowering, Variable, truth};
use crate::condition::expression::{Expression, TextTest, TimePart, Typed};
use crate::condition::literals::{self, MAX_DECIMALS};
use crate::condition::value::{Type, Value};

/// Room that a compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 64 * 1024;

/// Names of all functions, for whoever misspells one.
const FUNCTIONS: &str = "size, startsWith, endsWith, contains, matches, ether, gwei, units, int, string, inUnits, timestamp, \
                         getHours, getMinutes, getDayOfWeek, has, exists and all";

impl<'tree> Lowering<'tree> {
    /// A call by name; `x.f(y)` is `f(x, y)`.
    pub(super) fn function(&mut self, node: &'tree IdedExpr, call: &'tree CallExpr) -> Lowered<Typed> {
        let arguments: Vec<&'tree IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let name = call.func_name.as_str();
        match (name, arguments.as_slice()) {
            ("size", [inner]) => self.size(inner),
            ("startsWith", [text, part]) => self.text_test(TextTest::StartsWith, text, part),
            ("endsWith", [text, part]) => self.text_test(TextTest::EndsWith, text, part),
            ("contains", [text, part]) => self.text_test(TextTest::Contains, text, part),
            ("matches", [text, pattern]) => self.matches(text, pattern),
            ("ether", [text]) => self.amount(text, 18),
            ("gwei", [text]) => self.amount(text, 9),
            ("units", [text, decimals]) => {
                let decimals = self.decimals(decimals)?;
                self.amount(text, decimals)
            }
            ("inUnits", [number, decimals]) => {
                let decimals = self.decimals(decimals)?;
                let number = self.of_type(number, &Type::Int)?;
                Ok(Typed { expression: Expression::InUnits(number, decimals), kind: Type::Text })
            }
            ("int", [inner]) => self.int(inner),
            ("string", [inner]) => {
                let typed = self.node(inner)?;
                if typed.kind == Type::Null {
                    return self.mistake(inner, "null is no text");
                }
                Ok(Typed { expression: Expression::ToText(Box::new(typed.expression)), kind: Type::Text })
            }
            ("timestamp", [text]) => {
                let text_value = self.text_literal(text)?;
                let seconds = literals::instant(&text_value).or_else(|message| self.mistake(text, message))?;
                Ok(Typed { expression: Expression::Constant(Value::Time(seconds)), kind: Type::Time })
            }
            ("getHours", [time]) => self.time_part(TimePart::Hours, time),
            ("getMinutes", [time]) => self.time_part(TimePart::Minutes, time),
            ("getDayOfWeek", [time]) => self.time_part(TimePart::DayOfWeek, time),
            ("has", [inner]) => {
                let typed = self.node(inner)?;
                Ok(truth(Expression::Has(Box::new(typed.expression))))
            }
            ("exists", [list, variable, body]) => self.quantified(true, list, variable, body),
            ("all", [list, variable, body]) => self.quantified(false, list, variable, body),
            _ if FUNCTIONS.split([',', ' ']).any(|known| known == name) => {
                self.mistake(node, format!("`{name}` does not take {} values", arguments.len()))
            }
            _ => self.mistake(node, format!("there is no function `{name}`, but {FUNCTIONS}")),
        }
    }

    fn size(&mut self, inner: &'tree IdedExpr) -> Lowered<Typed> {
        let typed = self.node(inner)?;
        if !matches!(typed.kind, Type::Text | Type::Bytes(_) | Type::List(_)) {
            return self.mistake(inner, format!("{} has no size", typed.kind));
        }
        Ok(Typed { expression: Expression::Size(Box::new(typed.expression)), kind: Type::Int })
    }

    fn text_test(&mut self, test: TextTest, text: &'tree IdedExpr, part: &'tree IdedExpr) -> Lowered<Typed> {
        let (text, part) = (self.of_type(text, &Type::Text)?, self.of_type(part, &Type::Text)?);
        Ok(truth(Expression::Text(test, text, part)))
    }

    fn matches(&mut self, text: &'tree IdedExpr, pattern: &'tree IdedExpr) -> Lowered<Typed> {
        let text = self.of_type(text, &Type::Text)?;
        let written = self.text_literal(pattern)?;
        let compiled = RegexBuilder::new(&written)
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(4 * MAX_PATTERN_BYTES)
            .nest_limit(32)
            .build();
        match compiled {
            Ok(compiled) => Ok(truth(Expression::Matches(text, compiled))),
            Err(regex::Error::CompiledTooBig(_)) => self.mistake(pattern, "the pattern takes too much room"),
            Err(error) => {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.mistake(pattern, format!("it is no regular expression: {reason}"))
            }
        }
    }

    /// `ether("1.5")`; a whole number may stand without quotes.
    fn amount(&mut self, node: &'tree IdedExpr, decimals: usize) -> Lowered<Typed> {
        let typed = self.node(node)?;
        let text = match typed.expression {
            Expression::Constant(Value::Text(text)) => text.into_owned(),
            Expression::Constant(Value::Int(int)) => int.to_string(),
            _ => return self.mistake(node, "an amount is written as a literal, as in ether(\"1.5\")"),
        };
        let amount = literals::amount(&text, decimals).or_else(|message| self.mistake(node, message))?;
        Ok(Typed { expression: Expression::Constant(Value::Int(amount)), kind: Type::Int })
    }

    fn decimals(&mut self, node: &'tree IdedExpr) -> Lowered<usize> {
        let typed = self.node(node)?;
        let decimals = match typed.expression {
            Expression::Constant(Value::Int(int)) => int.to_i64().and_then(|int| usize::try_from(int).ok()),
            _ => None,
        };
        match decimals.filter(|decimals| *decimals <= MAX_DECIMALS) {
            Some(decimals) => Ok(decimals),
            None => self.mistake(node, format!("the number of decimals is a literal from 0 to {MAX_DECIMALS}")),
        }
    }

    fn int(&mut self, inner: &'tree IdedExpr) -> Lowered<Typed> {
        let typed = self.node(inner)?;
        let expression = match (typed.expression, &typed.kind) {
            (Expression::Constant(Value::Text(text)), _) => {
                let int = literals::whole(&text).or_else(|message| self.mistake(inner, message))?;
                Expression::Constant(Value::Int(int))
            }
            (expression, Type::Int) => expression,
            (expression, Type::Text | Type::Time | Type::Bytes(None)) => Expression::ToInt(Box::new(expression)),
            (expression, Type::Bytes(Some(length))) if *length <= 32 => Expression::ToInt(Box::new(expression)),
            (_, kind) => return self.mistake(inner, format!("{kind} cannot become a whole number")),
        };
        Ok(Typed { expression, kind: Type::Int })
    }

    fn time_part(&mut self, part: TimePart, time: &'tree IdedExpr) -> Lowered<Typed> {
        let time = self.of_type(time, &Type::Time)?;
        Ok(Typed { expression: Expression::TimePart(part, time), kind: Type::Int })
    }

    fn quantified(
        &mut self,
        any: bool,
        list: &'tree IdedExpr,
        variable: &'tree IdedExpr,
        body: &'tree IdedExpr,
    ) -> Lowered<Typed> {
        let typed = self.node(list)?;
        let Type::List(kind) = typed.kind else {
            return self.mistake(list, format!("a list is due here, and this is {}", typed.kind));
        };
        let Expr::Ident(name) = &variable.expr else {
            return self.mistake(variable, "a name for the element is due here, as in list.exists(x, x > 1)");
        };
        let is_taken = self.variables.iter().any(|variable| variable.name == *name);
        if is_taken || ["args", "block"].contains(&name.as_str()) || self.names.find(&[name.as_str()]).is_ok() {
            return self.mistake(variable, format!("`{name}` is the name of something else here"));
        }
        self.variables.push(Variable { name: name.clone(), kind: *kind });
        let body = self.condition(body);
        self.variables.pop();
        Ok(truth(Expression::Quantified { any, list: Box::new(typed.expression), body: body? }))
    }

    fn text_literal(&mut self, node: &'tree IdedExpr) -> Lowered<String> {
        match self.node(node)?.expression {
            Expression::Constant(Value::Text(text)) => Ok(text.into_owned()),
            _ => self.mistake(node, "a text in quotes is due here"),
        }
    }
}
