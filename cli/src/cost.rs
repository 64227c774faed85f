//! `isotherm cost`: what a month on AWS costs, from the files that say what runs there.
//!
//! [`run`] reads the files; the rest is pure: stack file, figures of an environment, prices, counts and a load go in, a
//! [`Bill`] comes out. It asks neither AWS nor a running stack, and it must never guess in silence: an entry of the
//! stack file that it does not know is an error, and each line says where its quantities come from.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;
use isotherm_lab::tools;
use isotherm_local_stack::Stack;

use crate::args::CostArguments;
use crate::{chains, output};

mod bill;
mod counts;
#[cfg(test)]
mod document;
mod environment;
mod findings;
mod functions;
mod load;
mod network;
mod operators;
mod prices;
mod queues;
#[cfg(test)]
mod scene;
mod stores;
#[cfg(test)]
mod tests;
mod view;
mod watch;

use bill::Bill;
use counts::{Count, Counts};
use environment::Figures;
use load::{Load, Month};
use prices::{InstancePrice, Price, PriceFile, Prices};

/// Everything that a bill follows from.
#[derive(Clone, Copy, Debug)]
struct Inputs<'a> {
    stack: &'a Stack,
    figures: &'a Figures,
    prices: &'a Prices,
    instances: &'a BTreeMap<String, InstancePrice>,
    counts: &'a Counts,
    load: &'a Load,
    month: &'a Month,
}

pub(crate) fn run(arguments: &CostArguments) -> anyhow::Result<ExitCode> {
    let known = match chains::known(arguments.chains.as_deref())? {
        Ok(known) => known,
        Err(refused) => return Ok(refused),
    };
    let profile = &known.named(&arguments.chain).ok_or_else(|| known.unknown(&arguments.chain))?.profile;
    let root = tools::repository_root().context("could not find the repository")?;
    let stack = Stack::read(&root.join("terraform/stack.yaml")).context("could not read the stack file")?;
    let figures = environment::read(&root, &arguments.env)?;
    let text = prices::text(arguments.prices.as_deref())?;
    let file: PriceFile<Prices> = prices::parse(&text)?;
    let load = Load {
        transactions_per_second: arguments.tps,
        block_time_ms: arguments.block_time_ms.unwrap_or(profile.block_time_ms),
        partition_blocks: profile.partition_blocks,
        rules: arguments.rules,
        queries_per_day: arguments.queries_per_day,
        hot_hours: arguments.hot_hours,
        history_months: arguments.history_months,
    };
    let counts = counts::read()?;
    let bill = reckon(&Inputs {
        stack: &stack,
        figures: &figures,
        prices: &file.prices,
        instances: &file.database_instances,
        counts: &counts,
        load: &load,
        month: &Month::of(&load, &counts),
    })?;
    let explained: Option<(BTreeMap<String, Count>, ListedPrices)> =
        if arguments.explain { Some((counts::listed()?, prices::parse(&text)?)) } else { None };
    let head = view::Head { environment: &arguments.env, chain: &profile.name, load: &load, prices: &file };
    let mut json = view::to_json(&head, &bill);
    if let Some((counts, prices)) = &explained {
        json["explained"] = view::explained_json(counts, prices);
    }
    output::show(arguments.format, &json, || {
        view::print(&head, &bill);
        if let Some((counts, prices)) = &explained {
            view::print_explained(counts, prices);
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prices with their sources, by name.
type ListedPrices = PriceFile<BTreeMap<String, Price>>;

/// The bill of a month.
///
/// # Errors
/// An entry of the stack file that the model does not know; a class of database without a price.
fn reckon(inputs: &Inputs<'_>) -> anyhow::Result<Bill> {
    let runs = functions::runs(inputs)?;
    let work = operators::work(inputs)?;
    let ticks: f64 = functions::ticks(inputs)?.values().sum();
    let log_bytes = watch::log_bytes(inputs, &runs, &work);
    let queues = queues::lines(inputs, &work)?;
    let requests: f64 = queues.iter().flat_map(|line| &line.terms).map(|term| term.fixed + term.grows).sum();
    let aws_bytes = requests * inputs.counts.bytes_per_request + log_bytes.fixed + log_bytes.grows;

    let mut lines = functions::lines(inputs, &runs);
    lines.extend(operators::lines(inputs, &work));
    lines.extend(queues);
    lines.extend(stores::database(inputs)?);
    lines.extend(stores::buckets(inputs)?);
    lines.extend(network::lines(inputs, aws_bytes));
    lines.extend(watch::cloudwatch(inputs, log_bytes));
    lines.extend(watch::others(inputs, ticks));
    let mut bill = Bill { lines, findings: Vec::new() };
    bill.findings = findings::of(inputs, &work, bill.sum());
    Ok(bill)
}
