//! Environment variables of functions and workers, derived from the stack file by one rule. Terraform derives the same.
//!
//! Pure: addresses come in, variables go out. Nothing is given to a process that its wiring does not name.

use std::collections::BTreeMap;

use crate::error::LocalStackError;
use crate::names;
use crate::stack_file::{Errand, Function, Notifier, Operator, Stack};

/// A process's variables.
pub type Variables = BTreeMap<String, String>;

/// Addresses of what the stack file names, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// URL of each queue.
    pub queue_urls: BTreeMap<String, String>,
    /// Name of each bucket.
    pub buckets: BTreeMap<String, String>,
    /// ARN of each secret that is not per name.
    pub secret_arns: BTreeMap<String, String>,
    /// Name of the ECS cluster.
    pub cluster: String,
    /// Private subnets; none on one machine.
    pub subnets: Vec<String>,
    /// Security groups; none on one machine.
    pub security_groups: Vec<String>,
    /// Issuers of tokens, as a JSON list. Public keys and addresses only.
    pub token_issuers: String,
    /// Whom emails come from.
    pub email_from: String,
}

/// Variables of the function `function`.
///
/// # Errors
/// [`LocalStackError::Unresolved`] if an address is missing.
pub fn of_function(stack: &Stack, function: &Function, addresses: &Addresses) -> Result<Variables, LocalStackError> {
    let mut variables = function.environment.clone();
    add_queues(&mut variables, &function.send, addresses)?;
    add_buckets(&mut variables, function.buckets.keys(), addresses)?;
    add_secrets(&mut variables, stack, &function.secrets, addresses)?;
    for key in &function.invoke {
        variables.insert(names::function_variable(key), names::function(key));
    }
    if function.verify_tokens {
        variables.insert(names::TOKEN_ISSUERS_VARIABLE.to_owned(), addresses.token_issuers.clone());
    }
    if function.notify.contains(&Notifier::Email) {
        variables.insert("ISOTHERM_EMAIL_FROM".to_owned(), addresses.email_from.clone());
    }
    if !function.run_operators.is_empty() || !function.stop_operators.is_empty() {
        variables.insert("ISOTHERM_CLUSTER".to_owned(), addresses.cluster.clone());
        variables.insert("ISOTHERM_TASK_DEFINITION_PREFIX".to_owned(), names::task_definition_prefix());
    }
    if !function.run_operators.is_empty() {
        variables.insert("ISOTHERM_SUBNETS".to_owned(), addresses.subnets.join(","));
        variables.insert("ISOTHERM_SECURITY_GROUPS".to_owned(), addresses.security_groups.join(","));
    }
    Ok(variables)
}

/// Variables of the worker of the operator `key`.
///
/// # Errors
/// [`LocalStackError::Unresolved`] if an address is missing.
pub fn of_operator(
    stack: &Stack,
    key: &str,
    operator: &Operator,
    addresses: &Addresses,
) -> Result<Variables, LocalStackError> {
    let mut variables = operator.environment.clone();
    add_queues(&mut variables, operator.send.iter().chain([&operator.queue]), addresses)?;
    add_buckets(&mut variables, operator.buckets.keys(), addresses)?;
    add_secrets(&mut variables, stack, &operator.secrets, addresses)?;
    variables.insert("ISOTHERM_OPERATOR".to_owned(), key.to_owned());
    Ok(variables)
}

/// What an errand that administers the database is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseAdministration {
    /// `host:port/database`.
    pub address: String,
    /// What stands behind `?` in the database's address, such as `sslmode=verify-full`; may be empty.
    pub options: String,
    /// ARN of the secret with the administrator's `username` and `password`.
    pub admin_secret_arn: String,
    /// PEM: what vouches for the database's certificate, unless everybody trusts it.
    pub certificates: Option<String>,
}

