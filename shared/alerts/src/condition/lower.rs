//! From the parser's tree to ours: names are found, types are checked, literals become values.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::expression::{Comparison, Expression, Operation, Typed};
use super::literals;
use super::names::Names;
use super::number::Int;
use super::parse::{Mistake, Parsed};
use super::value::{Type, Value};

mod functions;

/// Deepest tree: what an evaluation recurses into.
const MAX_DEPTH: usize = 64;

/// Most nodes.
const MAX_NODES: usize = 1000;

/// Types `parsed`.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn lower(parsed: &Parsed<'_>, names: &Names) -> Result<Typed, Mistake> {
    let mut lowering = Lowering { parsed, names, variables: Vec::new(), depth: 0, nodes: 0 };
    lowering.node(&parsed.root)
}

/// What `exists` and `all` are inside of.
struct Variable {
    name: String,
    kind: Type,
}

struct Lowering<'tree> {
    parsed: &'tree Parsed<'tree>,
    names: &'tree Names,
    variables: Vec<Variable>,
    depth: usize,
    nodes: usize,
}

type Lowered<T> = Result<T, Mistake>;

impl<'tree> Lowering<'tree> {
    fn mistake<T>(&self, at: &IdedExpr, message: impl Into<String>) -> Lowered<T> {
        Err(Mistake::new(self.parsed.position(at), message))
    }

