//! `isotherm users`: who may call, for whoever has the database.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_access::local_issuer::ISSUER;
use isotherm_access::users::{self, NewUser, User, UserChange};
use isotherm_access::{Role, orgs};
use isotherm_types::OrgId;
use serde_json::{Value, json};

use crate::args::{AddUserArguments, Output, UsersArguments, UsersCommand};
use crate::connected::{Connected, actor, unknown};
use crate::home::Home;
use crate::output::{self, instant, maybe_instant, say, table};

pub(crate) async fn run(home: &Home, arguments: &UsersArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    match &arguments.command {
        UsersCommand::List { org, before, limit, printed } => {
            let org = org_id(&mut connected, org).await?;
            let listed = users::list(&mut connected.conn, org, *before, *limit).await;
            let listed = listed.context("could not read the users")?;
            output::show(printed.output, &listed.iter().map(to_json).collect(), || print(&listed))?;
        }
        UsersCommand::Add(arguments) => add(&mut connected, arguments).await?,
        UsersCommand::SetRole { name, role, org, printed } => {
            let wanted = UserChange { role: Some(*role), active: None };
            change(&mut connected, (org, name), wanted, printed.output).await?;
        }
        UsersCommand::Deactivate { name, org, printed } => {
            let wanted = UserChange { role: None, active: Some(false) };
            change(&mut connected, (org, name), wanted, printed.output).await?;
        }
        UsersCommand::Activate { name, org, printed } => {
            let wanted = UserChange { role: None, active: Some(true) };
            change(&mut connected, (org, name), wanted, printed.output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn org_id(connected: &mut Connected, name: &str) -> anyhow::Result<OrgId> {
    orgs::find(&mut connected.conn, name).await.context("could not find the organisation")
}

async fn add(connected: &mut Connected, arguments: &AddUserArguments) -> anyhow::Result<()> {
    let org = org_id(connected, &arguments.org).await?;
    let new = NewUser {
        issuer: arguments.issuer.clone().unwrap_or_else(|| ISSUER.to_owned()),
        subject: arguments.subject.as_ref().unwrap_or(&arguments.name).clone(),
        name: arguments.name.clone(),
        role: arguments.role,
    };
    let user = users::add(&mut connected.conn, org, &new, &actor()).await;
    let user = user.with_context(|| format!("could not add {}", arguments.name))?;
    output::show(arguments.printed.output, &to_json(&user), || {
        say!("{} is a user of {}, {}", user.name, arguments.org, user.role);
    })
}

async fn change(
    connected: &mut Connected,
    (org, name): (&str, &str),
    wanted: UserChange,
    printed: Output,
) -> anyhow::Result<()> {
    let org_id = org_id(connected, org).await?;
    let conn = &mut connected.conn;
    let found = users::named(conn, org_id, name).await.context("could not read the users")?;
    let Some(found) = found else {
        let all = users::list(conn, org_id, None, users::MAX_PAGE).await.context("could not read the users")?;
        let names: Vec<String> = all.into_iter().map(|user| user.name).collect();
        return Err(unknown("user", name, &names));
    };
    let changed = users::change(conn, org_id, found.id, wanted, (&actor(), None)).await;
    let user = changed.with_context(|| format!("could not change {name}"))?;
    output::show(printed, &to_json(&user), || say!("{}", state_words(org, &user)))
}

fn state_words(org: &str, user: &User) -> String {
    match (user.active, user.role) {
        (true, Role::Admin) => format!("{} is an admin of {org}", user.name),
        (true, role) => format!("{} is a {role} of {org}", user.name),
        (false, _) => format!("{} of {org} is shut out, whatever tokens they have", user.name),
    }
}

fn to_json(user: &User) -> Value {
    json!({
        "id": user.id.0,
        "name": user.name,
        "role": user.role.as_str(),
        "active": user.active,
        "issuer": user.issuer,
        "subject": user.subject,
        "created_at": user.created_at,
        "last_seen_at": user.last_seen_at,
    })
}

fn print(listed: &[User]) {
    let headings = ["number", "user", "role", "state", "issuer", "subject", "since (UTC)", "last seen (UTC)"];
    let mut table = table(&headings, &["number"]);
    for user in listed {
        table.add_row([
            user.id.0.to_string(),
            user.name.clone(),
            user.role.to_string(),
            if user.active { "active" } else { "shut out" }.to_owned(),
            user.issuer.clone(),
            user.subject.clone(),
            instant(user.created_at),
            maybe_instant(user.last_seen_at),
        ]);
    }
    say!("{table}");
}

#[cfg(test)]
mod tests {
    use isotherm_access::UserId;

    use super::*;
    use crate::golden;

    #[test]
    fn users_for_programs_are_the_golden_file() {
        let user = User {
            id: UserId(7),
            issuer: ISSUER.to_owned(),
            subject: "ann".to_owned(),
            name: "ann".to_owned(),
            role: Role::Writer,
            active: false,
            created_at: "2026-11-26T10:00:00Z".parse().unwrap(),
            last_seen_at: None,
        };
        golden::check("users_list", &json!([to_json(&user)]));
        assert_eq!(state_words("acme", &user), "ann of acme is shut out, whatever tokens they have");
        let user = User { active: true, ..user };
        assert_eq!(state_words("acme", &user), "ann is a writer of acme");
    }
}
