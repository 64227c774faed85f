//! The way out of one machine, asked by a real HTTP client that the variables lead there.

use std::process::Stdio;

use isotherm_lab::process::eventually;
use isotherm_local_stack::egress::{AllowList, Egress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

/// A host off 127.0.0.1 that answers 200 to everybody; its `address:port`.
async fn host() -> String {
    let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                if client.read(&mut bytes).await.is_ok_and(|length| length > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
                    let _ = client.write_all(answer).await;
                }
            });
        }
    });
    address
}

/// What curl says of the address, in an environment with the variables of the way out and nothing else.
async fn curl(egress: Option<&Egress>, more: &[&str], url: &str) -> String {
    let mut command = Command::new("curl");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    // curl reads the lower-case form of this one only.
    for (name, value) in egress.map(Egress::variables).unwrap_or_default() {
        command.env(name.to_lowercase(), value);
    }
    command.args([
        "--silent",
        "--max-time",
        "20",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} %{http_connect}",
    ]);
    let output = command.args(more).arg(url).stdin(Stdio::null()).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_host_on_the_list_is_reached_and_one_off_it_is_refused() {
    let (listed, unlisted) = (host().await, host().await);
    let egress = Egress::start(&AllowList::parse([listed.as_str()]).unwrap()).await.unwrap();
    let (listed, unlisted) = (format!("http://{listed}/"), format!("http://{unlisted}/"));
    assert_eq!(curl(None, &[], &unlisted).await, "200 000", "it can be reached but for the list");
    assert_eq!(curl(Some(&egress), &[], &listed).await, "200 000");
    assert_eq!(curl(Some(&egress), &[], &unlisted).await, "403 000");
    assert_eq!(curl(Some(&egress), &[], &egress.probe_url()).await, "204 000");
}

#[tokio::test]
async fn a_tunnel_leads_to_listed_hosts_only() {
    let (listed, unlisted) = (host().await, host().await);
    let egress = Egress::start(&AllowList::parse([listed.as_str()]).unwrap()).await.unwrap();
    let tunnel = ["--proxytunnel"];
    assert_eq!(curl(Some(&egress), &tunnel, &format!("http://{listed}/")).await, "200 200");
    assert_eq!(curl(Some(&egress), &tunnel, &format!("http://{unlisted}/")).await, "000 403");
}

#[tokio::test]
async fn an_emptied_list_leads_nowhere_and_a_dropped_one_too() {
    let listed = host().await;
    let egress = Egress::start(&AllowList::default()).await.unwrap();
    let url = format!("http://{listed}/");
    assert_eq!(curl(Some(&egress), &[], &url).await, "403 000");
    let probe = egress.probe_url();
    assert_eq!(curl(Some(&egress), &[], &probe).await, "204 000", "its own host is always there");
    drop(egress);
    eventually("the probe to be closed", async || curl(None, &[], &probe).await.starts_with("000")).await.unwrap();
}
