//! Fetching one commit without its history over smart HTTP, protocol version 2 (gitprotocol-http, gitprotocol-v2).

use super::local::no_reference;
use super::objects::broken;
use super::packets::{self, Packet, line, push};
use crate::source::Context;
use crate::source::documents::{MAX_ARCHIVE, authorize, refused, shown, unfit, watched};
use crate::source::error::{SourceError, excerpt};
use crate::source::http::{Client, Reply, Route};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::patterns::mask_secrets;
use gix_hash::ObjectId;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, header};

const SERVICE: &str = "git-upload-pack";
const REQUEST_TYPE: &str = "application/x-git-upload-pack-request";
/// Names us and ends each of our messages.
const AGENT: &str = concat!("agent=observe_bridge/", env!("CARGO_PKG_VERSION"));
const DELIMITER: &[u8] = b"0001";
const FLUSH: &[u8] = b"0000";

/// What came of a fetch.
pub struct Fetched {
    /// The commit, or a tag that leads to it.
    pub commit: ObjectId,
    pub pack: Vec<u8>,
    pub requests: u64,
}

/// One repository and the way to it.
struct Remote<'a> {
    url: &'a str,
    client: Client,
    headers: HeaderMap,
    ctx: &'a Context,
}

/// Fetches what a reference stands for.
///
/// # Errors
/// Those of the transport, `Auth`, `NotFound`; `Config` for a reference that does not exist; `Document` for a server that
/// does not speak version 2 and for a broken or too large answer; `Cancelled`.
pub fn fetch(
    url: &str,
    authorization: Option<&str>,
    route: &Route,
    reference: Option<&str>,
    ctx: &Context,
) -> Result<Fetched, SourceError> {
    let mut headers = HeaderMap::new();
    authorize(&mut headers, authorization)?;
    headers.insert(
        HeaderName::from_static("git-protocol"),
        HeaderValue::from_static("version=2"),
    );
    let remote = Remote {
        url,
        client: Client::new(url, route, None, ctx.http_timeout, MAX_ARCHIVE)?,
        headers,
        ctx,
    };
    remote.fetch(reference).map_err(|mut e| {
        e.detail = e.detail.map(|said| repeatable(&said, authorization));
        e
    })
}

/// What a server said, as one short printable line without secrets: those of its own, and our credentials, should it
/// repeat them.
fn repeatable(said: &str, authorization: Option<&str>) -> String {
    let sent = authorization.and_then(|a| a.strip_prefix("Basic "));
    let login = sent.and_then(|sent| STANDARD.decode(sent).ok());
    let login = login.and_then(|login| String::from_utf8(login).ok());
    let password = login.as_deref().and_then(|login| Some(login.split_once(':')?.1));
    let mut said = said.replace(char::is_control, " ");
    for secret in [sent, password].into_iter().flatten().filter(|s| !s.is_empty()) {
        said = said.replace(secret, "***");
    }
    excerpt(&mask_secrets(&said))
}

