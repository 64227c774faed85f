//! Lambda functions from zips of the built programs.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::get_function_configuration::{
    GetFunctionConfigurationError, GetFunctionConfigurationOutput,
};
use aws_sdk_lambda::types::{Architecture, Environment, EphemeralStorage, FunctionCode, Runtime};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};

use super::{Change, OnStep, Options, report};
use crate::aws::{LocalAws, if_there};
use crate::environment::{self, Addresses, Variables};
use crate::error::LocalStackError;
use crate::names;
use crate::package::{self, CodeZip};
use crate::stack_file::{Function, Stack};

/// Key of the bucket that code zips go through: a call takes 50 MB at most, and this is the quicker way anyway.
const ARTIFACTS: &str = "artifacts";

/// Key of the secret that seals channels' addresses.
const CHANNEL_KEYS: &str = "alerts";

/// One is packed while another is sent; more would only hold more zips in memory.
const AT_A_TIME: usize = 2;

/// Creates or updates all functions; returns their ARNs.
pub(super) async fn ensure(
    stack: &Stack,
    aws: &LocalAws,
    options: &Options,
    addresses: &Addresses,
    account: &str,
    on_step: &mut OnStep<'_>,
) -> Result<BTreeMap<String, String>, LocalStackError> {
    let ensured = stack.functions.iter().map(async |(key, function)| {
        let zip = pack(key, function, options).await?;
        let mut variables = environment::of_function(stack, function, addresses)?;
        // What AWS's own endpoints are in the cloud.
        let endpoint_url = aws.endpoint_url_of(&names::function_role(key));
        variables.insert("AWS_ENDPOINT_URL".to_owned(), endpoint_url.to_owned());
        // What the network is in the cloud.
        variables.extend(aws.way_out().iter().cloned());
        add_receivers_here(function, &mut variables);
        let wanted = Wanted {
            name: names::function(key),
            role_arn: names::role_arn(account, key),
            function,
            variables,
            zip,
            artifacts: addresses.buckets.get(ARTIFACTS).map(String::as_str),
        };
        let (arn, change) = wanted.ensure(aws).await?;
        Ok::<_, LocalStackError>((key, wanted.name, arn, change))
    });
    let mut ensured = futures::stream::iter(ensured).buffered(AT_A_TIME);
    let mut arns = BTreeMap::new();
    while let Some((key, name, arn, change)) = ensured.try_next().await? {
        report(on_step, "function", name, change);
        arns.insert(key.clone(), arn);
    }
    Ok(arns)
}

/// Lets the functions that know where channels lead send to receivers on this machine: what an account must never allow.
fn add_receivers_here(function: &Function, variables: &mut Variables) {
    if function.secrets.iter().any(|secret| secret == CHANNEL_KEYS) {
        variables.entry(names::LOOPBACK_VARIABLE.to_owned()).or_insert_with(|| "true".to_owned());
    }
}

/// Reading, stripping and hashing large files would hold up the caller's other tasks.
async fn pack(key: &str, function: &Function, options: &Options) -> Result<CodeZip, LocalStackError> {
    let (key, function, sources) = (key.to_owned(), function.clone(), options.sources.clone());
    let packed = tokio::task::spawn_blocking(move || package::code_zip(&key, &function, &sources)).await;
    packed.expect("packing does not panic, and nothing aborts it")
}

/// A function as it should be.
struct Wanted<'a> {
    name: String,
    role_arn: String,
    function: &'a Function,
    variables: Variables,
    zip: CodeZip,
    artifacts: Option<&'a str>,
}

