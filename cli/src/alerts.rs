//! `isotherm alerts`: rules, what they have found, and the messages of it, for whoever has the database.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use isotherm_access::orgs;
use isotherm_alerts::channels;
use isotherm_alerts::definition::{Definition, Source};
use isotherm_alerts::deliveries::listing::{self as deliveries, Filter};
use isotherm_alerts::deliveries::{DeliveryId, replay};
use isotherm_alerts::listing::{self as alerts, AlertFilter, STATES};
use isotherm_alerts::rules::{self as stored, ListedRule, MAX_PAGE};
use isotherm_control::events;
use isotherm_types::{BlockNumber, EventBody, OrgId};
use lambda_api::{rules, trial};
use serde_json::json;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::args::{AlertsArguments, AlertsCommand, OfOrg, Page, TestArguments};
use crate::connected::{Connected, actor, unknown};
use crate::home::Home;
use crate::output::{self, say};
use crate::yaml_file;

mod apply;
mod file;
mod plan;
mod sql_trial;
mod view;

/// Messages that are shown with an alert.
const MOST_SHOWN: u32 = 100;

pub(crate) async fn run(home: &Home, arguments: &AlertsArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        AlertsCommand::Apply(arguments) => return apply::run(home, arguments).await,
        AlertsCommand::Test(arguments) => return test(home, arguments).await,
        AlertsCommand::Replay { deliveries, of } => return replay_all(home, deliveries, of).await,
        AlertsCommand::List { of } => list(home, of).await?,
        AlertsCommand::Show { rule, of } => {
            let (mut connected, org) = connect(home, of).await?;
            let found = named(&mut connected, org, rule).await?;
            output::show(of.printed.output, &rules::to_json(&found), || view::print_rule(&found))?;
        }
        AlertsCommand::Pause { rule, of } => {
            let (mut connected, org) = connect(home, of).await?;
            let found = named(&mut connected, org, rule).await?;
            let changed = stored::pause(&mut connected.conn, org, found.rule_id, &actor()).await;
            let changed = changed.with_context(|| format!("could not pause {rule}"))?;
            let words = if changed { "is paused: it looks no further" } else { "was not at work" };
            again(&mut connected, org, &found, of, words).await?;
        }
        AlertsCommand::Resume { rule, of } => {
            let (mut connected, org) = connect(home, of).await?;
            let found = named(&mut connected, org, rule).await?;
            let changed = rules::resume(&mut connected.conn, org, &found, &actor()).await;
            let changed = changed.with_context(|| format!("could not resume {rule}"))?;
            let words = if changed { "goes on" } else { "was at work already" };
            again(&mut connected, org, &found, of, words).await?;
        }
        AlertsCommand::Mute { rule, time, off: _, of } => {
            let (mut connected, org) = connect(home, of).await?;
            let found = named(&mut connected, org, rule).await?;
            let seconds = muted_seconds(*time)?;
            let muted = rules::mute(&mut connected.conn, org, found.rule_id, seconds, &actor()).await;
            muted.with_context(|| format!("could not mute {rule}"))?;
            let words = if seconds > 0 { "tells nobody for a while" } else { "tells people" };
            again(&mut connected, org, &found, of, words).await?;
        }
        AlertsCommand::Delete { rule, of } => {
            let (mut connected, org) = connect(home, of).await?;
            let found = named(&mut connected, org, rule).await?;
            let deleted = stored::delete(&mut connected.conn, org, found.rule_id, &actor()).await;
            deleted.with_context(|| format!("could not delete {rule}"))?;
            output::show(of.printed.output, &rules::to_json(&found), || {
                say!("{rule} is deleted; what it has found stays");
            })?;
        }
        AlertsCommand::Events { id: Some(id), of, .. } => show_event(home, *id, of).await?,
        AlertsCommand::Events { id: None, rule, state, page, of } => {
            list_events(home, (rule.as_deref(), state.as_deref()), page, of).await?;
        }
        AlertsCommand::Deliveries { channel, alert, state, page, of } => {
            list_deliveries(home, (channel.as_deref(), *alert, state.as_deref()), page, of).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The running stack, and the organisation that is meant.
pub(crate) async fn connect(home: &Home, of: &OfOrg) -> anyhow::Result<(Connected, OrgId)> {
    let mut connected = Connected::to(home).await?;
    let org = orgs::find(&mut connected.conn, &of.org).await.context("could not find the organisation")?;
    Ok((connected, org))
}

/// All rules of the organisation, the newest first.
async fn all(connected: &mut Connected, org: OrgId) -> anyhow::Result<Vec<ListedRule>> {
    let mut rules: Vec<ListedRule> = Vec::new();
    loop {
        let before = rules.last().map(|rule| rule.rule_id);
        let page =
            stored::list(&mut connected.conn, org, before, MAX_PAGE).await.context("could not read the rules")?;
        let is_last = page.len() < MAX_PAGE as usize;
        rules.extend(page);
        if is_last {
            return Ok(rules);
        }
    }
}

async fn named(connected: &mut Connected, org: OrgId, name: &str) -> anyhow::Result<ListedRule> {
    if let Some(found) = stored::named(&mut connected.conn, org, name).await.context("could not read the rules")? {
        return Ok(found);
    }
    let names: Vec<String> = all(connected, org).await?.into_iter().map(|rule| rule.name).collect();
    Err(unknown("rule", name, &names))
}

async fn list(home: &Home, of: &OfOrg) -> anyhow::Result<()> {
    let (mut connected, org) = connect(home, of).await?;
    let rules = all(&mut connected, org).await?;
    output::show(of.printed.output, &rules.iter().map(rules::to_json).collect(), || view::print_rules(&rules))
}

/// Says what became of a rule that was changed.
async fn again(
    connected: &mut Connected,
    org: OrgId,
    rule: &ListedRule,
    of: &OfOrg,
    words: &str,
) -> anyhow::Result<()> {
    let found = stored::get(&mut connected.conn, org, rule.rule_id).await.context("could not read the rule")?;
    output::show(of.printed.output, &rules::to_json(&found), || say!("{} {words}", rule.name))
}

fn muted_seconds(time: Option<Duration>) -> anyhow::Result<u32> {
    const MOST: u64 = 30 * 86_400;
    let seconds = time.map_or(0, |time| time.as_secs());
    if seconds > MOST {
        bail!("a rule is muted for 30d at most");
    }
    Ok(u32::try_from(seconds)?)
}

async fn test(home: &Home, arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    let TestArguments { rule: name, from, to, file, of } = arguments;
    let of_file = match file {
        Some(path) => match definition_in(path, name)? {
            Ok(definition) => Some(definition),
            Err(refused) => return Ok(refused),
        },
        None => None,
    };
    let (mut connected, org) = connect(home, of).await?;
    let (definition, saved) = match of_file {
        Some(definition) => (definition, None),
        None => {
            let saved = named(&mut connected, org, name).await?;
            (Definition::parse(&saved.definition).context("what is stored cannot be read")?, Some(saved))
        }
    };
    let rule = rules::for_trial(&mut connected.conn, org, definition, saved.as_ref()).await;
    let rule = rule.with_context(|| format!("could not test {name}"))?;
    let asked = match &rule.stored.definition.source {
        Source::Sql { sql, .. } => Some(sql.clone()),
        Source::Rows(_) | Source::Event { .. } | Source::Call { .. } | Source::Platform(_) => None,
    };
    let trial = match asked {
        Some(sql) => sql_trial::look(&connected.aws().await, &of.org, &rule, &sql, (*from, *to)).await,
        None => {
            let looked = trial::look(&mut connected.conn, rule, BlockNumber(*from), BlockNumber(*to)).await;
            looked.map_err(anyhow::Error::new)
        }
    };
    let trial = trial.with_context(|| format!("could not test {name}"))?;
    output::show(of.printed.output, &trial.to_json(), || view::print_trial(name, &trial))?;
    Ok(ExitCode::SUCCESS)
}

/// The rule called `name` in a file; the exit code of a file that has faults.
fn definition_in(path: &Path, name: &str) -> anyhow::Result<Result<Definition, ExitCode>> {
    let rules = match file::parse(&yaml_file::read(path, file::MAX_BYTES)?) {
        Ok(rules) => rules,
        Err(faults) => return Ok(Err(apply::refuse(path, &faults))),
    };
    let found = rules.into_iter().map(|rule| rule.definition).find(|definition| definition.name == name);
    found.map(Ok).ok_or_else(|| anyhow!("{} has no rule called {name:?}", path.display()))
}

async fn list_events(
    home: &Home,
    (rule, state): (Option<&str>, Option<&str>),
    page: &Page,
    of: &OfOrg,
) -> anyhow::Result<()> {
    let (mut connected, org) = connect(home, of).await?;
    let filter = AlertFilter {
        rule: rule.map(str::to_owned),
        state: state.and_then(|state| STATES.into_iter().find(|known| *known == state)),
        before: page.before,
        limit: page.limit,
    };
    let found = alerts::list(&mut connected.conn, org, &filter).await.context("could not read the alerts")?;
    output::show(of.printed.output, &json!(found), || view::print_events(&found, page.limit))
}

async fn show_event(home: &Home, id: Uuid, of: &OfOrg) -> anyhow::Result<()> {
    let (mut connected, org) = connect(home, of).await?;
    let conn = &mut connected.conn;
    let alert = alerts::read(conn, org, id).await.context("could not read the alert")?;
    let alert = alert.with_context(|| format!("the organisation has no alert {id}"))?;
    let history = alerts::history(conn, org, id).await.context("could not read the history")?;
    let filter = Filter { alert: Some(id), limit: MOST_SHOWN, ..Filter::default() };
    let mut messages = Vec::new();
    for message in deliveries::list(conn, org, &filter).await.context("could not read the deliveries")? {
        let attempts = deliveries::attempts(conn, org, DeliveryId(message.id)).await;
        messages.push((message, attempts.context("could not read the attempts")?));
    }
    let story = view::Story { alert, history, deliveries: messages };
    output::show(of.printed.output, &story.to_json(), || story.print())
}

async fn list_deliveries(
    home: &Home,
    (channel, alert, state): (Option<&str>, Option<Uuid>, Option<&str>),
    page: &Page,
    of: &OfOrg,
) -> anyhow::Result<()> {
    let (mut connected, org) = connect(home, of).await?;
    let conn = &mut connected.conn;
    let channel = match channel {
        Some(name) => {
            let found = channels::named(conn, org, name).await.context("could not read the channels")?;
            Some(found.with_context(|| format!("the organisation has no channel called {name:?}"))?.id)
        }
        None => None,
    };
    let before = page.before.map(|place| (place.at, DeliveryId(place.id)));
    let filter = Filter { channel, alert, state: state.map(str::to_owned), before, limit: page.limit };
    let found = deliveries::list(conn, org, &filter).await.context("could not read the deliveries")?;
    output::show(of.printed.output, &json!(found), || {
        view::print_deliveries(found.iter());
        if let Some(last) = found.last().filter(|_| found.len() >= page.limit as usize) {
            say!("older ones: --before {}", alerts::Place { at: last.created_at, id: last.id });
        }
    })
}

async fn replay_all(home: &Home, ids: &[Uuid], of: &OfOrg) -> anyhow::Result<ExitCode> {
    let (mut connected, org) = connect(home, of).await?;
    let mut outcomes = Vec::with_capacity(ids.len());
    for id in ids {
        outcomes.push((id, again_one(&mut connected, org, *id).await));
    }
    connected.sweep().await;
    let refused = outcomes.iter().any(|(_, outcome)| outcome.is_err());
    let json = outcomes
        .iter()
        .map(|(id, outcome)| json!({ "id": id, "error": outcome.as_ref().err().map(|error| format!("{error:#}")) }))
        .collect();
    output::show(of.printed.output, &json, || {
        for (id, outcome) in &outcomes {
            match outcome {
                Ok(()) => say!("{id} is sent once more"),
                Err(error) => eprintln!("isotherm: {error:#}"),
            }
        }
    })?;
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn again_one(connected: &mut Connected, org: OrgId, id: Uuid) -> anyhow::Result<()> {
    let mut db_tx = connected.conn.begin().await.context("could not begin a transaction")?;
    replay::replay(&mut db_tx, org, DeliveryId(id), &actor()).await?;
    events::record(&mut db_tx, &EventBody::AlertsRecorded { org_id: org, chain_id: None }).await?;
    db_tx.commit().await.context("could not commit")?;
    Ok(())
}
