//! What a command needs of the running stack: its database, its organisation, its AWS endpoint.

use anyhow::Context;
use isotherm_control::jobs;
use isotherm_lab::ministack::REGION;
use isotherm_local_stack::LocalAws;
use isotherm_types::OrgId;
use nix::unistd::{Uid, User};
use serde_json::json;
use sqlx::PgConnection;

use crate::home::{Home, RunningStack};
use crate::machine::{self, ACCOUNT};
use crate::{exit, figures};

/// The running stack, connected.
pub(crate) struct Connected {
    pub(crate) stack: RunningStack,
    pub(crate) conn: PgConnection,
    pub(crate) org_id: OrgId,
}

impl Connected {
    /// Connects to the stack that runs in `home`.
    ///
    /// # Errors
    /// If none runs, or its database does not answer.
    pub(crate) async fn to(home: &Home) -> anyhow::Result<Self> {
        let stack = home.expect_running()?;
        let mut conn = figures::connect(&stack.database_url).await?;
        let org_id = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.context("could not find the organisation")?;
        Ok(Self { stack, conn, org_id })
    }

    /// Clients for the stack's AWS endpoint.
    pub(crate) async fn aws(&self) -> LocalAws {
        aws(&self.stack).await
    }

    /// Has the dispatcher look at once. That it cannot is told and no fault: its schedule does the same within a minute.
    pub(crate) async fn sweep(&self) {
        let event = json!({ "version": 1, "kind": "sweep" });
        if let Err(error) = machine::invoke(&self.aws().await, "dispatcher", &event).await {
            exit::warn(&error.context("the dispatcher was not woken; its next sweep comes within a minute"));
        }
    }
}

/// Clients for the AWS endpoint of `stack`.
pub(crate) async fn aws(stack: &RunningStack) -> LocalAws {
    match &stack.secret_access_key {
        Some(secret) => LocalAws::with_secret(&stack.endpoint_url, REGION, ACCOUNT, secret).await,
        None => LocalAws::new(&stack.endpoint_url, REGION, ACCOUNT).await,
    }
}

/// Who the audit trail is to name: `cli:` and the name of the user who gave the command.
pub(crate) fn actor() -> String {
    format!("cli:{}", own_name())
}

/// The name of the user who gave the command; their number if they have none.
pub(crate) fn own_name() -> String {
    let uid = Uid::current();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// What to say of a name that names nothing.
pub(crate) fn unknown(kind: &str, name: &str, there: &[String]) -> anyhow::Error {
    match there {
        [] => anyhow::anyhow!("there is no {kind} called {name:?}, nor any other"),
        there => anyhow::anyhow!("there is no {kind} called {name:?}; there are: {}", there.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_those_that_are_there() {
        let there = ["a".to_owned(), "b".to_owned()];
        assert_eq!(unknown("job", "c", &there).to_string(), "there is no job called \"c\"; there are: a, b");
        assert_eq!(unknown("job", "c", &[]).to_string(), "there is no job called \"c\", nor any other");
    }
}
