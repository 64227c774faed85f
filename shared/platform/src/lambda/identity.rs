//! How a function verifies tokens: the issuers in its environment, and their keys fetched over HTTPS.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use isotherm_access::fetch::MAX_KEY_SET_BYTES;
use isotherm_access::{Authenticator, FetchError, FetchKeys, Issuers};
use isotherm_types::{Classified, Disposition, SystemClock};

use crate::config::{Environment, Reading};

/// Variable that lists the issuers whose tokens are accepted.
pub const ISSUERS_VARIABLE: &str = "ISOTHERM_TOKEN_ISSUERS";

/// Longest wait for a connection to an issuer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for its keys in all; the caller waits with us.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Fetches keys over HTTP. It follows no redirect, and reads no more than a key set has.
#[derive(Clone, Debug)]
pub struct HttpKeys {
    http: reqwest::Client,
}

/// There is no HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for the keys of issuers cannot be made")]
pub struct NoHttpClient {
    /// What is wrong.
    #[source]
    source: reqwest::Error,
}

impl Classified for NoHttpClient {
    fn disposition(&self) -> Disposition {
        Disposition::Retry
    }

    fn code(&self) -> &'static str {
        "access.http_client"
    }
}

impl HttpKeys {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// [`NoHttpClient`], if this machine's certificates cannot be read.
    pub fn new() -> Result<Self, NoHttpClient> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| NoHttpClient { source })?;
        Ok(Self { http })
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let failed = |source: reqwest::Error| FetchError::Transport { source: Box::new(source) };
        let mut response = self.http.get(url).send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status { status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_KEY_SET_BYTES {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl FetchKeys for HttpKeys {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        self.get(url).boxed()
    }
}

impl Environment {
    /// `ISOTHERM_TOKEN_ISSUERS`: the issuers whose tokens are accepted, as `docs/access.md` has them.
    pub fn token_issuers(&mut self) -> Reading<Issuers> {
        self.parsed(ISSUERS_VARIABLE, "a JSON list of issuers, each with issuer, audience, and jwks_url or jwks")
    }
}

/// What verifies tokens of `issuers`, by this machine's clock.
///
/// # Errors
/// As [`HttpKeys::new`].
pub fn authenticator(issuers: Issuers) -> Result<Authenticator, NoHttpClient> {
    Ok(Authenticator::new(issuers, Arc::new(HttpKeys::new()?), Arc::new(SystemClock)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// The address of a server that gives `answer` once, whatever it is asked.
    async fn serving(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            assert!(read > 0);
            // The client may have had enough before the end.
            let _ = stream.write_all(&answer).await;
        });
        format!("http://{address}/keys")
    }

    fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
    }

    #[tokio::test]
    async fn keys_are_the_body_of_a_200_and_of_nothing_else() {
        let http = HttpKeys::new().unwrap();
        let fetched = async |answer| http.fetch(&serving(answer).await).await;
        assert_eq!(fetched(answer("200 OK", "", "{}")).await.unwrap(), b"{}");
        let elsewhere = serving(answer("200 OK", "", "{}")).await;
        let redirect = fetched(answer("302 Found", &format!("Location: {elsewhere}\r\n"), "")).await;
        assert!(matches!(redirect, Err(FetchError::Status { status: 302 })), "{redirect:?}");
        let failing = fetched(answer("500 Internal Server Error", "", "{}")).await;
        assert!(matches!(failing, Err(FetchError::Status { status: 500 })), "{failing:?}");
        let long = fetched(answer("200 OK", "", &" ".repeat(MAX_KEY_SET_BYTES + 1))).await;
        assert!(matches!(long, Err(FetchError::TooLong)), "{long:?}");
        let nobody = http.fetch("http://127.0.0.1:1/keys").await;
        assert!(matches!(nobody, Err(FetchError::Transport { .. })), "{nobody:?}");
    }

    #[test]
    fn issuers_are_read_from_the_environment() {
        let list = r#"[{"issuer":"https://a","audience":"x","jwks_url":"https://a/keys"}]"#;
        let mut environment = Environment::from_pairs([(ISSUERS_VARIABLE, list)]);
        let issuers = environment.token_issuers();
        assert_eq!(issuers.open(&environment.check().unwrap()).first().name, "https://a");
        let mut environment = Environment::from_pairs([(ISSUERS_VARIABLE, "[]")]);
        let _ = environment.token_issuers();
        let error = environment.check().unwrap_err().to_string();
        assert!(error.contains("ISOTHERM_TOKEN_ISSUERS is not a JSON list of issuers"), "{error}");
    }
}
