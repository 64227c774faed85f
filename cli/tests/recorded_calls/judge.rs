//! What was called ⊆ what is granted ⊆ what was called and what was reviewed.
//!
//! A recording is of one machine, a policy of an account: names are carried from the one to the other first. What AWS does with a
//! role in the course of a call (passing roles on, using keys) is no call of its own and is worked out from the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use isotherm_lab::aws_calls::AwsCall;
use isotherm_lab::ministack;
use isotherm_local_stack::aws::DEFAULT_ACCOUNT;
use serde_json::Value;

use crate::policy::{self, Effect, Scope, Statement};
use crate::rendered::{ACCOUNT, REGION};
use crate::resources::{Resources, last_part};
use crate::reviewed::{Called, FILE, Grant, Reviewed};

/// End of buckets' names on one machine.
const LOCAL_SUFFIX: &str = "-local";
/// The endpoint through which buckets are reached, and whose policy counts too.
const S3_ENDPOINT: &str = "module.network.aws_vpc_endpoint.s3";

/// What is wrong, and which entries the list of reviewed permissions lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) faults: Vec<String>,
    pub(crate) unreviewed: BTreeSet<Grant>,
}

impl Judgement {
    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.unreviewed.is_empty()
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(out, "{fault}")?;
        }
        if !self.unreviewed.is_empty() {
            writeln!(out, "granted and not called: take it away, or add to {FILE}, with the reason:")?;
        }
        self.unreviewed.iter().try_for_each(|grant| writeln!(out, "{}", grant.line()))
    }
}

/// Policies of all roles, by the role's name.
pub(crate) type Roles = BTreeMap<String, Vec<Statement>>;

/// Reads the policies of roles; what is not understood is a fault.
pub(crate) fn roles(resources: &Resources) -> (Roles, Vec<String>) {
    let (mut roles, mut faults) = (Roles::new(), Vec::new());
    for policy in resources.all("aws_iam_role_policy") {
        let role = policy.text("/role").unwrap_or(&policy.address).to_owned();
        match policy::statements(&policy.json("/policy")) {
            Ok(statements) => roles.entry(role).or_default().extend(statements),
            Err(fault) => faults.push(format!("{role}: {fault}")),
        }
    }
    (roles, faults)
}

/// Holds a recording of one machine against the roles of an environment.
pub(crate) fn judge(resources: &Resources, recorded: &BTreeSet<AwsCall>, reviewed: &[Reviewed]) -> Judgement {
    let (roles, faults) = roles(resources);
    let mut judgement = Judgement { faults, ..Judgement::default() };
    let called = called(resources, recorded);
    judgement.faults.extend(not_granted(resources, &roles, &called));

    let mut uses = BTreeMap::new();
    for (role, statements) in &roles {
        for statement in statements.iter().filter(|statement| statement.effect == Effect::Allow) {
            for (grant, scope) in grants(role, statement) {
                if grant.action.contains('*') {
                    judgement.faults.push(format!("{role}: {} is granted; name its actions one by one", grant.action));
                }
                let is_used = called.iter().any(|call| is_use(call, &grant, &scope, statement));
                *uses.entry(grant).or_insert(false) |= is_used;
            }
        }
    }
    for entry in reviewed {
        let covered: Vec<_> = uses.iter().filter(|(grant, _)| entry.covers(grant)).collect();
        let what = format!("{FILE}: {} of {} on {}", entry.action, entry.role, entry.resource);
        if covered.is_empty() {
            judgement.faults.push(format!("{what} is granted nowhere; remove the entry"));
        }
        for (grant, _) in covered.iter().filter(|(_, is_used)| **is_used && entry.called == Called::Never) {
            let Grant { role, action, resource } = grant;
            judgement
                .faults
                .push(format!("{what} is called, by {role}: {action} on {resource}; the entry is not needed"));
        }
    }
    let is_reviewed = |grant: &Grant| reviewed.iter().any(|entry| entry.covers(grant));
    let unused = uses.into_iter().filter(|(_, is_used)| !is_used).map(|(grant, _)| grant);
    judgement.unreviewed = unused.filter(|grant| !is_reviewed(grant)).collect();
    judgement
}

/// What a statement allows, one by one, each with the scope that it is taken from.
pub(crate) fn grants(role: &str, statement: &Statement) -> Vec<(Grant, Scope)> {
    let mut grants = Vec::new();
    for action in &statement.actions {
        let mut add = |resource: String, scope: Scope| {
            let resource = resource.replace(ACCOUNT, "ACCOUNT").replace(REGION, "REGION");
            grants.push((Grant { role: role.to_owned(), action: action.clone(), resource }, scope));
        };
        match &statement.scope {
            Scope::On(patterns) => {
                for pattern in patterns {
                    add(pattern.clone(), Scope::On(vec![pattern.clone()]));
                }
            }
            Scope::NotOn(patterns) => add(format!("all but {}", patterns.join(", ")), statement.scope.clone()),
        }
    }
    grants
}

fn is_use(call: &AwsCall, grant: &Grant, scope: &Scope, statement: &Statement) -> bool {
    call.principal == grant.role
        && policy::is_action(&grant.action, &call.action)
        && scope.has(&call.resource)
        && statement.holds_for(call)
}

fn not_granted(resources: &Resources, roles: &Roles, called: &BTreeSet<AwsCall>) -> Vec<String> {
    let mut faults = Vec::new();
    let endpoint = policy::statements(&resources.at(S3_ENDPOINT).json("/policy"));
    let endpoint = endpoint.unwrap_or_else(|fault| {
        faults.push(format!("{S3_ENDPOINT}: {fault}"));
        Vec::new()
    });
    for call in called {
        let AwsCall { principal, action, resource, .. } = call;
        match roles.get(principal) {
            None => faults.push(format!("{principal}: there is no such role, and it calls {action} on {resource}")),
            Some(statements) if !policy::is_allowed(statements, call) => {
                faults.push(format!("{principal}: {action} on {resource} is called and not granted"));
            }
            Some(_) => {}
        }
        if action.starts_with("s3:") && !policy::is_allowed(&endpoint, call) {
            faults.push(format!(
                "{principal}: {action} on {resource} is called, and the endpoint of S3 does not let it through"
            ));
        }
    }
    faults
}

