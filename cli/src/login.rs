//! `isotherm login`: a token of this machine's own issuer for one user, kept for half a day.
//!
//! Whoever can run this has the private key and the database's password, and so may be anybody; the token is what makes
//! the API know them like everybody else.

use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use chrono::TimeDelta;
use isotherm_access::local_issuer::ISSUER;
use isotherm_access::users::{self, NewUser, User};
use isotherm_access::{Role, orgs};
use isotherm_control::jobs::DEFAULT_ORG;
use isotherm_types::{Clock as _, SystemClock};

use crate::args::LoginArguments;
use crate::connected::{Connected, actor, own_name};
use crate::home::Home;
use crate::local_key;
use crate::output::{instant, say};

/// How long a token is good: a working day, and not the next one.
const LIFE: TimeDelta = TimeDelta::hours(12);

pub(crate) async fn run(home: &Home, arguments: &LoginArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    let issuer = local_key::issuer(home)?;
    let subject = arguments.user.clone().unwrap_or_else(own_name);
    let (org, user) = user(&mut connected, arguments, &subject).await?;
    let now = SystemClock.now();
    let token = issuer.token(&subject, now, LIFE).context("could not make a token")?;
    local_key::keep_token(home, &token)?;
    say!("logged in as {} of {org}, {}, until {}", user.name, user.role, instant(now + LIFE));
    Ok(ExitCode::SUCCESS)
}

/// The user to be, and the name of their organisation.
async fn user(connected: &mut Connected, arguments: &LoginArguments, subject: &str) -> anyhow::Result<(String, User)> {
    let conn = &mut connected.conn;
    let known = users::of_subject(conn, ISSUER, subject).await.context("could not look the user up")?;
    if let Some((org, user)) = known {
        let meant = arguments.org.as_ref().unwrap_or(&org);
        ensure!(*meant == org, "{subject} is a user of {org}, not of {meant}; a user is of one organisation");
        ensure!(user.active, "{subject} was shut out; `isotherm users activate` lets them in again");
        return Ok((org, user));
    }
    let org = arguments.org.as_deref().unwrap_or(DEFAULT_ORG);
    if arguments.user.is_some() {
        bail!("there is no user {subject:?} here; `isotherm users add {subject} --org {org} --role reader` adds one");
    }
    let org_id = orgs::find(conn, org).await.context("could not find the organisation")?;
    let new =
        NewUser { issuer: ISSUER.to_owned(), subject: subject.to_owned(), name: subject.to_owned(), role: Role::Admin };
    let user = users::add(conn, org_id, &new, &actor()).await.context("could not add you as a user")?;
    Ok((org.to_owned(), user))
}
