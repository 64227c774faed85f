//! The errand `migrate`: Postgres's role for the platform, migrations, and pipelines, from inside the network.
//!
//! It is started once (`isotherm deploy`, by `RunTask`) with the key of a request in the bucket `results` and its SHA-256, does
//! what it asks, and writes its answer beside it, sealed (`seal`). Every part can be repeated. The same functions migrate the
//! database of one machine.
//!
//! It alone knows Postgres's administrator. It must never do what somebody else has written in the place of the request, nor
//! show a password: not in a log, an error or its answer, and not to Postgres either, which is given what the password is
//! checked by.

mod error;
mod objects;
mod perform;
mod random;
mod role;
mod scram;
mod settings;

pub mod request;
pub mod schema;
pub mod seal;
pub mod smoke;

use std::process::ExitCode;

use isotherm_platform::aws::Clients;
use isotherm_platform::{Environment, Fault, telemetry};

pub use error::MigrateError;
pub use role::{ONE_AT_A_TIME, ROLE};

use request::Answer;
use settings::Settings;

/// Reads the request that the environment names, does what it asks, and writes the answer down.
pub async fn run() -> ExitCode {
    telemetry::init("migrate");
    match answered().await {
        Ok(Answer::Done(_)) => ExitCode::SUCCESS,
        Ok(Answer::Failed { .. }) => ExitCode::FAILURE,
        // Nobody waits for an answer that could not be written, but the log says why.
        Err(fault) => {
            tracing::error!(error.code = fault.code(), error.message = fault.message(), "the request was not answered");
            ExitCode::FAILURE
        }
    }
}

async fn answered() -> Result<Answer, Fault> {
    let settings = Settings::read(&mut Environment::of_process())?;
    let clients = Clients::load().await;
    let answer = match perform::request(&settings, &clients).await {
        Ok(done) => Answer::Done(done),
        Err(fault) => {
            tracing::error!(error.code = fault.code(), error.message = fault.message(), "the request failed");
            Answer::Failed { code: fault.code().to_owned(), message: fault.message() }
        }
    };
    objects::write_answer(clients.s3(), &settings, &answer).await?;
    Ok(answer)
}
