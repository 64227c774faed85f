//! The caller behind a token, an AWS principal or a direct invocation, and whether they may do something.

use isotherm_types::OrgId;
use sqlx::PgConnection;

use crate::audit::{self, Entry};
use crate::authenticator::VerifiedToken;
use crate::caller::{Caller, USER_PREFIX, UserId};
use crate::error::AccessError;
use crate::grants;
use crate::issuer::AWS_IAM;
use crate::orgs;
use crate::role::{Permission, Role};

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    org_id: i64,
    org_name: String,
    name: String,
    role: String,
    active: bool,
    is_to_be_marked: bool,
}

/// The user whom a genuine token names.
///
/// # Errors
/// [`AccessError::UnknownUser`], [`AccessError::InactiveUser`], both written into the audit trail; what Postgres reports.
pub async fn of_token(conn: &mut PgConnection, token: &VerifiedToken) -> Result<Caller, AccessError> {
    let user = user(conn, &token.issuer, &token.subject).await?;
    let name = format!("{USER_PREFIX}{}", user.name);
    let role = role(&user)?;
    let grants = grants::of_org(conn, OrgId(user.org_id)).await?;
    Ok(Caller { org: OrgId(user.org_id), org_name: user.org_name, user: Some(UserId(user.id)), name, role, grants })
}

/// The user that the AWS principal `arn` is, of whom API Gateway says that it has checked the signature.
///
/// # Errors
/// As [`of_token`].
pub async fn of_aws_principal(conn: &mut PgConnection, arn: &str) -> Result<Caller, AccessError> {
    let user = user(conn, AWS_IAM, lasting_arn(arn)).await?;
    let role = role(&user)?;
    let grants = grants::of_org(conn, OrgId(user.org_id)).await?;
    let (org, user_id) = (OrgId(user.org_id), UserId(user.id));
    Ok(Caller { org, org_name: user.org_name, user: Some(user_id), name: arn.to_owned(), role, grants })
}

/// Whoever invokes a function directly for the organisation called `org`: AWS IAM let them, so they may do everything
/// there. `name` is for the audit trail.
///
/// # Errors
/// [`AccessError::UnknownOrg`]; what Postgres reports.
pub async fn of_direct_invocation(conn: &mut PgConnection, org: &str, name: String) -> Result<Caller, AccessError> {
    let id = orgs::find(conn, org).await?;
    let grants = grants::of_org(conn, id).await?;
    Ok(Caller { org: id, org_name: org.to_owned(), user: None, name, role: Role::Admin, grants })
}

/// Lets `caller` do `what` if their role has `permission`; a denial is written into the audit trail, so this is not to be
/// called in a transaction that may be rolled back.
///
/// # Errors
/// [`AccessError::Forbidden`]; what Postgres reports.
pub async fn authorise(
    conn: &mut PgConnection,
    caller: &Caller,
    permission: Permission,
    what: &str,
) -> Result<(), AccessError> {
    if caller.role.may(permission) {
        return Ok(());
    }
    let reason = format!("{what} needs {permission}, the role is {}", caller.role);
    let subject_id = caller.user.map_or(0, |user| user.0);
    deny(conn, Some(caller.org), &caller.name, subject_id, &reason).await?;
    Err(AccessError::Forbidden { permission, role: caller.role })
}

async fn user(conn: &mut PgConnection, issuer: &str, subject: &str) -> Result<Row, AccessError> {
    let asked = sqlx::query_as(
        "SELECT u.id, u.org_id, o.name AS org_name, u.name, u.role, u.active,
                u.last_seen_at IS NULL OR u.last_seen_at < now() - interval '1 minute' AS is_to_be_marked
           FROM access.users u
           JOIN control.orgs o ON o.id = u.org_id
          WHERE u.issuer = $1 AND u.subject = $2",
    )
    .bind(issuer)
    .bind(subject);
    // Postgres has no text with a character 0, so nobody is called that.
    let found: Option<Row> = if subject.contains('\0') { None } else { asked.fetch_optional(&mut *conn).await? };
    let Some(user) = found else {
        let actor = format!("{issuer} {subject}").replace('\0', "\u{fffd}");
        deny(conn, None, &actor, 0, "no user has this issuer and subject").await?;
        return Err(AccessError::UnknownUser);
    };
    if !user.active {
        let actor = format!("{USER_PREFIX}{}", user.name);
        deny(conn, Some(OrgId(user.org_id)), &actor, user.id, "the user is not active").await?;
        return Err(AccessError::InactiveUser);
    }
    if user.is_to_be_marked {
        let seen = sqlx::query("UPDATE access.users SET last_seen_at = now() WHERE id = $1").bind(user.id);
        seen.execute(&mut *conn).await?;
    }
    Ok(user)
}

fn role(user: &Row) -> Result<Role, AccessError> {
    user.role.parse::<Role>().map_err(|unknown| AccessError::from(sqlx::Error::Decode(Box::new(unknown))))
}

/// Writes into the audit trail that `actor` was not let through.
pub(crate) async fn deny(
    conn: &mut PgConnection,
    org: Option<OrgId>,
    actor: &str,
    user: i64,
    reason: &str,
) -> Result<(), AccessError> {
    let entry = Entry {
        org,
        actor,
        action: "denied",
        subject: "user",
        subject_id: user,
        reason: Some(reason),
        ..Entry::default()
    };
    Ok(audit::record(conn, &entry).await?)
}

/// The ARN by which a principal is known for good: an assumed role without the name of its session, which changes.
///
/// Source: IAM user guide, "IAM identifiers": `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
pub fn lasting_arn(arn: &str) -> &str {
    match arn.split_once(":assumed-role/") {
        Some((before, role)) => match role.find('/') {
            Some(end) => &arn[..before.len() + ":assumed-role/".len() + end],
            None => arn,
        },
        None => arn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assumed_role_is_known_without_its_session() {
        let role = "arn:aws:sts::123456789012:assumed-role/ci";
        assert_eq!(lasting_arn(&format!("{role}/run-7")), role);
        assert_eq!(lasting_arn(role), role);
        let ann = "arn:aws:iam::123456789012:user/team/ann";
        assert_eq!(lasting_arn(ann), ann);
    }
}
