//! A JSON-RPC client that shows what the node said, and nothing else: no retries, no types, no caching.
//!
//! Tests and the oracle use it so that they share no code with the client under test.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::LabError;

/// A client of one node.
#[derive(Debug)]
pub struct Rpc {
    url: String,
    client: reqwest::Client,
    next_id: AtomicU64,
}

impl Rpc {
    /// A client of the node at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), client: reqwest::Client::new(), next_id: AtomicU64::new(1) }
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls `method` and returns its `result`, which may be `null`.
    ///
    /// # Errors
    /// [`LabError::Rpc`] if the node answers with an error, else transport and shape errors.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, LabError> {
        let request = self.request(method, &params);
        result_of(method, self.post(method, &request).await?)
    }

    /// Calls one method with many sets of parameters in one batch; results come in the order of the parameters.
    ///
    /// # Errors
    /// As [`Rpc::call`], for the first call of the batch that failed.
    pub async fn batch(&self, method: &str, params: &[Value]) -> Result<Vec<Value>, LabError> {
        if params.is_empty() {
            return Ok(Vec::new());
        }
        let requests: Vec<Value> = params.iter().map(|params| self.request(method, params)).collect();
        let answer = self.post(method, &Value::Array(requests.clone())).await?;
        let Value::Array(mut answers) = answer else {
            return Err(shape(method, "batch"));
        };
        requests
            .iter()
            .map(|request| {
                let found = answers.iter().position(|answer| answer["id"] == request["id"]);
                result_of(method, answers.swap_remove(found.ok_or_else(|| shape(method, "id"))?))
            })
            .collect()
    }

    fn request(&self, method: &str, params: &Value) -> Value {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    async fn post(&self, method: &str, body: &Value) -> Result<Value, LabError> {
        let failed = |source| LabError::Http { url: self.url.clone(), method: method.to_owned(), source };
        let response = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .map_err(failed)?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|_| LabError::HttpStatus {
            url: self.url.clone(),
            method: method.to_owned(),
            status,
            body: String::from_utf8_lossy(&bytes).chars().take(200).collect(),
        })
    }
}

fn result_of(method: &str, mut answer: Value) -> Result<Value, LabError> {
    if let Some(error) = answer.get("error") {
        return Err(LabError::Rpc {
            method: method.to_owned(),
            code: error["code"].as_i64().unwrap_or_default(),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
        });
    }
    answer.get_mut("result").map(Value::take).ok_or_else(|| shape(method, "result"))
}

pub(crate) fn shape(method: &str, field: &'static str) -> LabError {
    LabError::Shape { method: method.to_owned(), field }
}

/// Reads a `0x…` quantity.
pub(crate) fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
