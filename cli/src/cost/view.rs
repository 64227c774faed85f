//! A bill for people and for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bill::{Bill, Line, Sum, Term};
use super::counts::Count;
use super::load::Load;
use super::prices::{Price, PriceFile, Prices};
use crate::output::{self, say};

/// What the bill is of.
pub(super) struct Head<'a> {
    pub(super) environment: &'a str,
    pub(super) chain: &'a str,
    pub(super) load: &'a Load,
    pub(super) prices: &'a PriceFile<Prices>,
}

pub(super) fn print(head: &Head<'_>, bill: &Bill) {
    let load = head.load;
    say!(
        "A month of {} at {} transactions/s: {} with a block each {} ms, {} rules, {} queries a day, rows hot for {} \
         h, {} month(s) of history.",
        head.environment,
        load.transactions_per_second,
        head.chain,
        load.block_time_ms,
        load.rules,
        load.queries_per_day,
        load.hot_hours,
        load.history_months,
    );
    say!(
        "List prices of {} as known on {}, to be checked; free tiers, discounts and taxes are left out. USD a month.",
        head.prices.region,
        head.prices.as_of
    );
    let mut lines =
        output::table(&["service", "item", "quantity × price", "fixed", "grows", "from"], &["fixed", "grows"]);
    for line in sorted(bill) {
        let sum = line.sum();
        let terms: Vec<String> = line.terms.iter().filter(|term| term.fixed + term.grows > 0.0).map(term).collect();
        let item = line.item.clone();
        let cells =
            [line.service.to_owned(), item, terms.join("\n"), usd(sum.fixed), usd(sum.grows), line.from.clone()];
        lines.add_row(cells);
    }
    say!("{lines}");
    let mut services = output::table(&["service", "fixed", "grows", "together"], &["fixed", "grows", "together"]);
    let mut add = |name: &str, sum: Sum| {
        services.add_row([name.to_owned(), usd(sum.fixed), usd(sum.grows), usd(sum.total())]);
    };
    bill.services().into_iter().for_each(|(service, sum)| add(service, sum));
    add("total", bill.sum());
    say!("{services}");
    bill.findings.iter().for_each(|finding| say!("note: {finding}"));
}

/// Each count with its origin, each price with its page.
pub(super) fn print_explained(counts: &BTreeMap<String, Count>, prices: &PriceFile<BTreeMap<String, Price>>) {
    let mut table = output::table(&["count", "value", "unit", "from"], &["value"]);
    for (name, count) in counts {
        table.add_row([name.clone(), count.value.to_string(), count.unit.clone(), count.from.clone()]);
    }
    say!("{table}");
    let mut table = output::table(&["price", "USD", "for", "source"], &["USD"]);
    for (name, price) in &prices.prices {
        table.add_row([name.clone(), price.usd.to_string(), per(price), price.source.clone()]);
    }
    for (class, price) in &prices.database_instances {
        table.add_row([class.clone(), price.usd.to_string(), "1 hour".to_owned(), price.source.clone()]);
    }
    say!("{table}");
}

pub(super) fn to_json(head: &Head<'_>, bill: &Bill) -> Value {
    let load = head.load;
    let lines: Vec<Value> = sorted(bill).into_iter().map(line_json).collect();
    let services: Vec<Value> =
        bill.services().into_iter().map(|(name, sum)| sum_json(json!({ "service": name }), sum)).collect();
    json!({
        "environment": head.environment,
        "chain": head.chain,
        "transactions_per_second": load.transactions_per_second,
        "block_time_ms": load.block_time_ms,
        "partition_blocks": load.partition_blocks,
        "rules": load.rules,
        "queries_per_day": load.queries_per_day,
        "hot_hours": load.hot_hours,
        "history_months": load.history_months,
        "prices": { "region": head.prices.region, "as_of": head.prices.as_of, "currency": head.prices.currency },
        "lines": lines,
        "services": services,
        "total": sum_json(json!({}), bill.sum()),
        "findings": bill.findings,
    })
}

