//! What putting a file of rules into effect changes, as a value, a text and JSON. Pure.

use std::fmt::Write as _;

use isotherm_alerts::definition::Definition;
use isotherm_alerts::rules::{ListedRule, RuleState};
use serde_json::{Value, json};

/// What becomes of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    /// Its definition is another one, or it is in quarantine and gets another chance.
    Changed,
    Unchanged,
    /// It is not in the file.
    Paused,
}

/// A rule, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) change: Change,
    /// Fields that differ: name, value before, value in the file.
    fields: Vec<(String, Option<Value>, Option<Value>)>,
}

/// Compares the file with what is stored.
pub(super) fn plan(stored: &[ListedRule], wanted: &[&Definition], pauses_others: bool) -> Vec<Planned> {
    let of_file = wanted.iter().map(|definition| {
        let after = definition.to_json();
        let (change, fields) = match stored.iter().find(|rule| rule.name == definition.name) {
            None => (Change::Created, Vec::new()),
            Some(rule) => {
                let fields = differing(&rule.definition, &after);
                let is_same = fields.is_empty() && rule.state != RuleState::Quarantined;
                (if is_same { Change::Unchanged } else { Change::Changed }, fields)
            }
        };
        Planned { name: definition.name.clone(), change, fields }
    });
    let is_other = |rule: &&ListedRule| wanted.iter().all(|definition| definition.name != rule.name);
    let others = stored.iter().filter(|rule| pauses_others && rule.state == RuleState::Active).filter(is_other);
    let paused = others.map(|rule| Planned { name: rule.name.clone(), change: Change::Paused, fields: Vec::new() });
    of_file.chain(paused).collect()
}

fn differing(before: &Value, after: &Value) -> Vec<(String, Option<Value>, Option<Value>)> {
    let names = |side: &Value| side.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect::<Vec<_>>();
    let mut names: Vec<String> = names(before).into_iter().chain(names(after)).collect();
    names.sort_unstable();
    names.dedup();
    let side = |side: &Value, name: &str| side.get(name).cloned();
    let both = names.into_iter().map(|name| (side(before, &name), side(after, &name), name));
    both.filter(|(before, after, _)| before != after).map(|(before, after, name)| (name, before, after)).collect()
}

/// Whether there is nothing to do.
pub(super) fn is_empty(plan: &[Planned]) -> bool {
    plan.iter().all(|planned| planned.change == Change::Unchanged)
}

/// For people: line by line, then the counts.
pub(super) fn text(org: &str, plan: &[Planned]) -> String {
    let mut text = String::new();
    for planned in plan {
        let (sign, verb) = words(planned.change);
        let _ = writeln!(text, "{sign} {verb:<10} rule {}", planned.name);
        for (field, before, after) in &planned.fields {
            let side = |side: &Option<Value>| side.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
            let _ = writeln!(text, "               {field}: {} → {}", side(before), side(after));
        }
    }
    let count = |change| plan.iter().filter(|planned| planned.change == change).count();
    if is_empty(plan) {
        return format!("{text}nothing to do in organisation {org}: {} rule(s) are as the file says", plan.len());
    }
    format!(
        "{text}organisation {org}: {} to create, {} to change, {} to pause, {} left",
        count(Change::Created),
        count(Change::Changed),
        count(Change::Paused),
        count(Change::Unchanged),
    )
}

/// For programs.
pub(super) fn to_json(org: &str, plan: &[Planned], is_applied: bool) -> Value {
    let fields = |planned: &Planned| {
        let fields = planned.fields.iter();
        fields.map(|(field, old, new)| json!({ "field": field, "old": old, "new": new })).collect::<Vec<_>>()
    };
    let rules: Vec<_> = plan
        .iter()
        .map(|planned| {
            let (_, verb) = words(planned.change);
            json!({ "name": planned.name, "change": verb, "fields": fields(planned) })
        })
        .collect();
    json!({ "organisation": org, "has_changes": !is_empty(plan), "rules": rules, "applied": is_applied })
}

fn words(change: Change) -> (char, &'static str) {
    match change {
        Change::Created => ('+', "create"),
        Change::Changed => ('~', "change"),
        Change::Unchanged => (' ', "leave"),
        Change::Paused => ('-', "pause"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::view::tests::rule;
    use crate::golden;

    fn definition(name: &str, condition: &str) -> Definition {
        let source = json!({ "dataset": "transactions" });
        let json = json!({
            "name": name, "chain": "demo", "source": source, "condition": condition, "channels": ["hooks"],
        });
        Definition::parse(&json).unwrap()
    }

    fn stored(name: &str, state: RuleState) -> ListedRule {
        let definition = definition(name, "value > 1").to_json();
        ListedRule { name: name.to_owned(), definition, state, ..rule() }
    }

    #[test]
    fn a_file_is_compared_rule_by_rule_and_others_are_left_unless_asked() {
        let stored = [
            stored("same", RuleState::Paused),
            stored("other", RuleState::Active),
            stored("failed", RuleState::Quarantined),
            stored("changed", RuleState::Active),
            stored("asleep", RuleState::Paused),
        ];
        let wanted = [
            definition("new", "value > 1"),
            definition("changed", "value > 2"),
            definition("same", "value > 1"),
            definition("failed", "value > 1"),
        ];
        let wanted: Vec<&Definition> = wanted.iter().collect();
        let planned = plan(&stored, &wanted, true);
        let expected = "\
+ create     rule new
~ change     rule changed
               condition: \"value > 1\" → \"value > 2\"
  leave      rule same
~ change     rule failed
- pause      rule other
organisation default: 1 to create, 2 to change, 1 to pause, 1 left";
        assert_eq!(text("default", &planned), expected);
        golden::check("alerts_apply", &to_json("default", &planned, true));
        assert_eq!(plan(&stored, &wanted, false).len(), 4, "rules of others stay as they are");

        let same = plan(&stored, &wanted[2..3], false);
        assert!(is_empty(&same));
        assert!(
            text("default", &same).ends_with("nothing to do in organisation default: 1 rule(s) are as the file says")
        );
    }
}
