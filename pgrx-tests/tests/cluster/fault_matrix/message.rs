//! Requests and answers of HTTP/1.1, in pieces.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Time between two looks whether the connection is to be ended.
const TURN: Duration = Duration::from_millis(5);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET /path?query HTTP/1.1`.
    pub line: String,
    pub body: String,
    /// The same path was asked for before, as [`Wire`](super::wire::Wire) knows.
    pub again: bool,
    bytes: Vec<u8>,
}

impl Request {
    /// The next request of a connection; nothing when the client hung up or `ended` says so.
    pub fn read(mut stream: &TcpStream, ended: &dyn Fn() -> bool) -> io::Result<Option<Request>> {
        stream.set_read_timeout(Some(TURN))?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 16 << 10];
        loop {
            if let Some((head, length)) = head(&bytes)
                && bytes.len() >= head + length
            {
                let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
                return Ok(Some(Request {
                    line: text.lines().next().unwrap_or_default().to_string(),
                    body: String::from_utf8_lossy(&bytes[head..]).into_owned(),
                    again: false,
                    bytes,
                }));
            }
            match stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && !ended() => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }

    pub fn send(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(&self.bytes)
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// An answer whose length is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `HTTP/1.1 200 OK`.
    pub line: String,
    /// Names in lower case; the length is not among them.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer of this status with a body.
    pub fn new(status: u16, kind: &str, body: &str) -> Answer {
        Answer {
            line: format!("HTTP/1.1 {status} -"),
            headers: vec![("content-type".to_string(), kind.to_string())],
            body: body.as_bytes().to_vec(),
        }
    }

    pub fn read(mut stream: &TcpStream) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 64 << 10];
        loop {
            if let Some((at, length)) = head(&bytes)
                && bytes.len() >= at + length
            {
                let text = String::from_utf8_lossy(&bytes[..at]).into_owned();
                assert!(!text.to_ascii_lowercase().contains("transfer-encoding"), "{text}");
                let mut lines = text.lines();
                let line = lines.next().unwrap_or_default().to_string();
                let headers = lines
                    .filter_map(|l| l.split_once(':'))
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
                    .filter(|(name, _)| !matches!(name.as_str(), "content-length" | "connection"));
                return Ok(Answer {
                    line,
                    headers: headers.collect(),
                    body: bytes.split_off(at),
                });
            }
            match stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// The value of a header.
    pub fn header(&mut self, name: &str) -> Option<&mut String> {
        self.headers.iter_mut().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// Status line and headers, with a length of the body that need not be true.
    pub fn head(&self, length: usize) -> Vec<u8> {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        format!("{}\r\ncontent-length: {length}\r\n{headers}\r\n", self.line).into_bytes()
    }

    pub fn send(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(&self.head(self.body.len()))?;
        stream.write_all(&self.body)
    }
}

/// Where the body begins, and its length.
fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = text.lines().find_map(|l| l.strip_prefix("content-length:"));
    Some((end, length.and_then(|l| l.trim().parse().ok()).unwrap_or(0)))
}
