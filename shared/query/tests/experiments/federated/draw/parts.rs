//! The parts of a query: columns, expressions, conditions, orders.

use isotherm_types::Dataset;
use rand::Rng;

use super::Draw;
use crate::federated::chain::{ADDRESSES, SMALL, TEXTS, TOPICS, address, topic};
use crate::federated::question::{Condition, Field, Key, Kind, Literal, Order, Scalar};

/// Widest run of blocks that a query without an aggregate asks for.
const WIDEST: u64 = 40;

impl Draw<'_> {
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.random.random_range(0..items.len())]
    }

    pub(super) fn field(&mut self, dataset: Dataset, alias: &'static str) -> Field {
        let names: Vec<&str> = dataset.columns().iter().map(|column| column.name).collect();
        let name = self.pick(&names);
        Field::of(dataset, alias, name)
    }

    /// A column of one of these kinds.
    pub(super) fn field_of(&mut self, dataset: Dataset, alias: &'static str, kinds: &[Kind]) -> Field {
        loop {
            let field = self.field(dataset, alias);
            if kinds.contains(&field.kind) {
                return field;
            }
        }
    }

    /// A column, or something made of one.
    pub(super) fn expression(&mut self, dataset: Dataset, alias: &'static str) -> Scalar {
        let field = self.field(dataset, alias);
        if self.random.random_bool(0.5) {
            return Scalar::Field(field);
        }
        self.note("expression");
        match (field.kind, self.random.random_range(0..4)) {
            (_, 0) => Scalar::IsAbsent(field),
            (Kind::Number, 1) => Scalar::Quotient(field, self.random.random_range(2..9)),
            (Kind::Number, 2) => Scalar::Remainder(field, self.random.random_range(2..9)),
            (Kind::Number, _) => Scalar::Instead(field, Literal::Number(self.random.random_range(0..SMALL))),
            (Kind::Decimal, _) => Scalar::Instead(field, Literal::Decimal(-1)),
            (Kind::Text, _) => Scalar::Instead(field, Literal::Text(self.pick(&TEXTS).to_owned())),
            (Kind::Bytes, 1) => Scalar::Length(field),
            (Kind::Bytes, 2) => Scalar::Digits(field, self.random.random_range(1..9)),
            (Kind::Bytes, _) => Scalar::Instead(field, Literal::Bytes(vec![0xEE])),
            (Kind::Double | Kind::Boolean, _) => {
                self.note("case");
                let condition = self.condition(dataset, alias);
                Scalar::Choice(Box::new(condition), 1, 2)
            }
        }
    }

    pub(super) fn aggregate(&mut self, dataset: Dataset, alias: &'static str) -> Scalar {
        match self.random.random_range(0..8) {
            0 => Scalar::Count,
            1 => Scalar::CountOf(self.field(dataset, alias)),
            2 => {
                self.note("count_distinct");
                Scalar::CountDistinct(self.field(dataset, alias))
            }
            3 => {
                self.note("count_where");
                let condition = self.condition(dataset, alias);
                Scalar::CountWhere(Box::new(condition))
            }
            4 => {
                self.note("sum");
                Scalar::Sum(self.field_of(dataset, alias, &[Kind::Number]))
            }
            5 => match dataset {
                Dataset::Transactions => {
                    self.note("sum_of_decimals");
                    Scalar::Sum(Field::of(dataset, alias, "value"))
                }
                Dataset::Traces => self.exact_sum(dataset, alias, "action_value"),
                Dataset::Blocks | Dataset::Logs => Scalar::Count,
            },
            6 => match dataset {
                Dataset::Transactions => self.exact_sum(dataset, alias, "value_string"),
                Dataset::Blocks | Dataset::Logs | Dataset::Traces => self.extreme(dataset, alias),
            },
            _ => self.extreme(dataset, alias),
        }
    }

    /// Of amounts, many of which no column of 38 digits holds.
    fn exact_sum(&mut self, dataset: Dataset, alias: &'static str, name: &str) -> Scalar {
        self.note("sum_above_10_38");
        Scalar::SumOfText(Field::of(dataset, alias, name))
    }

    fn extreme(&mut self, dataset: Dataset, alias: &'static str) -> Scalar {
        self.note("min_max");
        let field = self.field_of(dataset, alias, &[Kind::Number, Kind::Decimal, Kind::Text, Kind::Bytes]);
        if self.random.random_bool(0.5) { Scalar::Least(field) } else { Scalar::Greatest(field) }
    }

    /// A condition on any column.
    pub(super) fn condition(&mut self, dataset: Dataset, alias: &'static str) -> Condition {
        let column = self.pick(dataset.columns());
        let field = Field::of(dataset, alias, column.name);
        if column.nullable && self.random.random_bool(0.3) {
            self.note("null_filter");
            return if self.random.random_bool(0.3) { Condition::Absent(field) } else { Condition::Present(field) };
        }
        let number = self.random.random_range(0..SMALL / 2);
        match (column.name, field.kind) {
            ("block_number", _) => Condition::Compare(field, ">=", Literal::Number(self.marks.tip / 2)),
            (_, Kind::Number) => match self.random.random_range(0..3) {
                0 => {
                    self.note("between");
                    Condition::Between(field, number, 1 << 39)
                }
                1 => Condition::Compare(field, self.pick(&[">=", "<>", ">"]), Literal::Number(number)),
                _ => {
                    self.note("in_list");
                    Condition::NoneOf(field, vec![Literal::Number(number), Literal::Number(number + 1)])
                }
            },
            (_, Kind::Decimal) => {
                let operator = self.pick(&["<", ">="]);
                let bound = self.pick(&[1, 10_i128.pow(18), 10_i128.pow(37)]);
                Condition::Compare(field, operator, Literal::Decimal(bound))
            }
            (_, Kind::Double) => Condition::Compare(field, ">=", Literal::Number(number)),
            (_, Kind::Boolean) if self.random.random_bool(0.3) => Condition::Not(Box::new(Condition::Holds(field))),
            (_, Kind::Boolean) => Condition::Holds(field),
            (_, Kind::Text) => {
                self.note("like");
                let pattern = self.pick(&["%", "%all%", "_%", "%e%", "1%"]);
                let like = Condition::Like(field, pattern);
                if self.random.random_bool(0.3) { Condition::Not(Box::new(like)) } else { like }
            }
            (name, Kind::Bytes) => self.condition_on_bytes(field, name),
        }
    }

    fn condition_on_bytes(&mut self, field: Field, name: &str) -> Condition {
        let count = self.random.random_range(1..=4);
        let values: Vec<Vec<u8>> = match name {
            "transaction_hash" | "block_hash" | "parent_hash" => return Condition::Present(field),
            "author" | "from_address" | "to_address" | "address" | "action_from" | "action_to" => {
                self.note("address_filter");
                (0..count).map(|_| address(self.random.random_range(0..ADDRESSES))).collect()
            }
            "topic0" | "topic1" | "topic2" | "topic3" => {
                self.note("topic_filter");
                (0..count).map(|_| topic(self.random.random_range(0..TOPICS))).collect()
            }
            _ => {
                let operator = self.pick(&[">=", "<"]);
                return Condition::Compare(field, operator, Literal::Bytes(vec![0x60]));
            }
        };
        let values = values.into_iter().map(|value| self.bytes(value)).collect();
        self.note("in_list");
        if self.random.random_bool(0.3) { Condition::NoneOf(field, values) } else { Condition::OneOf(field, values) }
    }

    pub(super) fn bytes(&mut self, bytes: Vec<u8>) -> Literal {
        if self.random.random_bool(0.5) {
            self.note("bare_hex");
            Literal::BareBytes(bytes)
        } else {
            Literal::Bytes(bytes)
        }
    }

    /// A run of blocks in one of the forms in which people write it, some of which a plan cannot read.
    pub(super) fn blocks(&mut self, field: Field) -> Condition {
        self.note("block_range");
        let tip = self.marks.tip;
        let first = self.random.random_range(0..=tip);
        let last = first + self.random.random_range(0..WIDEST);
        match self.random.random_range(0..8) {
            0 => Condition::Compare(field, ">=", Literal::Number(first.max(tip.saturating_sub(WIDEST)))),
            1 => Condition::Compare(field, "<", Literal::Number(last.min(WIDEST) + 1)),
            2 => {
                self.note("either");
                let other = self.random.random_range(0..=tip);
                Condition::Either(vec![
                    Condition::Between(field, first, last),
                    Condition::Compare(field, "=", Literal::Number(other)),
                ])
            }
            3 => {
                self.note("in_list");
                let numbers = (0..5).map(|_| Literal::Number(self.random.random_range(0..=tip)));
                Condition::OneOf(field, numbers.collect())
            }
            4 => {
                self.note("not");
                Condition::NotBetween(field, WIDEST / 2, tip.saturating_sub(WIDEST / 2))
            }
            5 => {
                self.note("scalar_subquery");
                Condition::Newest(field, self.random.random_range(0..WIDEST))
            }
            _ => {
                self.note("between");
                Condition::Between(field, first, last)
            }
        }
    }

    /// By all of `width` columns, in a random order.
    pub(super) fn order(&mut self, width: usize, limited: bool) -> Order {
        self.note("order");
        let mut columns: Vec<usize> = (0..width).collect();
        let mut keys = Vec::with_capacity(width);
        while !columns.is_empty() {
            let place = self.random.random_range(0..columns.len());
            let (descending, nulls_first) = self.random.random();
            keys.push(Key { column: columns.swap_remove(place), descending, nulls_first });
        }
        let limit = limited.then(|| {
            self.note("limit");
            (self.random.random_range(1..12), self.random.random_range(0..3))
        });
        Order { keys, limit }
    }
}
