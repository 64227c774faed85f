//! What `docs/alerts.md` shows is what the code takes.

use isotherm_alerts::definition::Definition;
use isotherm_alerts::index::check;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../../docs/alerts.md");

/// Contents of the fenced blocks of `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).map(|after| after.split("\n```").next().unwrap_or(after)).collect()
}

#[test]
fn every_rule_of_the_page_is_one() {
    let mut rules = 0;
    for block in blocks("yaml") {
        let file: Value = serde_yaml_ng::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
        for alert in file["alerts"].as_array().unwrap_or_else(|| panic!("no list of alerts: {block}")) {
            let definition = Definition::parse(alert).unwrap_or_else(|errors| panic!("{errors}: {alert}"));
            check(&definition).unwrap_or_else(|errors| panic!("{errors}: {alert}"));
            rules += 1;
        }
    }
    assert!(rules >= 5, "{rules} rules");
}

#[test]
fn every_condition_of_the_page_means_something() {
    let mut conditions = 0;
    for line in blocks("cel").iter().flat_map(|block| block.lines()) {
        let definition = json!({
            "name": "example",
            "chain": "monad",
            "channels": ["ops"],
            "source": { "event": "Trade(address indexed maker, uint256 amount, uint256[] fills, string note)" },
            "condition": line,
        });
        let definition = Definition::parse(&definition).unwrap();
        check(&definition).unwrap_or_else(|errors| panic!("{errors}: {line}"));
        conditions += 1;
    }
    assert!(conditions >= 10, "{conditions} conditions");
}

#[test]
fn the_table_of_keys_names_every_key_and_no_other() {
    let (_, after) = PAGE.split_once("<!-- keys of a rule -->").expect("the page has the table");
    let (table, _) = after.split_once("<!-- end of keys -->").expect("the table ends");
    let mut told: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    told.sort_unstable();
    // An unknown field is answered with those that there are.
    let errors = Definition::parse(&json!({ "none": 1 })).unwrap_err().errors;
    let message = &errors.iter().find(|error| error.field == "none").unwrap().message;
    let (_, list) = message.split_once("there are ").unwrap();
    let mut known: Vec<&str> = list.split(", ").collect();
    known.sort_unstable();
    assert_eq!(told, known);
}
