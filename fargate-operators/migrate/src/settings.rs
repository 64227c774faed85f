//! What the task definition and `RunTask` say.

use isotherm_platform::{ConfigError, Environment, Secret};

use crate::{request, seal};

/// Addresses and names, and one secret that is good for one answer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `host:port/database`.
    pub(crate) address: String,
    /// What stands behind `?` in the database's address.
    pub(crate) options: Option<String>,
    /// PEM: the certificates that vouch for the database's own.
    pub(crate) certificates: Option<String>,
    /// The secret with the administrator's `username` and `password`.
    pub(crate) admin_secret: String,
    /// The secret that the platform's programs read.
    pub(crate) database_secret: String,
    /// Where requests and answers are.
    pub(crate) bucket: String,
    /// Key of the request.
    pub(crate) request: String,
    /// What the request has to be.
    pub(crate) request_sha256: String,
    /// Seals the answer.
    pub(crate) answer_key: Secret<String>,
}

impl Settings {
    pub(crate) fn read(environment: &mut Environment) -> Result<Self, ConfigError> {
        let address = environment.text("ISOTHERM_DATABASE_ADDRESS");
        let options = environment.optional_text("ISOTHERM_DATABASE_OPTIONS");
        let certificates = environment.optional_text("ISOTHERM_DATABASE_CA");
        let admin_secret = environment.text("ISOTHERM_DATABASE_ADMIN_SECRET_ARN");
        let database_secret = environment.database_secret_arn();
        let bucket = environment.bucket("results");
        let request = environment.text(request::VARIABLE);
        let request_sha256 = environment.text(seal::DIGEST_VARIABLE);
        let answer_key = environment.secret(seal::KEY_VARIABLE);
        let checked = environment.check()?;
        Ok(Self {
            address: address.open(&checked),
            options: options.open(&checked),
            certificates: certificates.open(&checked),
            admin_secret: admin_secret.open(&checked),
            database_secret: database_secret.open(&checked),
            bucket: bucket.open(&checked),
            request: request.open(&checked),
            request_sha256: request_sha256.open(&checked),
            answer_key: answer_key.open(&checked),
        })
    }
}
