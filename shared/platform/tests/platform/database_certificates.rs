//! A database proves that it is the one, by a certificate that those who were named have signed, for the host that was named.

use isotherm_lab::postgres::{Certificate, Postgres, SUPERUSER, StartOptions};
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::{Fault, Secret};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use sqlx::PgPool;

/// Somebody who signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for the server at `host`.
    fn sign(&self, host: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { pem, key_pem: key.serialize_pem() }
    }
}

/// A server with a certificate for `localhost`, signed by `authority`.
async fn server(authority: &Authority) -> Postgres {
    let certificate = Some(authority.sign("localhost"));
    Postgres::start(StartOptions { certificate, ..StartOptions::default() }).await.unwrap()
}

/// Connects to `server` at `host`, with `ca` vouching for it.
async fn connect(server: &Postgres, host: &str, ca: Option<&Authority>) -> Result<PgPool, Fault> {
    let url = format!("postgres://{SUPERUSER}@{host}:{}/postgres?sslmode=verify-full", server.port());
    let address = match ca {
        Some(ca) => serde_json::json!({ "url": url, "ca": ca.pem }).to_string(),
        None => url,
    };
    Ok(database::connect(&Secret::new(address), PoolOptions::operator("test")).await?)
}

#[tokio::test]
async fn a_database_with_the_right_certificate_is_spoken_to_over_tls() {
    let authority = Authority::new("ours");
    let server = server(&authority).await;
    let pool = connect(&server, "localhost", Some(&authority)).await.unwrap();
    let is_encrypted: bool =
        sqlx::query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetch_one(&pool).await.unwrap();
    assert!(is_encrypted);
}

#[tokio::test]
async fn a_database_that_proves_nothing_is_not_spoken_to() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let server = server(&authority).await;
    // Another one's signature; nobody's that we know; another host than the certificate names.
    let cases = [
        ("localhost", Some(&stranger), "UnknownIssuer"),
        ("localhost", None, "UnknownIssuer"),
        ("127.0.0.1", Some(&authority), "not valid for name"),
    ];
    for (host, ca, reason) in cases {
        let fault = connect(&server, host, ca).await.unwrap_err();
        assert_eq!(fault.code(), "database.unreachable", "{fault}");
        assert!(fault.message().contains(reason), "{reason}: {fault}");
    }
    // With `require`, whoever answers would be believed; that is why only this machine may be asked so.
    let url = format!("postgres://{SUPERUSER}@127.0.0.1:{}/postgres?sslmode=require", server.port());
    database::connect(&Secret::new(url), PoolOptions::operator("test")).await.unwrap();
}

#[tokio::test]
async fn a_database_without_tls_is_not_spoken_to() {
    let authority = Authority::new("ours");
    let server = Postgres::start(StartOptions::default()).await.unwrap();
    let fault = connect(&server, "localhost", Some(&authority)).await.unwrap_err();
    assert_eq!(fault.code(), "database.unreachable", "{fault}");
    assert!(fault.message().contains("does not support TLS"), "{fault}");
}
