//! Lines of a bill: quantities, prices, and which of it is there whatever happens on the chain. Pure.

use std::collections::BTreeMap;

use super::prices::Price;

/// A quantity of one thing that has a price.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Term {
    pub(crate) price: Price,
    /// Units that are there without a transaction, a rule or a query.
    pub(crate) fixed: f64,
    /// Units that come with them.
    pub(crate) grows: f64,
}

impl Term {
    pub(crate) fn of(price: &Price, fixed: f64, grows: f64) -> Self {
        Self { price: price.clone(), fixed, grows }
    }

    fn usd(&self, units: f64) -> f64 {
        units * self.price.usd / self.price.per
    }
}

/// One line: what is paid for, and where its quantities come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// The AWS service that bills it.
    pub(crate) service: &'static str,
    pub(crate) item: String,
    pub(crate) terms: Vec<Term>,
    pub(crate) from: String,
    /// `function/<key>`, `queue/<key>`, `operator/<key>`, `errand/<key>` or `bucket/<key>` of the stack file.
    pub(crate) member: Option<String>,
}

impl Line {
    /// A line about no single entry of the stack file.
    pub(crate) fn of(service: &'static str, item: &str, terms: Vec<Term>, from: &str) -> Self {
        Self { service, item: item.to_owned(), terms, from: from.to_owned(), member: None }
    }

    pub(crate) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for term in &self.terms {
            sum.fixed += term.usd(term.fixed);
            sum.grows += term.usd(term.grows);
        }
        sum
    }
}

/// USD a month.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) fixed: f64,
    pub(crate) grows: f64,
}

impl Sum {
    pub(crate) fn total(self) -> f64 {
        self.fixed + self.grows
    }

    fn add(&mut self, other: Self) {
        self.fixed += other.fixed;
        self.grows += other.grows;
    }
}

/// A month.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bill {
    pub(crate) lines: Vec<Line>,
    /// What the environment cannot bear as it is, and what it would cost more than it may.
    pub(crate) findings: Vec<String>,
}

impl Bill {
    /// By service, in alphabetical order.
    pub(crate) fn services(&self) -> BTreeMap<&'static str, Sum> {
        let mut services: BTreeMap<&'static str, Sum> = BTreeMap::new();
        for line in &self.lines {
            services.entry(line.service).or_default().add(line.sum());
        }
        services
    }

    pub(crate) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for line in &self.lines {
            sum.add(line.sum());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_paid_for_by_the_unit_that_the_price_is_for() {
        let price = |usd, per| Price { usd, per, unit: "requests".to_owned(), source: String::new() };
        let line = Line::of(
            "SQS",
            "queue",
            vec![Term::of(&price(0.5, 1_000_000.0), 3_000_000.0, 1_000_000.0), Term::of(&price(2.0, 1.0), 0.0, 4.0)],
            "",
        );
        assert_eq!(line.sum(), Sum { fixed: 1.5, grows: 8.5 });
        let other = Line { service: "S3", ..line.clone() };
        let bill = Bill { lines: vec![line.clone(), other, line], findings: Vec::new() };
        assert_eq!(bill.services()["SQS"], Sum { fixed: 3.0, grows: 17.0 });
        assert_eq!(bill.sum().total(), 30.0);
    }
}