impl Wanted<'_> {
    async fn ensure(&self, aws: &LocalAws) -> Result<(String, Change), LocalStackError> {
        let client = aws.lambda();
        let found = client.get_function_configuration().function_name(&self.name).send().await;
        let is_none = GetFunctionConfigurationError::is_resource_not_found_exception;
        let found = if_there(found, is_none, format!("look up function {}", self.name))?;
        let (arn, mut change) = match found {
            None => (self.create(aws, &client).await?, Change::Created),
            Some(found) => {
                let change = self.update(aws, &client, &found).await?;
                (found.function_arn, change)
            }
        };
        if self.ensure_concurrency(&client).await? && change == Change::Unchanged {
            change = Change::Updated;
        }
        let arn = arn.ok_or_else(LocalStackError::answer(format!("describe function {}", self.name), "FunctionArn"))?;
        Ok((arn, change))
    }

    async fn create(&self, aws: &LocalAws, client: &Client) -> Result<Option<String>, LocalStackError> {
        let (bucket, key) = self.upload(aws).await?;
        let code = FunctionCode::builder().s3_bucket(bucket).s3_key(key).build();
        let created = client
            .create_function()
            .function_name(&self.name)
            .runtime(Runtime::Providedal2023)
            .architectures(architecture())
            .handler("bootstrap")
            .role(&self.role_arn)
            .code(code)
            .memory_size(self.function.memory_mb)
            .timeout(self.function.timeout_seconds)
            .set_ephemeral_storage(self.ephemeral_storage()?)
            .environment(self.environment())
            .send()
            .await
            .map_err(LocalStackError::aws(format!("create function {}", self.name)))?;
        Ok(created.function_arn)
    }

    async fn update(
        &self,
        aws: &LocalAws,
        client: &Client,
        found: &GetFunctionConfigurationOutput,
    ) -> Result<Change, LocalStackError> {
        let mut change = Change::Unchanged;
        if !self.is_configured(found) {
            client
                .update_function_configuration()
                .function_name(&self.name)
                .memory_size(self.function.memory_mb)
                .timeout(self.function.timeout_seconds)
                .set_ephemeral_storage(self.ephemeral_storage()?)
                .environment(self.environment())
                .send()
                .await
                .map_err(LocalStackError::aws(format!("configure function {}", self.name)))?;
            change = Change::Updated;
        }
        if found.code_sha256() != Some(STANDARD.encode(self.zip.sha256).as_str()) {
            let (bucket, key) = self.upload(aws).await?;
            let call = client.update_function_code().function_name(&self.name).s3_bucket(bucket).s3_key(key);
            call.send().await.map_err(LocalStackError::aws(format!("update the code of function {}", self.name)))?;
            change = Change::Updated;
        }
        Ok(change)
    }

    fn is_configured(&self, found: &GetFunctionConfigurationOutput) -> bool {
        let storage_mb = found.ephemeral_storage().map_or(512, EphemeralStorage::size);
        let variables = found.environment().and_then(|environment| environment.variables());
        found.memory_size() == Some(self.function.memory_mb)
            && found.timeout() == Some(self.function.timeout_seconds)
            && storage_mb == self.function.ephemeral_storage_mb
            && variables.is_some_and(|variables| *variables == self.variable_map())
    }

    /// Sets or clears the reserved concurrency; returns whether it had to.
    async fn ensure_concurrency(&self, client: &Client) -> Result<bool, LocalStackError> {
        let action = |verb: &str| format!("{verb} the concurrency of function {}", self.name);
        let found = client.get_function_concurrency().function_name(&self.name).send().await;
        let found = found.map_err(LocalStackError::aws(action("look up")))?.reserved_concurrent_executions;
        match self.function.reserved_concurrency {
            wanted if wanted == found => return Ok(false),
            Some(most) => {
                let call = client.put_function_concurrency().function_name(&self.name);
                let call = call.reserved_concurrent_executions(most);
                call.send().await.map_err(LocalStackError::aws(action("set")))?;
            }
            None => {
                let call = client.delete_function_concurrency().function_name(&self.name);
                call.send().await.map_err(LocalStackError::aws(action("clear")))?;
            }
        }
        Ok(true)
    }

    /// Puts the zip into S3, where Lambda copies it from; returns its bucket and key.
    async fn upload(&self, aws: &LocalAws) -> Result<(String, String), LocalStackError> {
        let unresolved = || LocalStackError::Unresolved { kind: "bucket", name: ARTIFACTS.to_owned() };
        let bucket = self.artifacts.ok_or_else(unresolved)?;
        let key = format!("functions/{}.zip", self.name);
        aws.s3()
            .put_object()
            .bucket(bucket)
            .key(&key)
            .body(self.zip.bytes.clone().into())
            .send()
            .await
            .map_err(LocalStackError::aws(format!("store the code of function {}", self.name)))?;
        Ok((bucket.to_owned(), key))
    }

    fn variable_map(&self) -> HashMap<String, String> {
        self.variables.clone().into_iter().collect()
    }

    fn environment(&self) -> Environment {
        Environment::builder().set_variables(Some(self.variable_map())).build()
    }

    fn ephemeral_storage(&self) -> Result<Option<EphemeralStorage>, LocalStackError> {
        let storage = EphemeralStorage::builder().size(self.function.ephemeral_storage_mb).build();
        storage.map(Some).map_err(LocalStackError::aws(format!("take the storage of function {}", self.name)))
    }
}

/// Architecture that this program, and so its sisters, were built for.
fn architecture() -> Architecture {
    if cfg!(target_arch = "aarch64") { Architecture::Arm64 } else { Architecture::X8664 }
}
