//! `isotherm audit`: who changed what, when and why.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_control::audit::{self, AuditFilter, Listed, Subject};
use isotherm_hot_store::cursor;
use serde_json::{Value, json};

use crate::args::{AuditArguments, SubjectWord};
use crate::connected::{Connected, unknown};
use crate::home::Home;
use crate::output;
use crate::output::{instant, say, table};

pub(crate) async fn run(home: &Home, arguments: &AuditArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    let subject = match &arguments.subject {
        Some(word) => Some(subject(&mut connected, word).await?),
        None => None,
    };
    let filter = AuditFilter {
        org_id: None,
        subject,
        actor: arguments.actor.clone(),
        since: arguments.since,
        before: arguments.before,
        limit: arguments.limit,
    };
    let entries = audit::list(&mut connected.conn, &filter).await.context("could not read the trail")?;
    output::show(arguments.printed.output, &entries.iter().map(to_json).collect(), || {
        print(&entries, arguments.limit);
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn subject(connected: &mut Connected, word: &SubjectWord) -> anyhow::Result<Subject> {
    Ok(match word {
        SubjectWord::Task(id) => Subject::Row { kind: "task".to_owned(), id: *id },
        SubjectWord::Job(name) => Subject::Job(name.clone()),
        SubjectWord::Trigger(name) => Subject::Trigger(name.clone()),
        SubjectWord::Rule(name) => Subject::Rule(name.clone()),
        SubjectWord::Channel(name) => Subject::Channel(name.clone()),
        SubjectWord::Chain(name) => Subject::Row { kind: "chain".to_owned(), id: chain_id(connected, name).await? },
    })
}

/// The id of the chain of this name, or the id that it is.
async fn chain_id(connected: &mut Connected, name: &str) -> anyhow::Result<i64> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let cursors = cursor::all(&mut connected.conn).await.context("could not read the chains")?;
    if let Some(cursor) = cursors.iter().find(|cursor| cursor.chain == name) {
        return Ok(cursor.chain_id.0.cast_signed());
    }
    let names: Vec<String> = cursors.into_iter().map(|cursor| cursor.chain).collect();
    Err(unknown("chain", name, &names))
}

fn print(entries: &[Listed], limit: u32) {
    let mut table = table(&["number", "when (UTC)", "who", "what", "subject", "from", "to", "why"], &["number"]);
    for entry in entries {
        table.add_row([
            entry.id.to_string(),
            instant(entry.at),
            entry.actor.clone(),
            entry.action.clone(),
            subject_words(entry),
            entry.from_state.clone().unwrap_or_default(),
            entry.to_state.clone().unwrap_or_default(),
            entry.reason.clone().unwrap_or_default(),
        ]);
    }
    say!("{table}");
    if let Some(last) = entries.last().filter(|_| entries.len() >= limit as usize) {
        say!("older ones: --before {}", last.id);
    }
}

fn subject_words(entry: &Listed) -> String {
    match (entry.subject.as_str(), &entry.subject_name) {
        ("task", Some(job)) => format!("task:{} ({job})", entry.subject_id),
        ("alert_rule", Some(name)) => format!("rule:{name}"),
        (kind, Some(name)) => format!("{kind}:{name}"),
        (kind, None) => format!("{kind}:{}", entry.subject_id),
    }
}

fn to_json(entry: &Listed) -> Value {
    json!({
        "id": entry.id, "at": entry.at, "actor": entry.actor, "action": entry.action, "subject": entry.subject,
        "subject_id": entry.subject_id, "subject_name": entry.subject_name, "from": entry.from_state,
        "to": entry.to_state, "reason": entry.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn entry(subject: &str, name: Option<&str>) -> Listed {
        Listed {
            id: 12,
            at: "2026-11-26T10:00:00Z".parse().unwrap(),
            actor: "cli:ann".to_owned(),
            action: "retried".to_owned(),
            subject: subject.to_owned(),
            subject_id: 7,
            subject_name: name.map(str::to_owned),
            from_state: Some("failed".to_owned()),
            to_state: Some("queued".to_owned()),
            reason: Some("disk was full".to_owned()),
        }
    }

    #[test]
    fn the_trail_for_programs_is_the_golden_file() {
        golden::check("audit", &json!([to_json(&entry("task", Some("work")))]));
    }

    #[test]
    fn a_subject_is_named_as_it_is_asked_for() {
        assert_eq!(subject_words(&entry("task", Some("work"))), "task:7 (work)");
        assert_eq!(subject_words(&entry("job", Some("work"))), "job:work");
        assert_eq!(subject_words(&entry("chain", None)), "chain:7");
        assert_eq!(subject_words(&entry("alert_rule", Some("whales"))), "rule:whales");
    }
}