    fn node(&mut self, node: &'tree IdedExpr) -> Lowered<Typed> {
        self.depth += 1;
        self.nodes += 1;
        if self.depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return self
                .mistake(node, format!("at most {MAX_DEPTH} parts may be nested, and {MAX_NODES} be there in all"));
        }
        let typed = match &node.expr {
            Expr::Literal(literal) => self.literal(node, literal),
            Expr::Ident(_) | Expr::Select(_) => self.name(node),
            Expr::Call(call) => self.call(node, call),
            Expr::List(list) => self.list(node, &list.elements),
            Expr::Map(_) | Expr::Struct(_) => self.mistake(node, "maps and messages are of no use here"),
            Expr::Comprehension(_) | Expr::Unspecified => self.mistake(node, "it cannot be read as an expression"),
        };
        self.depth -= 1;
        typed
    }

    fn literal(&self, node: &IdedExpr, literal: &LiteralValue) -> Lowered<Typed> {
        let (value, kind) = match literal {
            LiteralValue::Boolean(value) => (Value::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(value) => (Value::Int(Int::from(*value.inner())), Type::Int),
            LiteralValue::UInt(value) => (Value::Int(Int::from(*value.inner())), Type::Int),
            LiteralValue::String(text) => (Value::Text(text.inner().to_owned().into()), Type::Text),
            LiteralValue::Bytes(bytes) => {
                (Value::Bytes(bytes.inner().to_vec().into()), Type::Bytes(Some(bytes.inner().len())))
            }
            LiteralValue::Null => (Value::Absent, Type::Null),
            LiteralValue::Double(_) => {
                let message =
                    "fractions are not exact: write an amount as ether(\"1.5\"), gwei(\"3.2\") or units(\"1.5\", 6)";
                return self.mistake(node, message);
            }
        };
        Ok(Typed { expression: Expression::Constant(value), kind })
    }

    /// A column, a parameter, a part of the block, or what a quantifier goes through.
    fn name(&self, node: &IdedExpr) -> Lowered<Typed> {
        let mut parts = Vec::new();
        let mut at = node;
        let root = loop {
            match &at.expr {
                Expr::Select(select) if !select.test => {
                    parts.push(select.field.as_str());
                    at = &select.operand;
                }
                Expr::Ident(name) => break name.as_str(),
                _ => {
                    return self.mistake(
                        at,
                        "only `block` and `args` have named parts; an element of a list is written list[0]",
                    );
                }
            }
        };
        parts.push(root);
        parts.reverse();
        if let Some(nesting) = self.variables.iter().rposition(|variable| variable.name == root) {
            if parts.len() > 1 {
                return self
                    .mistake(node, format!("`{root}` has no named parts; the first part of a tuple is {root}[0]"));
            }
            let kind = self.variables[nesting].kind.clone();
            return Ok(Typed { expression: Expression::Variable(nesting), kind });
        }
        self.names.find(&parts).or_else(|message| self.mistake(node, message))
    }

    fn call(&mut self, node: &'tree IdedExpr, call: &'tree CallExpr) -> Lowered<Typed> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => {
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                Ok(truth(Expression::And(left, right)))
            }
            (operators::LOGICAL_OR, [left, right]) => {
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                Ok(truth(Expression::Or(left, right)))
            }
            (operators::LOGICAL_NOT, [inner]) => Ok(truth(Expression::Not(self.condition(inner)?))),
            (operators::CONDITIONAL, [condition, then, otherwise]) => self.choose(condition, then, otherwise),
            (operators::IN, [element, list]) => self.membership(element, list),
            (operators::NEGATE, [inner]) => {
                let typed = self.of_type(inner, &Type::Int)?;
                Ok(Typed { expression: Expression::Negate(typed), kind: Type::Int })
            }
            (operators::INDEX, [list, place]) => self.element(list, place),
            (_, [left, right]) if comparison(name).is_some() => {
                let comparison = comparison(name).expect("it was asked for just now");
                self.compare(node, comparison, left, right)
            }
            (_, [left, right]) if operation(name).is_some() => {
                let operation = operation(name).expect("it was asked for just now");
                self.calculate(node, operation, left, right)
            }
            _ => self.function(node, call),
        }
    }

    /// A node that has to be true or false.
    fn condition(&mut self, node: &'tree IdedExpr) -> Lowered<Box<Expression>> {
        self.of_type(node, &Type::Bool)
    }

    fn of_type(&mut self, node: &'tree IdedExpr, kind: &Type) -> Lowered<Box<Expression>> {
        let typed = self.node(node)?;
        if !typed.kind.is_like(kind) {
            return self.mistake(node, format!("{kind} is due here, and this is {}", typed.kind));
        }
        Ok(Box::new(typed.expression))
    }

    fn choose(
        &mut self,
        condition: &'tree IdedExpr,
        then: &'tree IdedExpr,
        otherwise: &'tree IdedExpr,
    ) -> Lowered<Typed> {
        let condition = self.condition(condition)?;
        let (left, right) = (self.node(then)?, self.node(otherwise)?);
        let (left, right) = self.alike((then, left), (otherwise, right))?;
        let Some(kind) = left.kind.common(&right.kind) else {
            let message = format!("both sides of `:` must be of one type, and are {} and {}", left.kind, right.kind);
            return self.mistake(otherwise, message);
        };
        Ok(Typed { expression: Expression::Choose(Box::new([*condition, left.expression, right.expression])), kind })
    }

    fn compare(
        &mut self,
        node: &IdedExpr,
        comparison: Comparison,
        left: &'tree IdedExpr,
        right: &'tree IdedExpr,
    ) -> Lowered<Typed> {
        let (left_typed, right_typed) = (self.node(left)?, self.node(right)?);
        if left_typed.kind == Type::Null || right_typed.kind == Type::Null {
            return self.compare_with_null(node, comparison, left_typed, right_typed);
        }
        let (left_typed, right_typed) = self.alike((left, left_typed), (right, right_typed))?;
        let (kind, other) = (&left_typed.kind, &right_typed.kind);
        if !kind.is_like(other) {
            return self.mistake(node, format!("{kind} cannot be compared with {other}"));
        }
        if let (Type::Bytes(Some(own)), Type::Bytes(Some(other))) = (kind, other)
            && own != other
        {
            return self.mistake(node, format!("{own} bytes never equal {other} bytes"));
        }
        let is_equality = matches!(comparison, Comparison::Equal | Comparison::Unequal);
        match kind {
            Type::Int | Type::Time | Type::Text => {}
            Type::Bool | Type::Bytes(_) if is_equality => {}
            Type::List(_) | Type::Tuple(_) => {
                return self.mistake(node, "lists are not compared: ask for an element, or by exists and all");
            }
            _ => return self.mistake(node, format!("{kind} has no order")),
        }
        let (left, right) = (Box::new(left_typed.expression), Box::new(right_typed.expression));
        Ok(truth(Expression::Compare(comparison, left, right)))
    }

    /// `x == null` asks whether x is absent.
    fn compare_with_null(&self, node: &IdedExpr, comparison: Comparison, left: Typed, right: Typed) -> Lowered<Typed> {
        let value = if left.kind == Type::Null { right } else { left };
        if value.kind == Type::Null {
            return self.mistake(node, "null is compared with null");
        }
        let has = Expression::Has(Box::new(value.expression));
        match comparison {
            Comparison::Equal => Ok(truth(Expression::Not(Box::new(has)))),
            Comparison::Unequal => Ok(truth(has)),
            _ => self.mistake(node, "null has no order"),
        }
    }

    /// Makes a text literal on one side the bytes that the other side wants.
    fn alike(
        &self,
        (left_node, mut left): (&IdedExpr, Typed),
        (right_node, mut right): (&IdedExpr, Typed),
    ) -> Lowered<(Typed, Typed)> {
        if matches!(left.kind, Type::Bytes(_)) {
            right = self.as_bytes(right_node, right, &left.kind)?;
        } else if matches!(right.kind, Type::Bytes(_)) {
            left = self.as_bytes(left_node, left, &right.kind)?;
        }
        Ok((left, right))
    }

    /// `typed`, or the bytes that it writes if it is a text literal and `kind` are bytes.
    fn as_bytes(&self, node: &IdedExpr, typed: Typed, kind: &Type) -> Lowered<Typed> {
        let (Type::Bytes(length), Expression::Constant(Value::Text(text))) = (kind, &typed.expression) else {
            return Ok(typed);
        };
        let bytes = literals::hex_bytes(text, *length).or_else(|message| self.mistake(node, message))?;
        let kind = Type::Bytes(Some(bytes.len()));
        Ok(Typed { expression: Expression::Constant(Value::Bytes(bytes.into())), kind })
    }

    fn calculate(
        &mut self,
        node: &IdedExpr,
        operation: Operation,
        left: &'tree IdedExpr,
        right: &'tree IdedExpr,
    ) -> Lowered<Typed> {
        let (left, right) = (self.node(left)?, self.node(right)?);
        let kind = match (&left.kind, operation, &right.kind) {
            (Type::Int, _, Type::Int) | (Type::Time, Operation::Subtract, Type::Time) => Type::Int,
            (Type::Time, Operation::Add | Operation::Subtract, Type::Int) => Type::Time,
            (own, _, other) => {
                return self.mistake(node, format!("one cannot calculate with {own} and {other}"));
            }
        };
        let expression = Expression::Arithmetic(operation, Box::new(left.expression), Box::new(right.expression));
        Ok(Typed { expression, kind })
    }

    fn membership(&mut self, element: &'tree IdedExpr, list: &'tree IdedExpr) -> Lowered<Typed> {
        let typed = self.node(element)?;
        if let Expr::List(literal) = &list.expr {
            return self.one_of(element, typed, list, &literal.elements);
        }
        let list_typed = self.node(list)?;
        let Type::List(kind) = &list_typed.kind else {
            return self.mistake(list, format!("a list is due behind `in`, and this is {}", list_typed.kind));
        };
        let typed = self.as_bytes(element, typed, kind)?;
        if !typed.kind.is_like(kind) {
            return self.mistake(element, format!("the list holds {kind}, and this is {}", typed.kind));
        }
        Ok(truth(Expression::In(Box::new(typed.expression), Box::new(list_typed.expression))))
    }

    fn one_of(
        &mut self,
        element: &'tree IdedExpr,
        typed: Typed,
        list: &'tree IdedExpr,
        members: &'tree [IdedExpr],
    ) -> Lowered<Typed> {
        if members.is_empty() {
            return self.mistake(list, "nothing is in an empty list");
        }
        if matches!(typed.kind, Type::List(_) | Type::Tuple(_) | Type::Null) {
            return self.mistake(element, format!("{} is in no list", typed.kind));
        }
        let mut values = Vec::with_capacity(members.len());
        for member in members {
            let lowered = self.node(member)?;
            let lowered = self.as_bytes(member, lowered, &typed.kind)?;
            if !lowered.kind.is_like(&typed.kind) {
                return self.mistake(member, format!("{} is due here, and this is {}", typed.kind, lowered.kind));
            }
            match lowered.expression {
                Expression::Constant(value) => values.push(value),
                _ => return self.mistake(member, "a list behind `in` holds literals only"),
            }
        }
        Ok(truth(Expression::OneOf(Box::new(typed.expression), values)))
    }

    fn list(&mut self, node: &'tree IdedExpr, elements: &'tree [IdedExpr]) -> Lowered<Typed> {
        let mut kind: Option<Type> = None;
        let mut lowered = Vec::with_capacity(elements.len());
        for element in elements {
            let typed = self.node(element)?;
            let common = kind.as_ref().map_or_else(|| Some(typed.kind.clone()), |kind| kind.common(&typed.kind));
            match common.filter(|kind| *kind != Type::Null) {
                Some(common) => kind = Some(common),
                None => return self.mistake(element, "the elements of a list must be of one type"),
            }
            lowered.push(typed.expression);
        }
        let Some(kind) = kind else { return self.mistake(node, "an empty list is of no use here") };
        Ok(Typed { expression: Expression::List(lowered), kind: Type::List(Box::new(kind)) })
    }

    fn element(&mut self, list: &'tree IdedExpr, place: &'tree IdedExpr) -> Lowered<Typed> {
        let typed = self.node(list)?;
        let place_expression = self.of_type(place, &Type::Int)?;
        let kind = match typed.kind {
            Type::List(kind) => *kind,
            Type::Tuple(kinds) => {
                let constant = match &*place_expression {
                    Expression::Constant(Value::Int(place)) => {
                        place.to_i64().and_then(|place| usize::try_from(place).ok())
                    }
                    _ => None,
                };
                match constant.and_then(|place| kinds.get(place)) {
                    Some(kind) => kind.clone(),
                    None => return self.mistake(place, format!("the tuple has {} parts, from [0]", kinds.len())),
                }
            }
            other => return self.mistake(list, format!("{other} has no elements")),
        };
        Ok(Typed { expression: Expression::Element(Box::new(typed.expression), place_expression), kind })
    }
}

fn truth(expression: Expression) -> Typed {
    Typed { expression, kind: Type::Bool }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::Unequal,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        operators::ADD => Operation::Add,
        operators::SUBSTRACT => Operation::Subtract,
        operators::MULTIPLY => Operation::Multiply,
        operators::DIVIDE => Operation::Divide,
        operators::MODULO => Operation::Remainder,
        _ => return None,
    })
}