pub(super) fn explained_json(counts: &BTreeMap<String, Count>, prices: &PriceFile<BTreeMap<String, Price>>) -> Value {
    let counts: BTreeMap<&String, Value> = counts
        .iter()
        .map(|(name, count)| (name, json!({ "value": count.value, "unit": count.unit, "from": count.from })))
        .collect();
    let of_prices = prices.prices.iter().map(|(name, price)| {
        (name, json!({ "usd": price.usd, "per": price.per, "unit": price.unit, "source": price.source }))
    });
    let of_instances = prices
        .database_instances
        .iter()
        .map(|(class, price)| (class, json!({ "usd": price.usd, "per": 1, "unit": "hours", "source": price.source })));
    let prices: BTreeMap<&String, Value> = of_prices.chain(of_instances).collect();
    json!({ "counts": counts, "prices": prices })
}

/// Lines of one service together, in the order of the model.
fn sorted(bill: &Bill) -> Vec<&Line> {
    let mut lines: Vec<&Line> = bill.lines.iter().collect();
    lines.sort_by_key(|line| line.service);
    lines
}

fn line_json(line: &Line) -> Value {
    let terms: Vec<Value> = line
        .terms
        .iter()
        .map(|term| {
            json!({
                "fixed": rounded(term.fixed),
                "grows": rounded(term.grows),
                "unit": term.price.unit,
                "usd": term.price.usd,
                "per": term.price.per,
            })
        })
        .collect();
    sum_json(json!({ "service": line.service, "item": line.item, "quantities": terms, "from": line.from }), line.sum())
}

fn sum_json(mut json: Value, sum: Sum) -> Value {
    json["fixed_usd"] = json!(rounded(sum.fixed));
    json["grows_usd"] = json!(rounded(sum.grows));
    json["usd"] = json!(rounded(sum.total()));
    json
}

/// To hundredths.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Quantity and price of a term: `262,800 invocations × $1 / 1,000,000`.
fn term(term: &Term) -> String {
    let price = &term.price;
    let of = if price.per > 1.0 { format!(" / {}", quantity(price.per)) } else { String::new() };
    format!("{} {} × ${}{of}", quantity(term.fixed + term.grows), price.unit, price.usd)
}

/// What a price is for: `1,000,000 requests`.
fn per(price: &Price) -> String {
    format!("{} {}", quantity(price.per), price.unit)
}

/// A number of units: whole from 100 on, with its thousands set apart.
fn quantity(number: f64) -> String {
    if number < 100.0 && number.fract() != 0.0 { format!("{number:.2}") } else { grouped(number) }
}

/// A number to the nearest whole one, with its thousands set apart.
fn grouped(number: f64) -> String {
    let whole = format!("{number:.0}");
    whole.parse().map_or(whole, output::grouped)
}

/// An amount in USD: `1,234.50`.
pub(super) fn usd(amount: f64) -> String {
    let text = format!("{amount:.2}");
    let (dollars, cents) = text.split_once('.').unwrap_or((text.as_str(), "00"));
    let dollars = dollars.parse().map_or_else(|_negative| dollars.to_owned(), output::grouped);
    format!("{dollars}.{cents}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::scene::Scene;
    use crate::golden;

    #[test]
    fn quantities_and_amounts_are_read_at_a_glance() {
        assert_eq!([0.0, 0.25, 99.0, 1_234.6].map(quantity), ["0", "0.25", "99", "1,235"]);
        assert_eq!([0.0, 0.005, 12.345, 1_234_567.891].map(usd), ["0.00", "0.01", "12.35", "1,234,567.89"]);
        let price = Price { usd: 0.5, per: 1e6, unit: "requests".to_owned(), source: String::new() };
        assert_eq!(term(&Term::of(&price, 1_000.0, 234.0)), "1,234 requests × $0.5 / 1,000,000");
    }

    #[test]
    fn the_month_of_four_loads_is_what_it_was() {
        for tps in [20, 200, 2_000, 10_000] {
            let scene = Scene::of("prod", tps);
            golden::check(&format!("cost_{tps}"), &to_json(&scene.head(), &scene.bill()));
        }
    }
}
