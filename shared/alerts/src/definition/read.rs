//! From JSON to a definition.

use alloy_primitives::{Address, B256, FixedBytes, Selector};
use isotherm_types::Dataset;
use serde_json::Value;

use super::field_error::{FieldError, FieldErrors};
use super::fields::Fields;
use super::{
    At, DEFAULT_MAX_AGE_SECONDS, Definition, Finding, MAX_ADDRESSES, MAX_CHANNELS, MAX_DESCRIPTION, MAX_PAIRS,
    MAX_SIGNATURE_BYTES, MAX_SQL_BYTES, MAX_TOPICS, RowSource, Severity, Source, is_name,
};
use crate::condition::{MAX_BYTES, hex_bytes};
use crate::template::MAX_TEMPLATE;

/// A week.
const MAX_COOLDOWN_SECONDS: u32 = 604_800;

/// A year.
const MAX_AGE_SECONDS: u32 = 31_536_000;

const NAME: &str = "it has to be a name: 1 to 63 of a-z, 0-9, _ and -, and a letter or digit first";

/// What tells the kinds of sources apart.
const KINDS: [&str; 5] = ["dataset", "event", "call", "sql", "platform"];

pub(super) fn definition(json: &Value) -> Result<Definition, FieldErrors> {
    let Value::Object(map) = json else {
        return Err(FieldError::new("", "a rule is an object with name, chain, channels and source").into());
    };
    let mut errors = Vec::new();
    let mut fields = Fields::new(map, "");
    let name = required_name(&mut fields, "name", &mut errors);
    let chain = required_name(&mut fields, "chain", &mut errors);
    let severity = severity(&mut fields, &mut errors);
    let description = fields.text("description", MAX_DESCRIPTION, &mut errors).map(str::to_owned);
    let channels = channels(&mut fields, &mut errors);
    let source = source(&mut fields, &mut errors);
    let condition = fields.text("condition", MAX_BYTES, &mut errors).map(str::to_owned);
    let at = at(&mut fields, &mut errors);
    let cooldown_seconds = fields.number("cooldown_seconds", (0, MAX_COOLDOWN_SECONDS), &mut errors).unwrap_or(0);
    let group_by = fields.text("group_by", MAX_BYTES, &mut errors).map(str::to_owned);
    let message = fields.text("message", MAX_TEMPLATE, &mut errors).map(str::to_owned);
    let max_age = fields.number("max_age_seconds", (60, MAX_AGE_SECONDS), &mut errors);
    let backfill = fields.switch("backfill", &mut errors).unwrap_or(false);
    if condition.is_some() && source.as_ref().is_some_and(|source| source.dataset().is_none()) {
        errors.push(
            fields.error("condition", "a source of SQL or of the platform has no rows that a condition could judge"),
        );
    }
    fields.finish(&mut errors);
    FieldErrors::check(errors)?;
    // Whatever is missing has been reported.
    let missing = || FieldErrors::from(FieldError::new("", "a rule has a name, a chain and a source"));
    Ok(Definition {
        name: name.ok_or_else(missing)?,
        chain: chain.ok_or_else(missing)?,
        source: source.ok_or_else(missing)?,
        severity,
        description,
        channels,
        condition,
        at,
        cooldown_seconds,
        group_by,
        message,
        max_age_seconds: max_age.unwrap_or(DEFAULT_MAX_AGE_SECONDS),
        backfill,
    })
}

fn required_name(fields: &mut Fields<'_>, name: &'static str, errors: &mut Vec<FieldError>) -> Option<String> {
    let Some(value) = fields.take(name) else {
        errors.push(fields.error(name, "it is missing"));
        return None;
    };
    let text = value.as_str().filter(|text| is_name(text));
    if text.is_none() {
        errors.push(fields.error(name, NAME));
    }
    text.map(str::to_owned)
}

fn severity(fields: &mut Fields<'_>, errors: &mut Vec<FieldError>) -> Severity {
    let Some(value) = fields.take("severity") else { return Severity::Warning };
    match value.as_str() {
        Some("info") => return Severity::Info,
        Some("warning") => return Severity::Warning,
        Some("critical") => return Severity::Critical,
        _ => errors.push(fields.error("severity", "it has to be info, warning or critical")),
    }
    Severity::Warning
}

fn channels(fields: &mut Fields<'_>, errors: &mut Vec<FieldError>) -> Vec<String> {
    if !fields.has("channels") {
        errors.push(fields.error("channels", "it is missing: the names of the channels that are told"));
    }
    fields.list("channels", MAX_CHANNELS, errors, |name| {
        if is_name(name) { Ok(name.to_owned()) } else { Err(NAME.to_owned()) }
    })
}

