//! Where a database is, and what proves that whoever answers there is that database.
//!
//! A connection that does not prove it gives the password, and all that is written, to whoever stands in between. Only on this
//! machine is that let pass.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tracing::subscriber::{NoSubscriber, with_default};

use super::{DatabaseError, HiddenUrlError};
use crate::secret::Secret;

/// What the secret `database` holds when the database's certificate is signed by nobody whom everybody trusts. RDS's is not.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AddressWithCertificates {
    url: String,
    /// PEM: the certificates that vouch for the database's own.
    ca: String,
}

/// What the secret `database` is to hold, for [`connect_options`] to read: `url`, and the certificates that vouch for the database.
pub fn with_certificates(url: &Secret<String>, ca: Option<&str>) -> Secret<String> {
    let Some(ca) = ca else { return url.clone() };
    let address = AddressWithCertificates { url: url.expose().clone(), ca: ca.to_owned() };
    Secret::new(serde_json::to_string(&address).expect("two texts are JSON"))
}

/// The address without the certificates that may be beside it.
///
/// # Errors
/// [`DatabaseError::BadUrl`] if it is an object of another kind.
pub fn without_certificates(address: &Secret<String>) -> Result<Secret<String>, DatabaseError> {
    let text = address.expose();
    if !text.trim_start().starts_with('{') {
        return Ok(address.clone());
    }
    let known: AddressWithCertificates =
        serde_json::from_str(text).map_err(|_hidden| DatabaseError::BadUrl { source: HiddenUrlError })?;
    Ok(Secret::new(known.url))
}

/// What is connected with, from `postgres://…` or from `{"url": "postgres://…", "ca": "-----BEGIN CERTIFICATE-----…"}`.
///
/// # Errors
/// [`DatabaseError::BadUrl`]; [`DatabaseError::BadCertificates`] if there is none in `ca`; [`DatabaseError::Unproven`] for another
/// machine without `sslmode=verify-full`.
pub fn connect_options(address: &Secret<String>) -> Result<PgConnectOptions, DatabaseError> {
    let bad_url = || DatabaseError::BadUrl { source: HiddenUrlError };
    let text = address.expose();
    let options = if text.trim_start().starts_with('{') {
        let known: AddressWithCertificates = serde_json::from_str(text).map_err(|_hidden| bad_url())?;
        // The driver would take a text without any for no certificates at all.
        if !known.ca.contains("-----BEGIN CERTIFICATE-----") {
            return Err(DatabaseError::BadCertificates);
        }
        let options = parsed(&known.url).ok_or_else(bad_url)?;
        options.ssl_root_cert_from_pem(known.ca.into_bytes())
    } else {
        parsed(text).ok_or_else(bad_url)?
    };
    if is_this_machine(&options) || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
        return Ok(options);
    }
    Err(DatabaseError::Unproven { host: options.get_host().to_owned() })
}

/// What `url` says. The driver warns of a parameter that it does not know, with its value: a password whose name is misspelt. It is not
/// listened to.
fn parsed(url: &str) -> Option<PgConnectOptions> {
    with_default(NoSubscriber::new(), || url.parse::<PgConnectOptions>().ok())
}

fn is_this_machine(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use isotherm_types::Classified;

    use super::*;
    use crate::telemetry::logged;

    fn options_of(text: &str) -> Result<PgConnectOptions, DatabaseError> {
        connect_options(&Secret::new(text.to_owned()))
    }

    #[test]
    fn only_what_proves_itself_is_connected_with() {
        for mode in ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca"] {
            let error = options_of(&format!("postgres://ann:hunter2@db.example.com/books{mode}")).unwrap_err();
            assert_eq!(error.code(), "database.unproven", "{mode}");
            let text = error.to_string();
            assert!(text.contains("db.example.com") && !text.contains("hunter2"), "{text}");
        }
        assert!(options_of("postgres://ann@db.example.com/books?sslmode=verify-full").is_ok());
    }

    #[test]
    fn this_machine_needs_no_proof() {
        for host in ["127.0.0.1", "127.1.2.3:5433", "localhost", "[::1]:5432", "%2Fvar%2Frun"] {
            assert!(options_of(&format!("postgres://ann@{host}/books?sslmode=disable")).is_ok(), "{host}");
        }
        // A name that only looks like this machine's, and a host that is said a second time.
        for elsewhere in
            ["localhost.example.com/books?sslmode=disable", "127.0.0.1/books?hostaddr=192.0.2.1&sslmode=require"]
        {
            let error = options_of(&format!("postgres://ann@{elsewhere}")).unwrap_err();
            assert_eq!(error.code(), "database.unproven", "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn a_parameter_that_nobody_knows_is_told_nobody() {
        let (read, lines) = logged(async { options_of("postgres://ann@localhost/books?pasword=hunter2") }).await;
        assert_eq!((read.unwrap().get_username(), lines), ("ann", Vec::new()));
    }

    #[test]
    fn certificates_come_with_the_address() {
        let with = |url: &str, ca: &str| serde_json::json!({ "url": url, "ca": ca }).to_string();
        let url = "postgres://ann:hunter2@db.example.com/books?sslmode=verify-full";
        let ca = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        let composed = with_certificates(&Secret::new(url.to_owned()), Some(ca));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(composed.expose()).unwrap(),
            serde_json::json!({ "url": url, "ca": ca })
        );
        assert!(connect_options(&composed).is_ok());
        assert_eq!(with_certificates(&Secret::new(url.to_owned()), None).expose(), url);
        assert_eq!(without_certificates(&composed).unwrap().expose(), url);
        assert_eq!(without_certificates(&Secret::new(url.to_owned())).unwrap().expose(), url);
        let cases = [
            (with(url, ""), "database.bad_certificates"),
            (with(url, "rds-bundle.pem"), "database.bad_certificates"),
            (with("mysql-hunter2", "-----BEGIN CERTIFICATE-----"), "database.bad_url"),
            (serde_json::json!({ "url": url, "ca": null }).to_string(), "database.bad_url"),
            (serde_json::json!({ "url": url, "certificate": "hunter2" }).to_string(), "database.bad_url"),
        ];
        for (text, code) in cases {
            let error = crate::Fault::from(options_of(&text).unwrap_err());
            assert_eq!(error.code(), code);
            assert!(!error.message().contains("hunter2"), "{}", error.message());
        }
    }
}