impl Remote<'_> {
    fn fetch(&self, reference: Option<&str>) -> Result<Fetched, SourceError> {
        self.greet()?;
        let commit = match reference.and_then(|name| ObjectId::from_hex(name.as_bytes()).ok()) {
            Some(commit) => commit,
            None => self.resolve(reference.unwrap_or("HEAD"))?,
        };
        Ok(Fetched {
            commit,
            pack: self.pack(commit)?,
            requests: self.client.requests(),
        })
    }

    /// Asks what the server can: version 2, and objects that are named by SHA-1.
    fn greet(&self) -> Result<(), SourceError> {
        let body = self.ask(&format!("info/refs?service={SERVICE}"), None)?;
        let mut rest = body.as_slice();
        let mut version = false;
        while let Some(packet) = packets::next(&mut rest)? {
            let Packet::Data(data) = packet else { continue };
            match line(data) {
                b"version 2" => version = true,
                data if data.starts_with(b"object-format=") && data != b"object-format=sha1" => {
                    return Err(unfit(format!(
                        "{}: the repository names objects by another hash than SHA-1",
                        shown(self.url)
                    ))
                    .hint("Serve an archive of it over kind http."));
                }
                _ => {}
            }
        }
        if version {
            Ok(())
        } else {
            Err(unfit(format!(
                "{}: the server does not speak version 2 of git's protocol",
                shown(self.url)
            ))
            .hint("Git servers do since 2018, but not as plain files: use a server that runs git http-backend, or kind http with an archive."))
        }
    }

    /// The object that a branch, a tag or HEAD stands for.
    fn resolve(&self, name: &str) -> Result<ObjectId, SourceError> {
        let candidates = match name {
            "HEAD" => vec![name.to_string()],
            full if full.starts_with("refs/") => vec![full.to_string()],
            short => vec![format!("refs/heads/{short}"), format!("refs/tags/{short}")],
        };
        let mut message = Vec::new();
        push(&mut message, "command=ls-refs");
        push(&mut message, AGENT);
        message.extend_from_slice(DELIMITER);
        for candidate in &candidates {
            push(&mut message, &format!("ref-prefix {candidate}"));
        }
        message.extend_from_slice(FLUSH);
        let body = self.ask(SERVICE, Some(&message))?;
        let mut rest = body.as_slice();
        let mut found = Vec::new();
        while let Some(packet) = packets::next(&mut rest)? {
            let Packet::Data(data) = packet else { continue };
            let mut words = line(data).split(|b| *b == b' ');
            if let (Some(id), Some(name)) = (words.next(), words.next()) {
                let id = ObjectId::from_hex(id).map_err(|_| broken("The list of references cannot be read."))?;
                found.push((name, id));
            }
        }
        let id = candidates
            .iter()
            .find_map(|wanted| found.iter().find(|(name, _)| *name == wanted.as_bytes()));
        id.map(|(_, id)| *id).ok_or_else(|| no_reference(name))
    }

    /// The pack with a commit and all of its files.
    fn pack(&self, commit: ObjectId) -> Result<Vec<u8>, SourceError> {
        let mut message = Vec::new();
        push(&mut message, "command=fetch");
        push(&mut message, AGENT);
        message.extend_from_slice(DELIMITER);
        for argument in ["no-progress", "ofs-delta", "deepen 1"] {
            push(&mut message, argument);
        }
        push(&mut message, &format!("want {commit}"));
        push(&mut message, "done");
        message.extend_from_slice(FLUSH);
        let body = self.ask(SERVICE, Some(&message))?;
        let mut rest = body.as_slice();
        // Sections such as "shallow-info" come before that of the pack.
        while let Some(packet) = packets::next(&mut rest)? {
            if matches!(packet, Packet::Data(data) if line(data) == b"packfile") {
                return packets::unband(rest);
            }
        }
        Err(broken("The server sent no pack."))
    }

    fn ask(&self, path: &str, message: Option<&[u8]>) -> Result<Vec<u8>, SourceError> {
        let uri = format!("{}/{path}", self.url);
        let mut headers = self.headers.clone();
        if message.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(REQUEST_TYPE));
        }
        watched(&self.client, &self.ctx.cancel, || {
            let mut body = Vec::new();
            let reply = match message {
                Some(message) => self.client.post_exact(&uri, &headers, message, &mut body)?,
                None => self.client.get_exact(&uri, &headers, &mut body)?.0,
            };
            match reply {
                Reply::Ok(()) => Ok(body),
                Reply::TooLarge => Err(unfit(format!("the repository has more than {} MB", MAX_ARCHIVE >> 20))
                    .hint("A smaller repository, or an archive of the folder that matters, will do.")),
                Reply::Status(refusal) => Err(refused(&refusal, self.url)),
            }
        })
        .map_err(|mut e| {
            if !e.message.contains(shown(self.url)) {
                e.message = format!("{}: {}", shown(self.url), e.message);
            }
            e
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    /// What a fetch says of a server that answers with this frame.
    fn refusal(said: &str) -> SourceError {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/infra.git", listener.local_addr().unwrap());
        let frame = format!("{:04x}ERR {said}", said.len() + 8);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                frame.len()
            );
            stream.write_all((head + &frame).as_bytes()).unwrap();
        });
        let ctx = Context {
            cancel: Default::default(),
            concurrency: 1,
            http_timeout: Duration::from_secs(20),
            masker: Default::default(),
        };
        let login = crate::source::documents::basic("olga", Some(&"Sesame-Street".to_string()));
        let e = fetch(&url, Some(&login), &Route::default(), None, &ctx);
        server.join().unwrap();
        e.map(|_| ()).unwrap_err()
    }

    #[test]
    fn what_a_server_says_is_short_printable_and_without_secrets() {
        let e = refusal("no \u{1b}[31maccess\nfor olga");
        assert_eq!(e.detail.as_deref(), Some("no  [31maccess for olga"));
        assert!(e.is_permanent() && e.hint.is_some());
        let long = refusal(&"word ".repeat(5_000)).detail.unwrap();
        assert!(long.len() < 250, "{}", long.len());
        for secret in ["Sesame-Street", "b2xnYTpTZXNhbWUtU3RyZWV0", "hunter2"] {
            let said = format!(
                "{}not with {secret}, password=hunter2, https://u:hunter2@h/",
                "x".repeat(140)
            );
            let detail = refusal(&said).detail.unwrap();
            assert!(detail.contains("not with"), "{detail}");
            assert!(secret == "hunter2" || !detail.contains(&secret[..6]), "{detail}");
            assert!(!detail.contains("=hunter2") && !detail.contains(":hunter2"), "{detail}");
        }
    }
}