fn at(fields: &mut Fields<'_>, errors: &mut Vec<FieldError>) -> At {
    let confirmations = fields.number("confirmations", (1, 1000), errors);
    let at = match fields.take("at").map(Value::as_str) {
        None => None,
        Some(Some("latest")) => Some(At::Latest),
        Some(Some("safe")) => Some(At::Safe),
        Some(Some("finalized")) => Some(At::Finalized),
        Some(_) => {
            errors.push(fields.error("at", "it has to be latest, safe or finalized"));
            None
        }
    };
    match (at, confirmations) {
        (Some(_), Some(_)) => {
            errors.push(
                fields.error("confirmations", "either `at` or `confirmations` says when people are told, not both"),
            );
            At::Latest
        }
        (Some(at), None) => at,
        (None, Some(blocks)) => At::Confirmations(blocks),
        (None, None) => At::Latest,
    }
}

fn source(fields: &mut Fields<'_>, errors: &mut Vec<FieldError>) -> Option<Source> {
    let Some(value) = fields.take("source") else {
        errors.push(fields.error("source", "it is missing"));
        return None;
    };
    let Value::Object(map) = value else {
        errors.push(fields.error("source", "it has to be an object"));
        return None;
    };
    let mut source = Fields::new(map, "source.");
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| source.has(kind)).collect();
    let read = match kinds.as_slice() {
        ["dataset"] => rows(&mut source, errors),
        ["event"] => {
            let event = source.text("event", MAX_SIGNATURE_BYTES, errors).map(str::to_owned);
            let address = addresses(&mut source, errors);
            event.map(|event| Source::Event { event, address })
        }
        ["call"] => {
            let call = source.text("call", MAX_SIGNATURE_BYTES, errors).map(str::to_owned);
            let address = addresses(&mut source, errors);
            let internal = source.switch("internal", errors).unwrap_or(false);
            call.map(|call| Source::Call { call, address, internal })
        }
        ["sql"] => sql(&mut source, errors),
        ["platform"] => platform(&mut source, errors),
        _ => {
            let message = format!("it has to have exactly one of {}", KINDS.join(", "));
            errors.push(FieldError::new("source", message));
            return None;
        }
    };
    source.finish(errors);
    read
}

fn rows(fields: &mut Fields<'_>, errors: &mut Vec<FieldError>) -> Option<Source> {
    let dataset = fields.take("dataset").and_then(Value::as_str).and_then(|name| name.parse::<Dataset>().ok());
    let Some(dataset) = dataset else {
        errors.push(fields.error("dataset", "it has to be blocks, transactions, logs or traces"));
        // Whatever else there is may be right for the dataset that was meant.
        for name in ["address", "topic0", "selector"] {
            fields.take(name);
        }
        return None;
    };
    let misplaced: &[&str] = match dataset {
        Dataset::Blocks => &["address", "topic0", "selector"],
        Dataset::Transactions | Dataset::Traces => &["topic0"],
        Dataset::Logs => &["selector"],
    };
    for name in misplaced.iter().filter(|name| fields.has(name)) {
        errors.push(fields.error(name, format!("rows of {dataset} have none")));
    }
    let address = addresses(fields, errors);
    let topic0: Vec<B256> = fields.list("topic0", MAX_TOPICS, errors, fixed::<32>);
    let selector: Vec<Selector> = fields.list("selector", MAX_TOPICS, errors, fixed::<4>);
    let pairs = address.len() * (topic0.len() + selector.len());
    if pairs > MAX_PAIRS {
        let message = format!("these are {pairs} pairs of an address and a topic or selector, and may be {MAX_PAIRS}");
        errors.push(fields.error("address", message));
    }
    Some(Source::Rows(RowSource { dataset, address, topic0, selector }))
}

fn sql(fields: &mut Fields<'_>, errors: &mut Vec<FieldError>) -> Option<Source> {
    let sql = fields.text("sql", MAX_SQL_BYTES, errors).map(str::to_owned);
    if sql.as_ref().is_some_and(|sql| sql.len() > MAX_SQL_BYTES) {
        errors.push(fields.error("sql", format!("it may have {MAX_SQL_BYTES} bytes")));
    }
    if !fields.has("every_seconds") {
        errors.push(fields.error("every_seconds", "it is missing: how often the SQL is asked, from 60 to 86400"));
    }
    let every_seconds = fields.number("every_seconds", (60, 86_400), errors);
    Some(Source::Sql { sql: sql?, every_seconds: every_seconds? })
}

fn platform(fields: &mut Fields<'_>, errors: &mut Vec<FieldError>) -> Option<Source> {
    let findings = fields.list("platform", 10, errors, |name| match name {
        "integrity_violated" => Ok(Finding::IntegrityViolated),
        _ => Err("the platform has one kind of finding: integrity_violated".to_owned()),
    });
    (!findings.is_empty()).then_some(Source::Platform(findings))
}

fn addresses(fields: &mut Fields<'_>, errors: &mut Vec<FieldError>) -> Vec<Address> {
    fields.list("address", MAX_ADDRESSES, errors, |text| fixed::<20>(text).map(Address::from))
}

fn fixed<const N: usize>(text: &str) -> Result<FixedBytes<N>, String> {
    hex_bytes(text, Some(N)).map(|bytes| FixedBytes::from_slice(&bytes))
}
