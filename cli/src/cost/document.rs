//! The tables of `docs/cost.md` are what the model says. `ISOTHERM_BLESS=1` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::bill::{Bill, Sum};
use super::scene::Scene;
use super::view::usd;
use crate::output::grouped;

const BEGIN: &str = "<!-- tables of costs -->\n";
const END: &str = "<!-- end of tables of costs -->";

/// What a service costs that an environment has not.
const ABSENT: Sum = Sum { fixed: 0.0, grows: 0.0 };

/// The tables, one a load.
fn tables() -> String {
    let mut text = String::new();
    for tps in [20, 200, 2_000, 10_000] {
        let bills = ["dev", "prod"].map(|environment| Scene::of(environment, tps).bill());
        write!(text, "\n### {} transactions a second\n\n{}", grouped(tps.into()), table(&bills)).unwrap();
        for (environment, bill) in ["dev", "prod"].iter().zip(&bills) {
            for finding in &bill.findings {
                write!(text, "\n- `{environment}`: {finding}.").unwrap();
            }
        }
        text.push_str(if bills.iter().all(|bill| bill.findings.is_empty()) { "" } else { "\n" });
    }
    text.push('\n');
    text
}

fn table(bills: &[Bill; 2]) -> String {
    let services = bills.each_ref().map(Bill::services);
    let names: BTreeSet<&str> = services.iter().flat_map(BTreeMap::keys).copied().collect();
    let mut text =
        "| service | dev: fixed | grows | prod: fixed | grows |\n| --- | --- | --- | --- | --- |\n".to_owned();
    let mut row = |name: &str, sums: [Sum; 2]| {
        let [dev, prod] = sums.map(|sum| format!("{} | {}", usd(sum.fixed), usd(sum.grows)));
        writeln!(text, "| {name} | {dev} | {prod} |").unwrap();
    };
    for name in names {
        row(name, services.each_ref().map(|of| of.get(name).copied().unwrap_or(ABSENT)));
    }
    row("all", bills.each_ref().map(Bill::sum));
    let [dev, prod] = bills.each_ref().map(|bill| usd(bill.sum().total()));
    writeln!(text, "| **together** | **{dev}** | | **{prod}** | |").unwrap();
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for the person who runs the test")]
fn the_tables_of_the_page_are_what_the_model_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cost.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let tables = tables();
    if std::env::var("ISOTHERM_BLESS").is_ok() {
        std::fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(written, tables, "docs/cost.md is out of date; run this test with ISOTHERM_BLESS=1");
}
