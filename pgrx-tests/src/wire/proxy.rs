//! A forward proxy that makes tunnels (CONNECT, RFC 9110 section 9.3.6).

use super::{Port, join};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// User, password, and both as `Proxy-Authorization` has them. The password is one that nothing may ever show.
pub const LOGIN: (&str, &str, &str) = ("anna", "Sesame:Proxy/1", "Basic YW5uYTpTZXNhbWU6UHJveHkvMQ==");
/// Longest head of a request.
const MAX_HEAD: usize = 16 << 10;

/// A running proxy; it ends with the value. It knows hosts that no resolver does.
pub struct Proxy {
    port: Port,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy that makes tunnels to these `host:port` only, which are at those addresses; with `login`, only for who
    /// shows [`LOGIN`].
    pub fn to(hosts: &[(&str, SocketAddr)], login: bool) -> Proxy {
        let hosts: BTreeMap<String, SocketAddr> = hosts.iter().map(|(name, at)| (name.to_string(), *at)).collect();
        let hosts = Arc::new(hosts);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let port = Port::open(move |client| {
            let (hosts, log) = (hosts.clone(), log.clone());
            async move { serve(client, &hosts, login, &log).await }
        });
        Proxy { port, asked }
    }

    /// The option `proxy` of a server.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// First lines of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut client: TcpStream, hosts: &BTreeMap<String, SocketAddr>, login: bool, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let first = head.lines().next().unwrap_or_default();
    log.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(first.to_string());
    let shown = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    let host = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let status = match host.and_then(|host| hosts.get(host)) {
        _ if login && shown != Some(LOGIN.2) => "407 Proxy Authentication Required",
        None => "403 Forbidden",
        Some(server) => {
            if client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .is_ok()
            {
                join(client, *server).await;
            }
            return;
        }
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    let _ = client.write_all(answer.as_bytes()).await;
}
