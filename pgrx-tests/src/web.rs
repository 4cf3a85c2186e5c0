//! A small HTTP server that answers as a test wants, and a git server behind it.

use crate::openobserve::http::Incoming;
pub use crate::openobserve::http::{Request, Response};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a connection that waits asks whether it is over.
const POLL: Duration = Duration::from_millis(50);

type Answer = dyn Fn(&Request) -> Response + Send + Sync;

/// A running server; it ends with the value.
pub struct Web {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Web {
    /// A server that answers each request by `answer`, several at once.
    pub fn serve(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Web {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("the port");
        let ended = Arc::new(AtomicBool::new(false));
        let (answer, over): (Arc<Answer>, _) = (Arc::new(answer), ended.clone());
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(stream) = stream {
                    let (answer, over) = (answer.clone(), over.clone());
                    // A client that went away is no concern of the server.
                    std::thread::spawn(move || drop(converse(&stream, &*answer, &over)));
                }
            }
        });
        Web {
            address,
            ended,
            accepting: Some(accepting),
        }
    }

    /// Repositories below `folder` over smart HTTP, for whoever sends this header; `None` where git is not installed.
    pub fn serve_git(folder: &Path, authorization: &str) -> Option<Web> {
        let exec = Command::new("git").arg("--exec-path").output().ok()?;
        let backend = PathBuf::from(String::from_utf8_lossy(&exec.stdout).trim()).join("git-http-backend");
        if !backend.exists() {
            println!("skipped: git http-backend is not installed");
            return None;
        }
        let (folder, authorization) = (folder.to_path_buf(), authorization.to_string());
        Some(Web::serve(move |request| {
            if request.authorization.as_deref() != Some(authorization.as_str()) {
                return Response::plain(401, "who are you?");
            }
            cgi(&backend, &folder, request).unwrap_or_else(|e| Response::plain(500, &e.to_string()))
        }))
    }

    /// `http://` with address and port.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn converse(stream: &TcpStream, answer: &Answer, ended: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(POLL))?;
    let mut incoming = Incoming::new(stream);
    while let Some(request) = incoming.next(|| ended.load(Ordering::Relaxed))? {
        answer(&request).send(stream)?;
    }
    Ok(())
}

/// Runs git's CGI program.
fn cgi(backend: &Path, folder: &Path, request: &Request) -> io::Result<Response> {
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let mut child = Command::new(backend)
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", "version=2")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("PATH_INFO", request.path())
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", "application/x-git-upload-pack-request")
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&request.body)?;
    }
    let output = child.wait_with_output()?.stdout;
    let end = output
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .ok_or_else(|| io::Error::other("no head"))?;
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: ")?.split(' ').next()?.parse().ok());
    Ok(Response {
        status: status.unwrap_or(200),
        headers: Vec::new(),
        body: output[end + 4..].to_vec(),
    })
}