/// Variables of the errand `key`.
///
/// # Errors
/// [`LocalStackError::Unresolved`] if an address is missing.
pub fn of_errand(
    stack: &Stack,
    key: &str,
    errand: &Errand,
    addresses: &Addresses,
    administration: &DatabaseAdministration,
) -> Result<Variables, LocalStackError> {
    let mut variables = errand.environment.clone();
    add_buckets(&mut variables, errand.buckets.keys(), addresses)?;
    add_secrets(&mut variables, stack, &errand.secrets, addresses)?;
    variables.insert(names::ERRAND_VARIABLE.to_owned(), key.to_owned());
    if errand.administers_database {
        variables.insert("ISOTHERM_DATABASE_ADDRESS".to_owned(), administration.address.clone());
        variables.insert("ISOTHERM_DATABASE_OPTIONS".to_owned(), administration.options.clone());
        variables.insert("ISOTHERM_DATABASE_ADMIN_SECRET_ARN".to_owned(), administration.admin_secret_arn.clone());
        let certificates = administration.certificates.iter();
        variables.extend(certificates.map(|pem| ("ISOTHERM_DATABASE_CA".to_owned(), pem.clone())));
    }
    Ok(variables)
}

fn add_queues<'keys>(
    variables: &mut Variables,
    keys: impl IntoIterator<Item = &'keys String>,
    addresses: &Addresses,
) -> Result<(), LocalStackError> {
    for key in keys {
        let url = addresses.queue_urls.get(key).ok_or_else(|| unresolved("queue", key))?;
        variables.insert(names::queue_variable(key), url.clone());
    }
    Ok(())
}

fn add_buckets<'keys>(
    variables: &mut Variables,
    keys: impl IntoIterator<Item = &'keys String>,
    addresses: &Addresses,
) -> Result<(), LocalStackError> {
    for key in keys {
        let name = addresses.buckets.get(key).ok_or_else(|| unresolved("bucket", key))?;
        variables.insert(names::bucket_variable(key), name.clone());
    }
    Ok(())
}

fn add_secrets(
    variables: &mut Variables,
    stack: &Stack,
    keys: &[String],
    addresses: &Addresses,
) -> Result<(), LocalStackError> {
    for key in keys {
        if stack.secrets.get(key).is_some_and(|secret| secret.per_name) {
            continue;
        }
        let arn = addresses.secret_arns.get(key).ok_or_else(|| unresolved("secret", key))?;
        variables.insert(names::secret_variable(key), arn.clone());
    }
    Ok(())
}

