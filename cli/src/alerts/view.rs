//! Rules, what they have found, and messages, for people. Programs get them as the API has them.

use isotherm_alerts::deliveries::listing::{Listed, ListedAttempt};
use isotherm_alerts::listing::{ListedAlert, ListedChange};
use isotherm_alerts::rules::{ListedRule, RuleState};
use lambda_api::trial::{MOST_SHOWN, Trial};
use serde_json::{Value, json};

use crate::output::{cell, instant, maybe_instant, say, table};

pub(super) fn print_rules(rules: &[ListedRule]) {
    let headings = ["rule", "chain", "severity", "state", "muted until (UTC)", "channels", "version", "changed (UTC)"];
    let mut table = table(&headings, &["version"]);
    for rule in rules {
        table.add_row([
            rule.name.clone(),
            cell(&rule.definition["chain"]),
            cell(&rule.definition["severity"]),
            rule.state.as_str().to_owned(),
            maybe_instant(rule.muted_until),
            rule.channels.join(", "),
            rule.version.to_string(),
            instant(rule.updated_at),
        ]);
    }
    say!("{table}");
}

pub(super) fn print_rule(rule: &ListedRule) {
    print_rules(std::slice::from_ref(rule));
    if let (RuleState::Quarantined, Some(code), Some(message)) =
        (rule.state, &rule.quarantine_code, &rule.quarantine_message)
    {
        say!("in quarantine since {}: {message} ({code})", maybe_instant(rule.quarantined_at));
        say!("`isotherm alerts resume {}` lets it go on; a corrected one, applied, goes on by itself", rule.name);
    }
    say!("blocks from {} on concern it; made by {} at {}", rule.first_block, rule.created_by, instant(rule.created_at));
    say!("{:#}", rule.definition);
}

pub(super) fn print_trial(rule: &str, trial: &Trial) {
    let (from, last) = (trial.blocks.start(), trial.blocks.last());
    let mut table = table(&["block", "transaction", "position", "told", "message"], &["block", "position"]);
    for (place, found) in trial.matches.iter().enumerate().take(MOST_SHOWN) {
        table.add_row([
            found.block.number.to_string(),
            found.transaction_hash.map_or_else(String::new, |hash| hash.to_string()),
            found.position.to_string(),
            if trial.told.contains(&place) { "yes" } else { "no: cooldown" }.to_owned(),
            found.message.clone(),
        ]);
    }
    if !trial.matches.is_empty() {
        say!("{table}");
    }
    say!(
        "{rule} would have told of {} and kept back {} in blocks {from} to {last}; nothing was sent",
        trial.told.len(),
        trial.matches.len() - trial.told.len(),
    );
    if let Some(fault) = &trial.fault {
        say!("it would have been put in quarantine: {} ({})", fault.message, fault.code);
    } else if let Some(next) = trial.next {
        say!("to go on: --from {next}");
    }
}

pub(super) fn print_events(alerts: &[ListedAlert], limit: u32) {
    let headings = ["found (UTC)", "id", "rule", "state", "severity", "block", "title"];
    let mut table = table(&headings, &["block"]);
    for alert in alerts {
        table.add_row([
            instant(alert.matched_at),
            alert.id.to_string(),
            alert.rule.clone(),
            state(alert),
            alert.severity.clone(),
            alert.block_number.to_string(),
            alert.title.clone(),
        ]);
    }
    say!("{table}");
    if let Some(last) = alerts.last().filter(|_| alerts.len() >= limit as usize) {
        say!("older ones: --before {}", last.place());
    }
}

fn state(alert: &ListedAlert) -> String {
    match &alert.reason {
        Some(reason) => format!("{}: {reason}", alert.state),
        None => alert.state.clone(),
    }
}

/// An alert with everything that became of it.
pub(super) struct Story {
    pub(super) alert: ListedAlert,
    pub(super) history: Vec<ListedChange>,
    pub(super) deliveries: Vec<(Listed, Vec<ListedAttempt>)>,
}

impl Story {
    pub(super) fn to_json(&self) -> Value {
        let mut shown = json!(self.alert);
        shown["history"] = json!(self.history);
        let deliveries = self.deliveries.iter().map(|(delivery, attempts)| {
            let mut shown = json!(delivery);
            shown["attempt_log"] = json!(attempts);
            shown
        });
        shown["deliveries"] = deliveries.collect();
        shown
    }

