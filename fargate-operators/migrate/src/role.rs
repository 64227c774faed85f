//! The role that the platform's programs are in Postgres, and its password.
//!
//! The administrator makes the role and lets it make schemas; the role itself runs the migrations, so that what they make is
//! its own. It may make roles for that long only: one migration makes `isotherm_tenant`.

use isotherm_platform::{Secret, database};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

use crate::error::MigrateError;
use crate::{random, scram};

/// The role.
pub const ROLE: &str = "isotherm_platform";

/// Key of the advisory lock that whoever changes role and password holds: `isomigra` in ASCII.
pub const ONE_AT_A_TIME: i64 = 0x6973_6f6d_6967_7261;

/// Where Postgres is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `host:port/database`.
    address: String,
    options: Option<String>,
    /// PEM: what vouches for the database's certificate, unless everybody trusts it.
    certificates: Option<String>,
    database: String,
}

impl Place {
    /// # Errors
    /// [`MigrateError::BadAddress`]; [`MigrateError::Unproven`] for another machine that need not prove itself.
    pub(crate) fn parse(
        address: &str,
        options: Option<&str>,
        certificates: Option<&str>,
    ) -> Result<Self, MigrateError> {
        let (host_and_port, database) = address.split_once('/').ok_or(MigrateError::BadAddress)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_host = host_and_port.chars().all(|c| is_plain(c) || ".-:[]".contains(c));
        if !is_host || host_and_port.is_empty() || database.is_empty() || !database.chars().all(is_plain) {
            return Err(MigrateError::BadAddress);
        }
        let place = Self {
            address: address.to_owned(),
            options: options.map(str::to_owned),
            certificates: certificates.map(str::to_owned),
            database: database.to_owned(),
        };
        place.connect_options()?;
        Ok(place)
    }

    /// The address with user, password and certificates, as programs are given it. The password must need no escapes.
    fn url(&self, user: &str, password: &str) -> Secret<String> {
        let options = self.options.as_ref().map(|options| format!("?{options}")).unwrap_or_default();
        self.vouched_for(&Secret::new(format!("postgres://{user}:{password}@{}{options}", self.address)))
    }

    /// The address `url`, with the certificates of this place beside it.
    pub(crate) fn vouched_for(&self, url: &Secret<String>) -> Secret<String> {
        database::with_certificates(url, self.certificates.as_deref())
    }

    fn connect_options(&self) -> Result<PgConnectOptions, MigrateError> {
        let options = self.options.as_ref().map(|options| format!("?{options}")).unwrap_or_default();
        let url = Secret::new(format!("postgres://{}{options}", self.address));
        Ok(database::connect_options(&self.vouched_for(&url))?)
    }

    /// Connects as the administrator, whose password may hold anything.
    pub(crate) async fn connect(&self, user: &str, password: &str) -> Result<PgConnection, MigrateError> {
        let options = self.connect_options()?.username(user).password(password).application_name("isotherm-migrate");
        options.connect().await.map_err(|source| self.refused(user, source))
    }

    /// Connects by an address with a password in it, and its certificates if it has any.
    pub(crate) async fn connect_by(&self, url: &Secret<String>) -> Result<PgConnection, MigrateError> {
        let options = database::connect_options(url)?;
        let user = options.get_username().to_owned();
        let options = options.application_name("isotherm-migrate");
        options.connect().await.map_err(|source| self.refused(&user, source))
    }

    /// Whether an address leads to this place.
    pub(crate) fn is_that_of(&self, address: &Secret<String>) -> Result<bool, MigrateError> {
        let (here, there) = (self.connect_options()?, database::connect_options(address)?);
        let of = |options: &PgConnectOptions| {
            (options.get_host().to_owned(), options.get_port(), options.get_database().map(str::to_owned))
        };
        Ok(of(&here) == of(&there))
    }

    fn refused(&self, user: &str, source: sqlx::Error) -> MigrateError {
        MigrateError::Connect { address: self.address.clone(), user: user.to_owned(), source }
    }
}

/// Waits until no other errand is at it: two passwords at once would leave Postgres with one and the secret with the other. The lock
/// ends with the connection.
pub(crate) async fn be_alone(admin: &mut PgConnection) -> Result<(), MigrateError> {
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(ONE_AT_A_TIME).execute(admin).await;
    lock.map_err(MigrateError::statement("wait for another errand"))?;
    Ok(())
}

/// Makes the role unless it is there, and lets it make what migrations make.
pub(crate) async fn ensure(admin: &mut PgConnection, place: &Place) -> Result<(), MigrateError> {
    let (is_there,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(ROLE)
        .fetch_one(&mut *admin)
        .await
        .map_err(MigrateError::statement("look the role up"))?;
    if !is_there {
        let create = format!("CREATE ROLE {ROLE} LOGIN NOCREATEDB NOCREATEROLE");
        execute(admin, create, "make the role").await?;
    }
    let grant = format!("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE \"{}\" TO {ROLE}", place.database);
    execute(admin, grant, "let the role make schemas").await?;
    // Where sqlx keeps its list of migrations. Source: PostgreSQL 15 takes CREATE there from everybody (release notes of 15).
    let grant = format!("GRANT USAGE, CREATE ON SCHEMA public TO {ROLE}");
    execute(admin, grant, "let the role use the schema `public`").await
}

/// Lets the role make roles, or no longer.
pub(crate) async fn allow_roles(admin: &mut PgConnection, allowed: bool) -> Result<(), MigrateError> {
    let word = if allowed { "CREATEROLE" } else { "NOCREATEROLE" };
    execute(admin, format!("ALTER ROLE {ROLE} {word}"), "change what the role may do").await
}

/// Gives the role a new password and returns the address with it.
pub(crate) async fn renew_password(admin: &mut PgConnection, place: &Place) -> Result<Secret<String>, MigrateError> {
    let (password, salt) = (random::digits(), random::bytes::<16>());
    let verifier = scram::verifier(&password, &salt);
    // Base64 and `$`, `:`: nothing that would end the text.
    execute(admin, format!("ALTER ROLE {ROLE} PASSWORD '{verifier}'"), "set the role's password").await?;
    Ok(place.url(ROLE, &password))
}

async fn execute(admin: &mut PgConnection, sql: String, action: &'static str) -> Result<(), MigrateError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(admin).await.map_err(MigrateError::statement(action))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_a_port_and_a_database() {
        let place = Place::parse("db.example.com:5432/isotherm", Some("sslmode=verify-full"), None).unwrap();
        let url = place.url(ROLE, "ab12");
        assert_eq!(url.expose(), "postgres://isotherm_platform:ab12@db.example.com:5432/isotherm?sslmode=verify-full");
        let ca = "-----BEGIN CERTIFICATE-----";
        let vouched = Place::parse("db.example.com:5432/isotherm", Some("sslmode=verify-full"), Some(ca)).unwrap();
        assert_eq!(vouched.url(ROLE, "ab12").expose(), database::with_certificates(&url, Some(ca)).expose());
        for mode in [None, Some("sslmode=require")] {
            let refused = Place::parse("db.example.com:5432/isotherm", mode, None);
            assert!(matches!(refused, Err(MigrateError::Unproven(_))), "{mode:?}");
        }
        for bad in ["", "host", "host:5432/", "/isotherm", "user:word@host:5432/isotherm", "host:5432/a\"b", "host:x/a"]
        {
            assert!(matches!(Place::parse(bad, None, None), Err(MigrateError::BadAddress)), "{bad}");
        }
        assert!(matches!(Place::parse("host:5432/a", Some("sslmode=perhaps"), None), Err(MigrateError::BadAddress)));
    }
}
