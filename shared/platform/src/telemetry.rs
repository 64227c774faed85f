//! Logs: one JSON object a line on standard error, values as dotted fields.
//!
//! Standard output is never used: it belongs to the operator protocol. It must never log a secret, users' SQL, or a
//! whole payload.

use tracing_subscriber::EnvFilter;

use crate::config::Environment;

/// What is logged when nothing is asked for: our `info`, and only warnings of the libraries.
const DEFAULT_FILTER: &str =
    "info,aws_config=warn,aws_smithy_runtime=warn,hyper=warn,sqlx=warn,lambda_runtime=warn,Lambda runtime invoke=warn";

/// Starts logging for the part called `name`. `ISOTHERM_LOG`, else `RUST_LOG`, sets the level.
///
/// A second call changes nothing, so tests may call it. A filter that cannot be read is reported and replaced.
pub fn init(name: &'static str) {
    let mut environment = Environment::of_process();
    let wished = ["ISOTHERM_LOG", "RUST_LOG"].into_iter().find_map(|variable| {
        let checked = environment.check().ok()?;
        Some((variable, environment.optional_text(variable).open(&checked)?))
    });
    let (filter, unreadable) = match &wished {
        None => (EnvFilter::new(DEFAULT_FILTER), None),
        Some((variable, text)) => match EnvFilter::try_new(text) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some((variable, error))),
        },
    };
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .finish();
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return;
    }
    tracing::debug!(service.name = name, "telemetry started");
    if let Some((variable, error)) = unreadable {
        tracing::warn!(
            config.variable = %variable,
            error.message = %error,
            "the log filter cannot be read; the default is used"
        );
    }
}