    pub(super) fn print(&self) {
        let alert = &self.alert;
        say!("{} of rule {} (version {}), {}", alert.id, alert.rule, alert.rule_version, state(alert));
        say!("{}", alert.title);
        say!("{}", alert.message);
        let transaction = alert.transaction_hash.as_deref().unwrap_or("none");
        say!("block {} ({}), transaction {transaction}", alert.block_number, alert.block_hash);
        say!("{:#}", alert.facts);
        let mut changes = table(&["when (UTC)", "from", "to", "block", "why"], &["block"]);
        for change in &self.history {
            changes.add_row([
                instant(change.at),
                change.from_state.clone().unwrap_or_default(),
                change.to_state.clone(),
                change.block_number.to_string(),
                change.reason.clone().unwrap_or_default(),
            ]);
        }
        say!("{changes}");
        print_deliveries(self.deliveries.iter().map(|(delivery, _)| delivery));
    }
}

/// Prints messages, and gives the last of them.
pub(super) fn print_deliveries<'a>(deliveries: impl Iterator<Item = &'a Listed>) {
    let headings = ["made (UTC)", "id", "channel", "kind", "state", "tried", "next try (UTC)", "status", "last error"];
    let mut table = table(&headings, &["tried", "status"]);
    for delivery in deliveries {
        table.add_row([
            instant(delivery.created_at),
            delivery.id.to_string(),
            format!("{} ({})", delivery.channel, delivery.channel_kind),
            delivery.kind.clone(),
            delivery.state.clone(),
            delivery.attempts.to_string(),
            maybe_instant(delivery.next_attempt_at),
            delivery.last_status.map_or_else(String::new, |status| status.to_string()),
            delivery.last_error_code.clone().unwrap_or_default(),
        ]);
    }
    say!("{table}");
}

#[cfg(test)]
pub(in crate::alerts) mod tests {
    use chrono::{DateTime, Utc};
    use isotherm_types::{BlockNumber, ChainId, RuleId};
    use lambda_api::rules;
    use uuid::Uuid;

    use super::*;
    use crate::golden;

    fn ten() -> DateTime<Utc> {
        "2026-11-26T10:00:00Z".parse().unwrap()
    }

    pub(in crate::alerts) fn rule() -> ListedRule {
        ListedRule {
            rule_id: RuleId(7),
            name: "large".to_owned(),
            chain_id: ChainId(31_337),
            definition: json!({ "name": "large", "chain": "demo" }),
            version: 2,
            state: RuleState::Quarantined,
            quarantine_code: Some("alerts.too_slow".to_owned()),
            quarantine_message: Some("it took too long".to_owned()),
            quarantined_at: Some(ten()),
            muted_until: None,
            first_block: BlockNumber(100),
            channels: vec!["hooks".to_owned()],
            created_by: "user:ann".to_owned(),
            created_at: ten(),
            updated_at: ten(),
        }
    }

    fn story() -> Story {
        let alert = ListedAlert {
            id: Uuid::from_u128(10),
            rule: "large".to_owned(),
            rule_version: 2,
            chain_id: 31_337,
            state: "suppressed".to_owned(),
            reason: Some("muted".to_owned()),
            severity: "warning".to_owned(),
            title: "large on demo".to_owned(),
            message: "a large transfer".to_owned(),
            facts: json!({ "value": "5" }),
            group_key: None,
            block_number: 120,
            block_hash: "0xab".to_owned(),
            block_time: ten(),
            transaction_hash: Some("0xcd".to_owned()),
            position: 0,
            matched_at: ten(),
            sent_at: None,
            changed_at: ten(),
        };
        let change = ListedChange {
            at: ten(),
            from_state: None,
            to_state: "suppressed".to_owned(),
            block_number: 120,
            block_hash: "0xab".to_owned(),
            reason: Some("muted".to_owned()),
        };
        let delivery = Listed {
            id: Uuid::from_u128(11),
            channel_id: 3,
            channel: "hooks".to_owned(),
            channel_kind: "webhook".to_owned(),
            alert_id: Some(Uuid::from_u128(10)),
            kind: "fired".to_owned(),
            state: "failed".to_owned(),
            digest_id: None,
            attempts: 1,
            next_attempt_at: None,
            last_status: Some(500),
            last_error_code: Some("alerts.refused".to_owned()),
            created_at: ten(),
            first_tried_at: Some(ten()),
            finished_at: Some(ten()),
        };
        let attempt = ListedAttempt {
            attempt: 1,
            started_at: ten(),
            duration_ms: 12,
            status: Some(500),
            error_code: Some("alerts.refused".to_owned()),
        };
        Story { alert, history: vec![change], deliveries: vec![(delivery, vec![attempt])] }
    }

    #[test]
    fn what_programs_are_given_are_the_golden_files() {
        golden::check("alerts_list", &json!([rules::to_json(&rule())]));
        golden::check("alerts_event", &story().to_json());
    }

    #[test]
    fn a_suppressed_alert_says_why() {
        assert_eq!(state(&story().alert), "suppressed: muted");
    }
}