/// The recorded calls as the account sees them, and what follows from them there.
fn called(resources: &Resources, recorded: &BTreeSet<AwsCall>) -> BTreeSet<AwsCall> {
    let mut called = BTreeSet::new();
    for call in recorded {
        let call = in_the_account(call);
        for (action, resource, context) in implied(resources, &call) {
            let context = context.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            called.insert(AwsCall { action: action.to_owned(), resource, context, ..call.clone() });
        }
        called.insert(call);
    }
    called.into_iter().map(|call| with_function(resources, call)).collect()
}

fn in_the_account(call: &AwsCall) -> AwsCall {
    let (local, account) = (format!(":{}:{DEFAULT_ACCOUNT}:", ministack::REGION), format!(":{REGION}:{ACCOUNT}:"));
    let moved = |text: &str| text.replace(&local, &account);
    let resource = match call.resource.strip_prefix("arn:aws:s3:::") {
        None => moved(&call.resource),
        Some(path) => {
            let (bucket, key) = path.split_once('/').map_or((path, ""), |(bucket, _)| (bucket, &path[bucket.len()..]));
            let bucket = bucket.strip_suffix(LOCAL_SUFFIX).map_or_else(
                || bucket.to_owned(), // one that the stack does not know
                |name| format!("{name}-{ACCOUNT}-{REGION}"),
            );
            format!("arn:aws:s3:::{bucket}{key}")
        }
    };
    let context = call.context.iter().map(|(key, value)| (key.clone(), moved(value))).collect();
    AwsCall { resource, context, ..call.clone() }
}

/// Action, resource and a condition's keys of what AWS does in the caller's name because of a call.
type Implied = (&'static str, String, Vec<(&'static str, String)>);

/// **Source**: Amazon ECS Developer Guide, "Amazon ECS task execution IAM role" (a caller passes both roles on); Amazon S3 User Guide,
/// "Using server-side encryption with AWS KMS keys", and AWS Secrets Manager User Guide, "Secret encryption and decryption" (both
/// services use the key in the caller's name).
fn implied(resources: &Resources, call: &AwsCall) -> Vec<Implied> {
    let with_key = |action, service: &str| {
        let context = vec![
            ("kms:ViaService", format!("{service}.{REGION}.amazonaws.com")),
            ("kms:ResourceAliases", "alias/isotherm".to_owned()),
        ];
        (action, format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/of-isotherm"), context)
    };
    match call.action.as_str() {
        "ecs:RunTask" => passed_roles(resources, call),
        "s3:GetObject" if is_encrypted_bucket(resources, call) => vec![with_key("kms:Decrypt", "s3")],
        "s3:PutObject" if is_encrypted_bucket(resources, call) => vec![with_key("kms:GenerateDataKey", "s3")],
        "secretsmanager:GetSecretValue" if is_encrypted_secret(resources, call) => {
            vec![with_key("kms:Decrypt", "secretsmanager")]
        }
        _ => Vec::new(),
    }
}

fn passed_roles(resources: &Resources, call: &AwsCall) -> Vec<Implied> {
    let family = call.resource.rsplit('/').next().and_then(|end| end.split(':').next());
    let definition = resources.all("aws_ecs_task_definition").find(|found| found.text("/family") == family);
    let roles = ["/task_role_arn", "/execution_role_arn"].into_iter();
    roles
        .filter_map(|pointer| definition?.text(pointer))
        .map(|arn| {
            let service = vec![("iam:PassedToService", "ecs-tasks.amazonaws.com".to_owned())];
            ("iam:PassRole", format!("arn:aws:iam::{ACCOUNT}:role/{}", last_part(arn)), service)
        })
        .collect()
}

fn is_encrypted_bucket(resources: &Resources, call: &AwsCall) -> bool {
    let bucket = call.resource.strip_prefix("arn:aws:s3:::").and_then(|path| path.split('/').next());
    let algorithm = "/rule/0/apply_server_side_encryption_by_default/0/sse_algorithm";
    resources
        .all("aws_s3_bucket_server_side_encryption_configuration")
        .any(|found| found.text("/bucket") == bucket && found.text(algorithm) == Some("aws:kms"))
}

fn is_encrypted_secret(resources: &Resources, call: &AwsCall) -> bool {
    // Behind the name are `-` and six characters of AWS's own.
    let name = call.resource.split(":secret:").nth(1).and_then(|named| named.rsplit_once('-')).map(|(name, _)| name);
    let has_key = |values: &Value| values["kms_key_id"].as_str().is_some_and(|key| !key.is_empty());
    resources.all("aws_secretsmanager_secret").any(|found| found.text("/name") == name && has_key(&found.values))
}

/// Whatever a function's code calls carries the function's ARN. **Source**: AWS Lambda Developer Guide, "Working with Lambda execution
/// environment credentials".
fn with_function(resources: &Resources, mut call: AwsCall) -> AwsCall {
    let is_its_role = |role: &str| last_part(role) == call.principal;
    let function = resources.all("aws_lambda_function").find(|found| found.text("/role").is_some_and(is_its_role));
    if let Some(name) = function.and_then(|found| found.text("/function_name")) {
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
        call.context.insert("lambda:SourceFunctionArn".to_owned(), arn);
    }
    call
}
