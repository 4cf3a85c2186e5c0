//! HTTP/1.1 as far as this server needs it: requests with a length, answers with a length, kept connections.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Longest head of a request.
const MAX_HEAD: usize = 64 * 1024;

/// One request.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Path with query, as sent.
    pub target: String,
    pub authorization: Option<String>,
    pub accept_encoding: Option<String>,
    pub if_none_match: Option<String>,
    pub if_modified_since: Option<String>,
    pub body: Vec<u8>,
}

impl Request {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, as sent.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let query = self.target.split_once('?')?.1;
        query
            .split('&')
            .find_map(|p| p.split_once('=').filter(|(k, _)| *k == name))
            .map(|(_, v)| v)
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(status: u16, body: &serde_json::Value) -> Response {
        let headers = vec![("content-type", "application/json".to_string())];
        Response {
            status,
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    pub fn plain(status: u16, body: &str) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    pub fn is_packed(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == "content-encoding")
    }

    /// Status line and headers; the length is that of the whole body, however much of it is sent.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} -\r\ncontent-length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub fn send(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(&self.head())?;
        stream.write_all(&self.body)
    }
}

/// The requests of one connection.
pub struct Incoming<'a> {
    stream: &'a TcpStream,
    buffer: Vec<u8>,
}

impl<'a> Incoming<'a> {
    /// The stream needs a read timeout: it is how often `ended` is asked.
    pub fn new(stream: &'a TcpStream) -> Self {
        Incoming {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The next request; nothing when the client hung up or `ended` says so.
    pub fn next(&mut self, ended: impl Fn() -> bool) -> io::Result<Option<Request>> {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(io::Error::other("the head of the request does not end"));
            }
            if !self.more(&ended)? {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_string);
        let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_string()))
            .collect();
        let header = |name: &str| headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        let length = header("content-length")
            .and_then(|v| v.parse::<usize>().ok())
            .unwrap_or(0);
        let end = head_end + 4 + length;
        while self.buffer.len() < end {
            if !self.more(&ended)? {
                return Ok(None);
            }
        }
        let body = self.buffer[head_end + 4..end].to_vec();
        self.buffer.drain(..end);
        Ok(Some(Request {
            method,
            target,
            authorization: header("authorization"),
            accept_encoding: header("accept-encoding"),
            if_none_match: header("if-none-match"),
            if_modified_since: header("if-modified-since"),
            body,
        }))
    }

    /// Reads what there is; false at the end.
    fn more(&mut self, ended: &impl Fn() -> bool) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if ended() {
                return Ok(false);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(true);
                }
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(e),
            }
        }
    }
}
