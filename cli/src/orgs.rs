//! `isotherm orgs`: organisations, and the datasets that they may read.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_access::grants::{self, Grant};
use isotherm_access::orgs::{self, OrgOverview};
use isotherm_types::ChainId;
use serde_json::{Value, json};

use crate::args::{GrantArguments, OrgsArguments, OrgsCommand};
use crate::connected::{Connected, actor};
use crate::home::Home;
use crate::output::{self, grouped, instant, say, table};
use crate::stored_chains;

pub(crate) async fn run(home: &Home, arguments: &OrgsArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    match &arguments.command {
        OrgsCommand::List { printed } => {
            let listed = listed(&mut connected).await?;
            let json = listed.iter().map(|(org, grants)| to_json(org, grants)).collect();
            output::show(printed.output, &json, || print(&listed))?;
        }
        OrgsCommand::Create { name, printed } => {
            let made = orgs::create(&mut connected.conn, name, &actor()).await;
            let org = made.with_context(|| format!("could not make the organisation {name:?}"))?;
            output::show(printed.output, &json!({ "id": org.0, "name": name }), || {
                say!("{name} is made; `isotherm orgs grant {name}` lets it read, `isotherm users add` lets people in");
            })?;
        }
        OrgsCommand::Grant(arguments) => change(&mut connected, arguments, true).await?,
        OrgsCommand::Revoke(arguments) => change(&mut connected, arguments, false).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn listed(connected: &mut Connected) -> anyhow::Result<Vec<(OrgOverview, Vec<Grant>)>> {
    let conn = &mut connected.conn;
    let orgs = orgs::list(conn).await.context("could not read the organisations")?;
    let mut listed = Vec::with_capacity(orgs.len());
    for org in orgs {
        let grants = grants::list(conn, isotherm_types::OrgId(org.id)).await.context("could not read the grants")?;
        listed.push((org, grants));
    }
    Ok(listed)
}

async fn change(connected: &mut Connected, arguments: &GrantArguments, is_grant: bool) -> anyhow::Result<()> {
    let GrantArguments { org: name, chain, dataset, printed } = arguments;
    let chain = match chain {
        Some(chain) => Some(chain_id(connected, chain).await?),
        None => None,
    };
    let grant = (chain, *dataset);
    let conn = &mut connected.conn;
    let org = orgs::find(conn, name).await.context("could not find the organisation")?;
    let changed = if is_grant {
        grants::grant(conn, org, grant, &actor()).await
    } else {
        grants::revoke(conn, org, grant, &actor()).await
    };
    let changed = changed.context("could not change the grants")?;
    let left = grants::list(conn, org).await.context("could not read the grants")?;
    let grants: Vec<_> = left.iter().map(|grant| grant_json(*grant)).collect();
    output::show(printed.output, &json!({ "org": name, "changed": changed, "grants": grants }), || {
        say!("{}", change_words(name, grant, is_grant, changed));
    })
}

/// The id, or the id of the stored chain of this name.
async fn chain_id(connected: &mut Connected, chain: &str) -> anyhow::Result<ChainId> {
    if let Ok(id) = chain.parse() {
        return Ok(ChainId(id));
    }
    let mut found = stored_chains::find(connected, Some(chain)).await?;
    found.pop().map(|stored| stored.chain_id).context("no chain has this name")
}

fn change_words(org: &str, grant: Grant, is_grant: bool, changed: bool) -> String {
    let what = grants::words(grant);
    match (is_grant, changed) {
        (true, true) => format!("{org} may read {what}, from the next query on"),
        (true, false) => format!("{org} had {what} granted already"),
        (false, true) => format!("the grant of {what} to {org} is taken away; a wider one would still let it read"),
        (false, false) => format!("{org} has no such grant: {what}"),
    }
}

fn grant_json((chain, dataset): Grant) -> Value {
    json!({ "chain_id": chain, "dataset": dataset })
}

/// The words for a grant as the API has it.
pub(crate) fn grant_words(grant: &Value) -> String {
    let dataset = grant["dataset"].as_str().and_then(|name| name.parse().ok());
    grants::words((grant["chain_id"].as_u64().map(ChainId), dataset))
}

fn to_json(org: &OrgOverview, grants: &[Grant]) -> Value {
    json!({
        "id": org.id,
        "name": org.name,
        "created_at": org.created_at,
        "active_users": org.active_users,
        "active_jobs": org.active_jobs,
        "grants": grants.iter().map(|grant| grant_json(*grant)).collect::<Vec<_>>(),
    })
}

fn print(listed: &[(OrgOverview, Vec<Grant>)]) {
    let mut table = table(&["organisation", "users", "jobs", "may read", "since (UTC)"], &["users", "jobs"]);
    for (org, grants) in listed {
        let count = |number: i64| grouped(number.unsigned_abs());
        let granted: Vec<_> = grants.iter().map(|grant| grants::words(*grant)).collect();
        table.add_row([
            org.name.clone(),
            count(org.active_users),
            count(org.active_jobs),
            if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") },
            instant(org.created_at),
        ]);
    }
    say!("{table}");
}

#[cfg(test)]
mod tests {
    use isotherm_types::Dataset;

    use super::*;
    use crate::golden;

    #[test]
    fn organisations_for_programs_are_the_golden_file() {
        let org = OrgOverview {
            id: 2,
            name: "acme".to_owned(),
            created_at: "2026-11-26T10:00:00Z".parse().unwrap(),
            active_users: 3,
            active_jobs: 1,
        };
        let grants = [(Some(ChainId(143)), Some(Dataset::Logs)), (None, None)];
        golden::check("orgs_list", &json!([to_json(&org, &grants)]));
    }

    #[test]
    fn a_grant_is_told_in_words() {
        let logs = (Some(ChainId(143)), Some(Dataset::Logs));
        assert_eq!(change_words("acme", logs, true, true), "acme may read logs of chain 143, from the next query on");
        assert_eq!(grant_words(&grant_json(logs)), "logs of chain 143");
        assert_eq!(grant_words(&grant_json((None, None))), "every dataset of every chain");
    }
}
