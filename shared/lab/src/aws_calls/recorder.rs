//! Writes down what each function and operator calls, once each.
//!
//! There is an address for each role, and whoever calls there has it: the emulator gives all functions of an account the same
//! access key, but leaves the endpoint to their configuration. A presigned URL leads back to the address of whoever signed it, and on
//! AWS too it is the signer's permission that counts.
//!
//! It must never change a call, and never let one through that it could not write down.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{AwsCall, UnreadCall};
use crate::LabError;
use crate::http_faults::{HttpFaults, Verdict};

/// Calls in the form of a file: a JSON object a line.
#[derive(Debug)]
struct Book {
    file: File,
    lines: BTreeSet<String>,
}

/// What a recording holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Every call.
    pub calls: BTreeSet<AwsCall>,
    /// What could not be read, in words.
    pub unread: BTreeSet<String>,
}

/// The running proxies, one for each role. Dropping it closes their ports.
#[derive(Debug)]
pub struct CallRecorder {
    endpoint_urls: BTreeMap<String, String>,
    _proxies: Vec<HttpFaults>,
}

impl CallRecorder {
    /// Stands before the emulator at `upstream` for each of `roles`, and begins the file anew.
    ///
    /// # Errors
    /// [`LabError::Io`] if the file cannot be made or no port can be opened.
    pub async fn start(upstream: &str, roles: impl IntoIterator<Item = String>, path: &Path) -> Result<Self, LabError> {
        let file = File::create(path).map_err(LabError::io("create", path))?;
        let book = Arc::new(Mutex::new(Book { file, lines: BTreeSet::new() }));
        let (mut endpoint_urls, mut proxies) = (BTreeMap::new(), Vec::new());
        for role in roles {
            let (book, principal) = (Arc::clone(&book), role.clone());
            let proxy = HttpFaults::start(upstream, move |call| {
                let read = AwsCall::read(&principal, call);
                let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                match book.note(&read) {
                    Ok(()) => Verdict::Pass,
                    Err(error) => {
                        tracing::error!(%error, "a call could not be written down, and is not let through");
                        Verdict::Cut
                    }
                }
            });
            let proxy = proxy.await?;
            endpoint_urls.insert(role, proxy.endpoint_url());
            proxies.push(proxy);
        }
        Ok(Self { endpoint_urls, _proxies: proxies })
    }

    /// Where each role is to call.
    pub fn endpoint_urls(&self) -> &BTreeMap<String, String> {
        &self.endpoint_urls
    }
}

impl Book {
    fn note(&mut self, read: &Result<AwsCall, UnreadCall>) -> std::io::Result<()> {
        let line = match read {
            Ok(call) => json!({
                "principal": call.principal, "action": call.action, "resource": call.resource, "context": call.context,
            }),
            Err(unread) => json!({ "unread": unread.to_string() }),
        };
        let line = line.to_string();
        if !self.lines.contains(&line) {
            self.file.write_all(format!("{line}\n").as_bytes())?;
            self.lines.insert(line);
        }
        Ok(())
    }
}

impl Recording {
    /// Reads what a recorder has written so far.
    ///
    /// # Errors
    /// [`LabError::Io`]; [`LabError::Shape`] for a line that no recorder writes.
    pub fn of_file(path: &Path) -> Result<Self, LabError> {
        let text = std::fs::read_to_string(path).map_err(LabError::io("read", path))?;
        let mut recording = Self::default();
        for line in text.lines() {
            let shape = |field| LabError::Shape { method: line.to_owned(), field };
            let entry: Value = serde_json::from_str(line).map_err(|_| shape("principal"))?;
            if let Some(unread) = entry["unread"].as_str() {
                recording.unread.insert(unread.to_owned());
                continue;
            }
            let text = |field: &'static str| entry[field].as_str().map(str::to_owned).ok_or_else(|| shape(field));
            let context = entry["context"].as_object().ok_or_else(|| shape("context"))?;
            let context = context.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            recording.calls.insert(AwsCall {
                principal: text("principal")?,
                action: text("action")?,
                resource: text("resource")?,
                context: context.collect(),
            });
        }
        Ok(recording)
    }
}
