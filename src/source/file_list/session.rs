//! A connection to the metadata database. It lives on whatever thread asks, is looked after while somebody waits for an
//! answer only, and ends within [`TURN`] when it is told to.

use super::FileListConfig;
use super::tls;
use crate::source::error::{ErrorKind, SourceError, excerpt};
use crate::source::http;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Row};

/// How often the flags are looked at during a question.
const TURN: Duration = Duration::from_millis(50);

/// What bounds a question.
#[derive(Clone)]
pub struct Limits {
    pub timeout: Duration,
    /// Any of these ends it.
    pub stops: [Arc<AtomicBool>; 2],
}

/// An open connection.
pub struct Session {
    config: FileListConfig,
    server: String,
    limits: Limits,
    client: Client,
    /// Only `None` while it is dropped.
    runtime: Option<Runtime>,
}

impl Session {
    /// # Errors
    /// See [`super::FileList::live`].
    pub fn open(config: &FileListConfig, server: &str, limits: &Limits) -> Result<Session, SourceError> {
        let Some((username, password)) = &config.credentials else {
            return Err(SourceError::config(
                format!("server \"{server}\": the user mapping has no credentials for the metadata database"),
                "ALTER USER MAPPING .. OPTIONS (ADD metadata_username '..', ADD metadata_password '..').",
            ));
        };
        let mut address = tokio_postgres::Config::new();
        address
            .host(&config.host)
            .port(config.port)
            .dbname(&config.database)
            .user(username)
            .password(password)
            .application_name("observe_bridge")
            .ssl_mode(if config.tls { SslMode::Require } else { SslMode::Disable });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| SourceError::new(ErrorKind::Io, "cannot start a connection").detail(e.to_string()))?;
        let connect = async {
            // The connection is a task of its own; how it ends, the client says.
            if config.tls {
                let (client, connection) = address
                    .connect(tls::connector(config.trusted.as_deref())?)
                    .await
                    .map_err(Failure::from)?;
                tokio::spawn(connection);
                Ok(client)
            } else {
                let (client, connection) = address.connect(NoTls).await.map_err(Failure::from)?;
                tokio::spawn(connection);
                Ok(client)
            }
        };
        let connected = runtime.block_on(limited(connect, limits));
        match connected {
            Ok(client) => Ok(Session {
                config: config.clone(),
                server: server.to_string(),
                limits: limits.clone(),
                client,
                runtime: Some(runtime),
            }),
            Err(e) => {
                // A name lookup that hangs must not be waited for.
                runtime.shutdown_background();
                Err(e.into_error(config, server))
            }
        }
    }

    /// The rows of a statement. Errors as for [`Session::open`].
    pub fn query(&self, sql: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, SourceError> {
        let Some(runtime) = &self.runtime else {
            return Err(SourceError::new(ErrorKind::Internal, "the connection is closed"));
        };
        let answer = async { self.client.query_typed(sql, parameters).await.map_err(Failure::from) };
        runtime
            .block_on(limited(answer, &self.limits))
            .map_err(|e| e.into_error(&self.config, &self.server))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Why there is no answer.
enum Failure {
    Database(Box<tokio_postgres::Error>),
    Source(Box<SourceError>),
    TimedOut,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(e: tokio_postgres::Error) -> Self {
        Failure::Database(Box::new(e))
    }
}

impl From<SourceError> for Failure {
    fn from(e: SourceError) -> Self {
        Failure::Source(Box::new(e))
    }
}

impl Failure {
    fn into_error(self, config: &FileListConfig, server: &str) -> SourceError {
        match self {
            Failure::Database(e) => failed(config, server, &e),
            Failure::Source(e) => *e,
            Failure::TimedOut => SourceError::new(
                ErrorKind::Timeout,
                format!("server \"{server}\": the metadata database did not answer in time"),
            )
            .detail(config.address())
            .hint("Raise observe_bridge.http_timeout, or look at what the database is slow at."),
        }
    }
}

/// Runs `work` until it is done, takes too long or is told to stop.
async fn limited<T>(work: impl Future<Output = Result<T, Failure>>, limits: &Limits) -> Result<T, Failure> {
    let started = Instant::now();
    let mut work = pin!(work);
    loop {
        if limits.stops.iter().any(|stop| stop.load(Ordering::Relaxed)) {
            return Err(SourceError::cancelled().into());
        }
        match tokio::time::timeout(TURN, work.as_mut()).await {
            Ok(done) => return done,
            Err(_) if started.elapsed() >= limits.timeout => return Err(Failure::TimedOut),
            Err(_) => {}
        }
    }
}

/// What an error of the database or of the way to it means.
pub fn failed(config: &FileListConfig, server: &str, e: &tokio_postgres::Error) -> SourceError {
    let new = |kind, what: &str| SourceError::new(kind, format!("server \"{server}\", metadata database: {what}"));
    if let Some(bad) = tls_error(e).and_then(|e| http::certificate_error(e, "metadata_url")) {
        let hint = bad.hint.unwrap_or_default();
        let said = bad.detail.unwrap_or_default();
        return new(bad.kind, &bad.message)
            .detail(format!("{}: {said}", config.address()))
            .hint(hint);
    }
    let Some(told) = e.as_db_error() else {
        let what = match std::error::Error::source(e) {
            Some(source) => format!("{e}: {source}"),
            None => e.to_string(),
        };
        return new(ErrorKind::Connection, "the connection failed")
            .detail(format!(
                "{}: {}",
                config.address(),
                excerpt(&without_password(config, &what))
            ))
            .hint("Check metadata_url, that the database can be reached from here, and, with TLS, its certificate.");
    };
    let code = told.code().code();
    let error = match code {
        "42P01" | "42703" => new(ErrorKind::Config, "there is no table file_list of OpenObserve's")
            .hint("metadata_url must lead to the PostgreSQL database in ZO_META_POSTGRES_DSN of OpenObserve. One that keeps its metadata in a file (ZO_META_STORE sqlite) cannot be asked: leave metadata_url away."),
        "42501" => new(ErrorKind::Auth, "the user may not read file_list")
            .hint("In that database: GRANT SELECT ON file_list TO the user."),
        "3D000" => new(ErrorKind::NotFound, "there is no such database").hint("Check metadata_url."),
        _ => match code.get(..2) {
            Some("28") => new(ErrorKind::Auth, "it refuses the credentials").hint(
                "Check metadata_username and metadata_password of the user mapping, and pg_hba.conf of that server.",
            ),
            Some("08" | "53" | "57" | "58" | "40") => new(ErrorKind::Connection, "it cannot answer now")
                .hint("If it stays, look at that server's log."),
            _ => new(ErrorKind::BadResponse, "it cannot answer")
                .transient(false)
                .hint("Look at that server's log."),
        },
    };
    let said = without_password(config, told.message());
    error.detail(format!("{}: {} ({code})", config.address(), excerpt(&said)))
}

/// The error of the TLS library, wherever it is packed into.
fn tls_error(e: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let mut next = std::error::Error::source(e);
    while let Some(e) = next {
        let packed = e.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        let found = e.downcast_ref().or_else(|| packed?.downcast_ref());
        if found.is_some() {
            return found;
        }
        next = e.source();
    }
    None
}

fn without_password(config: &FileListConfig, text: &str) -> String {
    match &config.credentials {
        Some((_, password)) if !password.is_empty() => text.replace(password, "***"),
        _ => text.to_string(),
    }
}
