//! The stack that is tried: the one that runs on this machine, or an environment on AWS. What comes after knows no difference.

use std::path::PathBuf;

use anyhow::Context;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_lab::ministack::REGION;
use isotherm_local_stack::{LocalAws, names};
use isotherm_platform::aws::Clients;
use operator_migrate::smoke;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::evidence::Evidence;
use crate::args::SmokeArguments;
use crate::connected::actor;
use crate::deploy::programs;
use crate::deploy::var_file::Account;
use crate::home::Home;
use crate::machine::{ACCOUNT, BUCKET_SUFFIX};
use crate::{deploy, figures};

/// Where the host that is on no list listens: this machine's own, and not exempt from its way out.
const OFF_THE_LIST: &str = "127.0.0.3:0";
/// A host that nobody has on a list, kept for examples. Source: RFC 2606, section 3.
const EXAMPLE: &str = "https://example.com/";

/// Where everything is.
pub(super) struct Side {
    pub(super) clients: Clients,
    /// Base address of the HTTP API.
    pub(super) api_url: String,
    pub(super) results_bucket: String,
    /// The operator's own queue.
    pub(super) queue_url: String,
    pub(super) allowed_url: String,
    pub(super) refused_url: String,
    pub(super) evidence: Evidence,
    /// Keeps the host that is on no list, of one machine.
    _host: Option<Host>,
}

/// An address of the first host on the list that is one host: `*.example.com` is any number of them, of which nobody knows one, and
/// `example.com` is none of them.
fn first_host(list: &Value) -> anyhow::Result<String> {
    let hosts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let host = hosts.into_iter().find(|host| !host.contains('*'));
    let host = host.context(
        "allowed_hosts names no single host; say with --allowed which address of them is to be tried, or apply the release first",
    )?;
    Ok(format!("https://{host}/"))
}

impl Side {
    /// The stack that runs in `home`, with the organisation and jobs that are needed.
    pub(super) async fn here(home: &Home, arguments: &SmokeArguments) -> anyhow::Result<Self> {
        let stack = home.expect_running()?;
        let mut conn = figures::connect(&stack.database_url).await?;
        let made = smoke::ensure(&mut conn, &actor()).await;
        made.map_err(|fault| anyhow::anyhow!("{fault}")).context("could not make the organisation `smoke`")?;
        let aws = LocalAws::new(&stack.endpoint_url, REGION, ACCOUNT).await;
        let queue = aws.sqs().get_queue_url().queue_name(names::queue("tasks_noop", true)).send().await;
        let queue_url = queue.context("the queue of noop is not there")?.queue_url.context("it has no address")?;
        let (refused_url, host) = match &arguments.refused {
            Some(url) => (url.clone(), None),
            None => {
                let host = Host::start().await?;
                (host.url.clone(), Some(host))
            }
        };
        let allowed_url = arguments.allowed.clone().or_else(|| stack.egress_probe.clone());
        let allowed_url =
            allowed_url.context("the running stack is of an older version, without a way out; start it anew")?;
        Ok(Self {
            clients: Clients::from_config(aws.config().clone()),
            api_url: stack.api_url,
            results_bucket: names::bucket("results", BUCKET_SUFFIX),
            queue_url,
            allowed_url,
            refused_url,
            evidence: Evidence::Files { folder: home.stack_folder(&stack.kind).join("logs") },
            _host: host,
        })
    }

    /// An environment on AWS. The organisation and its jobs are there since its database was migrated.
    pub(super) async fn of_account(
        root: PathBuf,
        env: &str,
        account: &Account,
        arguments: &SmokeArguments,
    ) -> anyhow::Result<Self> {
        let clients = deploy::clients(account).await?;
        let platform = programs::terraform_output(&format!("terraform/environments/{env}"), "platform", &root).await?;
        let text = |pointer: &str| {
            let found = platform.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            found.with_context(|| format!("Terraform's output `platform` has no {pointer}; apply the release first"))
        };
        let allowed_url = match &arguments.allowed {
            Some(url) => url.clone(),
            None => first_host(&platform["allowed_hosts"])?,
        };
        Ok(Self {
            api_url: text("/api_url")?.trim_end_matches('/').to_owned(),
            results_bucket: text("/buckets/results")?,
            queue_url: text("/queue_urls/tasks_noop")?,
            allowed_url,
            refused_url: arguments.refused.clone().unwrap_or_else(|| EXAMPLE.to_owned()),
            evidence: Evidence::CloudWatch { root, region: account.region.clone() },
            clients,
            _host: None,
        })
    }

    /// What the webhook is signed with. Its secret is there, empty at first, as all secrets of the stack are: made with them and
    /// gone with them, under the platform's key. Whoever comes first puts a key there.
    pub(super) async fn signing_key(&self) -> anyhow::Result<String> {
        let (client, id) = (self.clients.secrets_manager(), smoke::SIGNING_KEY);
        let kept = match client.get_secret_value().secret_id(id).send().await {
            Ok(found) => found.secret_string,
            // So AWS says of an empty one too.
            Err(error)
                if error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                None
            }
            Err(error) => return Err(error).with_context(|| format!("could not read the secret {id}")),
        };
        if let Some(key) = kept {
            return Ok(key);
        }
        let random = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat();
        let key = format!("whsec_{}", STANDARD.encode(random));
        let put = client.put_secret_value().secret_id(id).secret_string(&key).send().await;
        put.with_context(|| {
            format!(
                "could not put a key into the secret {id}; apply the release, or start the stack anew: that makes it"
            )
        })?;
        Ok(key)
    }
}

/// A host on this machine that answers whoever reaches it. Dropping it ends it.
struct Host {
    url: String,
    task: JoinHandle<()>,
}

impl Host {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(OFF_THE_LIST).await.context("could not listen for whoever is not refused")?;
        let url = format!("http://{}/", listener.local_addr().context("could not listen")?);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    if client.read(&mut bytes).await.is_ok_and(|length| length > 0) {
                        // Whoever asked may be gone.
                        let _ = client.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
                    }
                });
            }
        });
        Ok(Self { url, task })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use isotherm_lab::tools;
    use isotherm_local_stack::Stack;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_webhooks_secret_is_made_with_the_stack() {
        let stack = Stack::read(&tools::repository_root().unwrap().join("terraform/stack.yaml")).unwrap();
        let made: Vec<String> = stack.named_secrets().iter().map(|name| names::secret(name)).collect();
        assert!(made.contains(&smoke::SIGNING_KEY.to_owned()), "{made:?}");
    }

    #[test]
    fn that_the_refused_host_rings_an_alarm_is_written_where_people_look() {
        let path = tools::repository_root().unwrap().join("docs/operations.md");
        let document = std::fs::read_to_string(path).unwrap();
        let host = EXAMPLE.trim_start_matches("https://").trim_end_matches('/');
        for heading in ["\n### Alarm: egress refused\n", "\n## Smoke\n"] {
            let (_, section) = document.split_once(heading).unwrap();
            let section = section.split("\n#").next().unwrap();
            assert!(section.contains("isotherm-names-refused") && section.contains(host), "{heading}");
        }
    }

    #[test]
    fn a_pattern_is_no_host_to_try() {
        let found = first_host(&json!(["*.example.org", "rpc.example.com", "z.example.com"])).unwrap();
        assert_eq!(found, "https://rpc.example.com/");
        for none in [json!(["*.example.org"]), json!([]), Value::Null] {
            assert!(first_host(&none).unwrap_err().to_string().contains("--allowed"), "{none}");
        }
    }
}
