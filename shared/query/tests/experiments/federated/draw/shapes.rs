//! The shapes of queries, from the lookup of a hash to joins and windows.

use isotherm_types::Dataset;
use rand::Rng;

use super::Draw;
use crate::federated::question::{Condition, Field, Kind, Query, Scalar, Select, Tables};

/// Names that the columns of a derived table have.
const DERIVED: [&str; 4] = ["c0", "c1", "c2", "c3"];

impl Draw<'_> {
    pub(super) fn shape(&mut self, turn: usize) -> Query {
        match turn % 16 {
            0 => self.hash_lookup(),
            1 | 2 => self.projection(),
            3 | 4 => self.aggregates(),
            5 | 6 => self.groups(),
            7 => self.join_of_logs(),
            8 => self.left_join(),
            9 => self.three_way_join(),
            10 => self.union_all(),
            11 => self.first_of_each(),
            12 => self.running_sum(),
            13 => self.in_subquery(),
            14 => self.exists(),
            _ => self.distinct(),
        }
    }

    fn from(&mut self, dataset: Dataset, alias: &'static str) -> Tables {
        self.note(dataset.as_str());
        Tables::Dataset(dataset, alias)
    }

    /// `left` with the rows of another dataset beside it, whose fields come second in `on`.
    fn join(&mut self, left: Tables, right: Dataset, on: &[(Field, Field)], outer: bool) -> Tables {
        self.note(right.as_str());
        let alias = on[0].1.alias;
        Tables::Join { left: Box::new(left), right, alias, outer, on: on.to_vec() }
    }

    /// A run of blocks, and now and then something more.
    fn filters(&mut self, dataset: Dataset, alias: &'static str) -> Vec<Condition> {
        let number = Field::of(dataset, alias, "block_number");
        let mut filters = vec![self.blocks(number)];
        if self.random.random_bool(0.4) {
            let condition = self.condition(dataset, alias);
            filters.push(condition);
        }
        filters
    }

    fn hash_lookup(&mut self) -> Query {
        self.note("hash_lookup");
        let (dataset, name) = self.pick(&[
            (Dataset::Transactions, "transaction_hash"),
            (Dataset::Logs, "transaction_hash"),
            (Dataset::Traces, "transaction_hash"),
            (Dataset::Blocks, "block_hash"),
            (Dataset::Transactions, "block_hash"),
        ]);
        let marks = self.marks;
        let hashes = if name == "block_hash" { &marks.block_hashes } else { &marks.transaction_hashes };
        let hash = Field::of(dataset, "t", name);
        // Several, of which some may be of orphaned blocks.
        let mut values = Vec::new();
        for _ in 0..4 {
            let value = self.pick(hashes);
            values.push(self.bytes(value.to_vec()));
        }
        let outputs = vec![Scalar::Field(hash), self.expression(dataset, "t"), self.expression(dataset, "t")];
        let from = self.from(dataset, "t");
        Query::of(Select::new(outputs, from, vec![Condition::OneOf(hash, values)]))
    }

    fn projection(&mut self) -> Query {
        self.note("projection");
        let dataset = self.dataset();
        let width = self.random.random_range(1..7);
        let outputs = (0..width).map(|_| self.expression(dataset, "t")).collect();
        let (from, filters) = (self.from(dataset, "t"), self.filters(dataset, "t"));
        Query::of(Select::new(outputs, from, filters))
    }

    fn aggregates(&mut self) -> Query {
        self.note("aggregate");
        let dataset = self.dataset();
        let width = self.random.random_range(1..5);
        let outputs = (0..width).map(|_| self.aggregate(dataset, "t")).collect();
        let filters = if self.random.random_bool(0.5) { self.filters(dataset, "t") } else { vec![] };
        let from = self.from(dataset, "t");
        Query::of(Select::new(outputs, from, filters))
    }

    fn groups(&mut self) -> Query {
        self.note("group");
        let dataset = self.dataset();
        let mut outputs = vec![self.expression(dataset, "t")];
        for _ in 0..self.random.random_range(1..4) {
            outputs.push(self.aggregate(dataset, "t"));
        }
        let filters = if self.random.random_bool(0.5) { self.filters(dataset, "t") } else { vec![] };
        let mut select = Select::new(outputs, self.from(dataset, "t"), filters);
        if self.random.random_bool(0.3) {
            self.note("having");
            select.having = Some(2);
        }
        Query::of(select)
    }

    fn join_of_logs(&mut self) -> Query {
        self.note("join");
        let on = ["block_number", "transaction_index"]
            .map(|name| (Field::of(Dataset::Logs, "l", name), Field::of(Dataset::Transactions, "t", name)));
        let left = self.from(Dataset::Logs, "l");
        let from = self.join(left, Dataset::Transactions, &on, false);
        let outputs = if self.random.random_bool(0.5) {
            vec![
                Scalar::Field(Field::of(Dataset::Logs, "l", "block_number")),
                Scalar::Field(Field::of(Dataset::Logs, "l", "log_index")),
                self.expression(Dataset::Transactions, "t"),
                self.expression(Dataset::Logs, "l"),
            ]
        } else {
            vec![self.expression(Dataset::Transactions, "t"), self.aggregate(Dataset::Logs, "l")]
        };
        let filters = self.filters(Dataset::Logs, "l");
        Query::of(Select::new(outputs, from, filters))
    }

    /// Transactions without logs, or traces without a transaction, stay.
    fn left_join(&mut self) -> Query {
        self.note("left_join");
        let (kept, other) =
            self.pick(&[(Dataset::Transactions, Dataset::Logs), (Dataset::Traces, Dataset::Transactions)]);
        let on =
            ["block_number", "transaction_index"].map(|name| (Field::of(kept, "a", name), Field::of(other, "b", name)));
        let left = self.from(kept, "a");
        let from = self.join(left, other, &on, true);
        let outputs = vec![
            Scalar::Field(Field::of(kept, "a", "block_number")),
            self.expression(kept, "a"),
            self.expression(other, "b"),
        ];
        let filters = self.filters(kept, "a");
        Query::of(Select::new(outputs, from, filters))
    }

    fn three_way_join(&mut self) -> Query {
        self.note("three_way_join");
        let hash = |dataset, alias| Field::of(dataset, alias, "block_hash");
        let index = |dataset, alias| Field::of(dataset, alias, "transaction_index");
        let blocks = self.from(Dataset::Blocks, "b");
        let of_block = [(hash(Dataset::Blocks, "b"), hash(Dataset::Transactions, "t"))];
        let transactions = self.join(blocks, Dataset::Transactions, &of_block, false);
        let of_transaction = [
            (hash(Dataset::Transactions, "t"), hash(Dataset::Traces, "r")),
            (index(Dataset::Transactions, "t"), index(Dataset::Traces, "r")),
        ];
        let from = self.join(transactions, Dataset::Traces, &of_transaction, false);
        let outputs = vec![
            self.expression(Dataset::Blocks, "b"),
            self.aggregate(Dataset::Traces, "r"),
            self.aggregate(Dataset::Transactions, "t"),
        ];
        let filters = self.filters(Dataset::Blocks, "b");
        Query::of(Select::new(outputs, from, filters))
    }

    fn union_all(&mut self) -> Query {
        self.note("union_all");
        let selects = (0..self.random.random_range(2..4)).map(|_| {
            let dataset = self.dataset();
            let outputs = vec![
                Scalar::Field(Field::of(dataset, "t", "block_number")),
                Scalar::Field(Field::of(dataset, "t", "block_hash")),
                Scalar::Field(self.field_of(dataset, "t", &[Kind::Number])),
            ];
            let (from, filters) = (self.from(dataset, "t"), self.filters(dataset, "t"));
            Select::new(outputs, from, filters)
        });
        let selects: Vec<Select> = selects.collect();
        let first = selects[0].clone();
        Query { selects, ..Query::of(first) }
    }

    /// The first rows of each group by a window.
    fn first_of_each(&mut self) -> Query {
        self.note("window");
        self.note("derived_table");
        let (dataset, among) = self.pick(&[
            (Dataset::Logs, "address"),
            (Dataset::Transactions, "from_address"),
            (Dataset::Traces, "action_type"),
            (Dataset::Logs, "block_number"),
        ]);
        let place = dataset.sort_columns().iter().map(|name| Field::of(dataset, "t", name)).collect();
        let among = Field::of(dataset, "t", among);
        let inner_outputs = vec![
            Scalar::Field(among),
            Scalar::Field(Field::of(dataset, "t", "block_number")),
            Scalar::RowNumber(among, place),
        ];
        let filters = if self.random.random_bool(0.5) { self.filters(dataset, "t") } else { vec![] };
        let inner = Query::of(Select::new(inner_outputs, self.from(dataset, "t"), filters));
        let column = |i: usize, kind| Field { alias: "s", name: DERIVED[i], kind };
        let outputs = inner.columns().into_iter().enumerate().map(|(i, kind)| Scalar::Field(column(i, kind)));
        let outputs = outputs.collect();
        let most = self.random.random_range(1..4);
        let wanted = Condition::Between(column(2, Kind::Number), 1, most);
        Query::of(Select::new(outputs, Tables::Query(Box::new(inner), "s"), vec![wanted]))
    }

    fn running_sum(&mut self) -> Query {
        self.note("window");
        let dataset = self.pick(&[Dataset::Transactions, Dataset::Logs, Dataset::Traces]);
        let place: Vec<Field> = dataset.sort_columns().iter().map(|name| Field::of(dataset, "t", name)).collect();
        let of = self.field_of(dataset, "t", &[Kind::Number]);
        let among = self.field_of(dataset, "t", &[Kind::Bytes, Kind::Text, Kind::Number]);
        let mut outputs: Vec<Scalar> = place.iter().map(|field| Scalar::Field(*field)).collect();
        outputs.push(Scalar::RunningSum(of, among, place));
        let (from, filters) = (self.from(dataset, "t"), self.filters(dataset, "t"));
        Query::of(Select::new(outputs, from, filters))
    }

    /// Rows of transactions that others lead to.
    fn in_subquery(&mut self) -> Query {
        self.note("in_subquery");
        let inner_dataset = self.pick(&[Dataset::Logs, Dataset::Traces]);
        let hash = Scalar::Field(Field::of(inner_dataset, "i", "transaction_hash"));
        let inner_from = self.from(inner_dataset, "i");
        let inner = Select::new(vec![hash], inner_from, self.filters(inner_dataset, "i"));
        let dataset = Dataset::Transactions;
        let within = Condition::Within(Field::of(dataset, "t", "transaction_hash"), Box::new(inner));
        let outputs = vec![self.expression(dataset, "t"), self.expression(dataset, "t")];
        Query::of(Select::new(outputs, self.from(dataset, "t"), vec![within]))
    }

    /// Blocks that have, or do not have, rows of some sort.
    fn exists(&mut self) -> Query {
        self.note("exists");
        let inner_dataset = self.pick(&[Dataset::Transactions, Dataset::Logs, Dataset::Traces]);
        let same_block = Condition::Equal(
            Field::of(inner_dataset, "i", "block_number"),
            Field::of(Dataset::Blocks, "t", "block_number"),
        );
        let condition = self.condition(inner_dataset, "i");
        let constant = vec![Scalar::Constant(1)];
        let inner = Select::new(constant, self.from(inner_dataset, "i"), vec![same_block, condition]);
        let exists = Condition::Exists(Box::new(inner));
        let wanted = if self.random.random_bool(0.3) { Condition::Not(Box::new(exists)) } else { exists };
        let outputs =
            vec![Scalar::Field(Field::of(Dataset::Blocks, "t", "block_number")), self.expression(Dataset::Blocks, "t")];
        Query::of(Select::new(outputs, self.from(Dataset::Blocks, "t"), vec![wanted]))
    }

    fn distinct(&mut self) -> Query {
        self.note("distinct");
        let dataset = self.dataset();
        let outputs = vec![self.expression(dataset, "t"), self.expression(dataset, "t")];
        let filters = self.filters(dataset, "t");
        let mut select = Select::new(outputs, self.from(dataset, "t"), filters);
        select.distinct = true;
        Query::of(select)
    }
}
