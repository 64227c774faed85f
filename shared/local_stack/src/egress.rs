//! The way out of one machine: a proxy that lets through to the hosts of a list and to nobody else.
//!
//! On AWS the network itself keeps the list (docs/adr/0031-one-way-out.md). One machine has no such network, so workers and
//! functions get the usual variables (`HTTPS_PROXY` and the like), which their HTTP client obeys without knowing of this.
//! What is on this machine (127.0.0.1) is not outside. A program that ignores the variables is not held back, nor is the client for
//! addresses of users (`isotherm-outbound`), which must see the address that it connects to and takes no proxy.
//!
//! It must never read what it passes on: a connection is judged by where it leads, once, before it is opened.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::LocalStackError;

mod allow_list;

pub use allow_list::AllowList;

/// Where the proxy listens. What is there is not outside.
const INSIDE: &str = "127.0.0.1:0";
/// Where the host listens that can always be reached through it. Every address of 127.0.0.0/8 is this machine's own, and
/// this one is not exempt from the proxy.
const PROBE: &str = "127.0.0.2:0";
/// What is reached without the proxy.
const NOT_OUTSIDE: &str = "127.0.0.1,localhost";
/// Longest beginning of a request: a line with a host's name, and headers.
const MOST_HEAD_BYTES: usize = 16 * 1024;
/// How long the beginning of a request, and a connection to a host, are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Header of an answer that is the proxy's own: the host is not on the list.
pub const REFUSED_HEADER: &str = "x-isotherm-egress";

/// The running proxy. Dropping it closes the way out.
#[derive(Debug)]
pub struct Egress {
    proxy: SocketAddr,
    probe: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Egress {
    /// Opens the way out to the hosts of `allowed`, and to a host of its own on this machine, so that the way can be tried.
    ///
    /// # Errors
    /// [`LocalStackError::Io`] if it cannot listen.
    pub async fn start(allowed: &AllowList) -> Result<Self, LocalStackError> {
        let (proxy, inside) = listen(INSIDE).await?;
        let (probe, probed) = listen(PROBE).await?;
        let allowed = allowed.clone().with_address(probe);
        let tasks = [tokio::spawn(serve(inside, allowed)), tokio::spawn(answer_probes(probed))];
        Ok(Self { proxy, probe, tasks })
    }

    /// An address on the list, of a host on this machine that answers 204.
    pub fn probe_url(&self) -> String {
        format!("http://{}/", self.probe)
    }

    /// Variables that lead the HTTP client of a worker or a function through here.
    pub fn variables(&self) -> Vec<(String, String)> {
        let proxy = format!("http://{}", self.proxy);
        [("HTTP_PROXY", proxy.as_str()), ("HTTPS_PROXY", &proxy), ("NO_PROXY", NOT_OUTSIDE)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn listen(address: &str) -> Result<(SocketAddr, TcpListener), LocalStackError> {
    let failed = |source| LocalStackError::io("listen on", Path::new(address))(source);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((bound, listener))
}

async fn serve(listener: TcpListener, allowed: AllowList) {
    loop {
        // A connection that broke before it was taken, or no file left for it: the next may do better.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let allowed = allowed.clone();
        tokio::spawn(async move {
            if let Err(error) = pass_on(client, &allowed).await {
                tracing::debug!(error = %error, "a connection through the way out broke");
            }
        });
    }
}

async fn pass_on(mut client: TcpStream, allowed: &AllowList) -> std::io::Result<()> {
    let Some(head) = read_head(&mut client).await? else {
        return answer(&mut client, "400 Bad Request", "").await;
    };
    let Some(wanted) = Wanted::of(&head) else { return answer(&mut client, "400 Bad Request", "").await };
    if !allowed.permits(&wanted.host, wanted.port) {
        tracing::warn!(
            egress.host = wanted.host,
            egress.port = wanted.port,
            "a host that is not on the list was refused"
        );
        return answer(&mut client, "403 Forbidden", &format!("{REFUSED_HEADER}: refused\r\n")).await;
    }
    let connect = TcpStream::connect((wanted.host.as_str(), wanted.port));
    let Ok(Ok(mut host)) = timeout(PATIENCE, connect).await else {
        return answer(&mut client, "502 Bad Gateway", "").await;
    };
    if wanted.is_tunnel {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        // As it is: a server has to accept the whole address in the first line. Source: RFC 9112, section 3.2.2.
        host.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut host).await?;
    Ok(())
}

/// What a request's first line asks for.
struct Wanted {
    host: String,
    port: u16,
    /// `CONNECT`: bytes are passed on as they come. Else the request itself is.
    is_tunnel: bool,
}

impl Wanted {
    fn of(head: &[u8]) -> Option<Self> {
        let line = head.split(|byte| *byte == b'\r').next()?;
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        if method == "CONNECT" {
            let (host, port) = allow_list::host_and_port(target)?;
            return Some(Self { host, port: port?, is_tunnel: true });
        }
        let rest = target.strip_prefix("http://")?;
        let authority = rest.split(['/', '?']).next()?;
        let (host, port) = allow_list::host_and_port(authority.rsplit('@').next()?)?;
        Some(Self { host, port: port.unwrap_or(80), is_tunnel: false })
    }
}

/// Reads up to the end of the request's headers and what came with them; `None` if they do not end.
async fn read_head(client: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    let whole = timeout(PATIENCE, async {
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if head.len() > MOST_HEAD_BYTES || client.read_buf(&mut head).await? == 0 {
                return Ok::<bool, std::io::Error>(false);
            }
        }
        Ok(true)
    });
    match whole.await {
        Ok(whole) => Ok(whole?.then_some(head)),
        Err(_) => Ok(None),
    }
}

async fn answer(client: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}

async fn answer_probes(listener: TcpListener) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(async move {
            if let Ok(Some(_)) = read_head(&mut client).await {
                // Whoever asked may be gone.
                let _ = client.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(head: &str) -> Option<(String, u16, bool)> {
        Wanted::of(head.as_bytes()).map(|wanted| (wanted.host, wanted.port, wanted.is_tunnel))
    }

    #[test]
    fn the_first_line_says_where_it_leads() {
        let cases = [
            ("CONNECT rpc.example.com:443 HTTP/1.1\r\n\r\n", "rpc.example.com", 443, true),
            ("CONNECT [::1]:8545 HTTP/1.1\r\n\r\n", "::1", 8545, true),
            ("POST http://10.0.0.5:8545/key?a=b HTTP/1.1\r\n\r\n", "10.0.0.5", 8545, false),
            ("GET http://Example.com HTTP/1.1\r\n\r\n", "example.com", 80, false),
            ("GET http://rpc.example.com@evil.example.net/ HTTP/1.1\r\n\r\n", "evil.example.net", 80, false),
        ];
        for (head, host, port, is_tunnel) in cases {
            assert_eq!(wanted(head), Some((host.to_owned(), port, is_tunnel)), "{head}");
        }
        for head in
            ["", "GET / HTTP/1.1\r\n", "CONNECT a HTTP/1.1\r\n", "GET ftp://a/ HTTP/1.1\r\n", "CONNECT :1 x\r\n"]
        {
            assert_eq!(wanted(head), None, "{head}");
        }
    }
}