fn unresolved(kind: &'static str, name: &str) -> LocalStackError {
    LocalStackError::Unresolved { kind, name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        let text = include_str!("../../../terraform/stack.yaml");
        Stack::parse(text, "stack.yaml").unwrap()
    }

    fn addresses(stack: &Stack) -> Addresses {
        let named = |prefix: &str, keys: Vec<&String>| {
            keys.into_iter().map(|key| (key.clone(), format!("{prefix}{key}"))).collect::<BTreeMap<_, _>>()
        };
        Addresses {
            queue_urls: named("url:", stack.queues.keys().collect()),
            buckets: named("bucket:", stack.buckets.keys().collect()),
            secret_arns: named(
                "arn:",
                stack.secrets.iter().filter(|(_, secret)| !secret.per_name).map(|(key, _)| key).collect(),
            ),
            cluster: "isotherm".to_owned(),
            subnets: vec!["subnet-1".to_owned(), "subnet-2".to_owned()],
            security_groups: Vec::new(),
            token_issuers: "[]".to_owned(),
            email_from: "alerts@isotherm.example".to_owned(),
        }
    }

    fn names(variables: &Variables) -> Vec<&str> {
        variables.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_function_gets_what_its_wiring_names_and_nothing_else() {
        let stack = stack();
        let addresses = addresses(&stack);
        let query = of_function(&stack, &stack.functions["query"], &addresses).unwrap();
        assert_eq!(
            names(&query),
            [
                "ISOTHERM_BUCKET_COLD",
                "ISOTHERM_BUCKET_RESULTS",
                "ISOTHERM_LOG",
                "ISOTHERM_QUEUE_ALERTS_URL",
                "ISOTHERM_QUEUE_DEAD_LETTERS_URL",
                "ISOTHERM_QUEUE_DELIVERIES_URL",
                "ISOTHERM_QUEUE_EVENTS_URL",
                "ISOTHERM_QUEUE_THRESHOLDS_URL",
                "ISOTHERM_SECRET_DATABASE_ARN",
                "ISOTHERM_TOKEN_ISSUERS"
            ]
        );
        let dispatcher = of_function(&stack, &stack.functions["dispatcher"], &addresses).unwrap();
        assert_eq!(dispatcher["ISOTHERM_QUEUE_TASKS_NOOP_URL"], "url:tasks_noop");
        assert_eq!(dispatcher["ISOTHERM_TASK_DEFINITION_PREFIX"], "isotherm-");
        assert_eq!(dispatcher["ISOTHERM_SUBNETS"], "subnet-1,subnet-2");
        assert_eq!(dispatcher["ISOTHERM_SECURITY_GROUPS"], "");
        assert!(!dispatcher.contains_key("ISOTHERM_TOKEN_ISSUERS"));
        let evaluator = of_function(&stack, &stack.functions["alert_evaluate"], &addresses).unwrap();
        assert_eq!(evaluator["ISOTHERM_FUNCTION_QUERY"], "isotherm-query");
        assert!(!dispatcher.contains_key("ISOTHERM_FUNCTION_QUERY"));
        let reaper = of_function(&stack, &stack.functions["reaper"], &addresses).unwrap();
        assert!(reaper.contains_key("ISOTHERM_CLUSTER") && !reaper.contains_key("ISOTHERM_SUBNETS"));
    }

    #[test]
    fn a_worker_gets_its_own_queue_and_no_variable_for_secrets_per_name() {
        let stack = stack();
        let operator = &stack.operators["block_follower"];
        let variables = of_operator(&stack, "block_follower", operator, &addresses(&stack)).unwrap();
        assert_eq!(
            names(&variables),
            [
                "ISOTHERM_LOG",
                "ISOTHERM_OPERATOR",
                "ISOTHERM_QUEUE_ALERTS_URL",
                "ISOTHERM_QUEUE_DEAD_LETTERS_URL",
                "ISOTHERM_QUEUE_DELIVERIES_URL",
                "ISOTHERM_QUEUE_EVENTS_URL",
                "ISOTHERM_QUEUE_TASKS_BLOCK_FOLLOWER_URL",
                "ISOTHERM_QUEUE_THRESHOLDS_URL",
                "ISOTHERM_SECRET_DATABASE_ARN"
            ]
        );
        assert_eq!(variables["ISOTHERM_OPERATOR"], "block_follower");
    }

    #[test]
    fn only_an_errand_that_administers_the_database_is_told_of_its_administrator() {
        let stack = stack();
        let mut administration = DatabaseAdministration {
            address: "host:5432/isotherm".to_owned(),
            options: "sslmode=verify-full".to_owned(),
            admin_secret_arn: "arn:admin".to_owned(),
            certificates: Some("-----BEGIN CERTIFICATE-----".to_owned()),
        };
        let mut errand = stack.errands["migrate"].clone();
        let made = |errand: &Errand, administration: &DatabaseAdministration| {
            of_errand(&stack, "migrate", errand, &addresses(&stack), administration).unwrap()
        };
        let whole = made(&errand, &administration);
        assert_eq!(
            names(&whole),
            [
                "ISOTHERM_BUCKET_RESULTS",
                "ISOTHERM_DATABASE_ADDRESS",
                "ISOTHERM_DATABASE_ADMIN_SECRET_ARN",
                "ISOTHERM_DATABASE_CA",
                "ISOTHERM_DATABASE_OPTIONS",
                "ISOTHERM_ERRAND",
                "ISOTHERM_LOG",
                "ISOTHERM_SECRET_DATABASE_ARN"
            ]
        );
        administration.certificates = None;
        assert!(!made(&errand, &administration).contains_key("ISOTHERM_DATABASE_CA"), "everybody trusts it");
        errand.administers_database = false;
        assert!(made(&errand, &administration).keys().all(|name| !name.starts_with("ISOTHERM_DATABASE_")));
    }

    #[test]
    fn a_missing_address_is_named() {
        let stack = stack();
        let mut addresses = addresses(&stack);
        addresses.buckets.remove("cold");
        let error = of_function(&stack, &stack.functions["query"], &addresses).unwrap_err();
        assert_eq!(error.to_string(), "no address is known for bucket `cold`");
    }
}
