//! A real S3 server on a loopback port: s3s-fs, which checks signatures, over a folder that tests write into. In front
//! of it: session tokens, continuation tokens (s3s-fs has none), and faults that can be switched while it runs.

mod front;
mod lake;
mod object;
mod proxy;

pub use front::Fault;
pub use lake::put_minute;
pub use proxy::Proxy;

use front::{Crowd, Door, Front, Names};
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Credentials the server accepts. The secret is one that no log, error or ledger may ever show.
pub const ACCESS_KEY: &str = "AKIDOBSERVEBRIDGE";
pub const SECRET_KEY: &str = "Sesame/Open+Bucket=Key";
/// A name of the server that no resolver knows.
pub const NAME: &str = "s3.invalid";
/// The only bucket.
pub const BUCKET: &str = "telemetry";

/// A running server; it ends with the value.
pub struct S3 {
    address: SocketAddr,
    folder: TempDir,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

/// What is called before an object is read, with its key.
type Hook = Box<dyn FnMut(&str) + Send>;

/// What the server and the test share.
#[derive(Default)]
struct Shared {
    /// The session token that requests must carry.
    token: Option<String>,
    fault: Mutex<Option<Fault>>,
    before_get: Mutex<Option<Hook>>,
    crowd: Mutex<Option<Arc<Crowd>>>,
    lists: AtomicUsize,
    /// The prefix of each listing.
    listed: Mutex<Vec<String>>,
    /// Keys in one page of a listing at most, if not as many as S3 has.
    page_keys: Mutex<Option<usize>>,
    /// Keys of objects that are stored with `Content-Encoding: gzip`.
    packed: Mutex<HashSet<String>>,
    /// Keys and bytes of the objects read.
    reads: Mutex<Vec<(String, u64)>>,
}

impl S3 {
    /// A server with an empty bucket.
    pub fn serve() -> S3 {
        S3::start(None)
    }

    /// One that only takes requests that carry this temporary token.
    pub fn with_token(token: &str) -> S3 {
        S3::start(Some(token.to_string()))
    }

    fn start(token: Option<String>) -> S3 {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(folder.path().join(BUCKET)).expect("the bucket");
        let shared = Arc::new(Shared {
            token,
            ..Shared::default()
        });
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .expect("a free port");
        let address = listener.local_addr().expect("the port");
        let files = s3s_fs::FileSystem::new(folder.path()).expect("the store");
        let mut service = S3ServiceBuilder::new(Front::new(files, folder.path(), shared.clone()));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        service.set_access(Door(shared.clone()));
        service.set_host(Names);
        let service = service.build();
        runtime.spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            while let Ok((socket, _)) = listener.accept().await {
                // Head and body are written apart; an error shows in the first answer.
                let _ = socket.set_nodelay(true);
                let connection = server
                    .serve_connection(TokioIo::new(socket), service.clone())
                    .into_owned();
                // An error of the connection ends it; the client sees that for itself.
                tokio::spawn(async move {
                    let _ = connection.await;
                });
            }
        });
        S3 {
            address,
            folder,
            shared,
            runtime: Some(runtime),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint of requests that name the bucket in their path.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The endpoint of requests that name the bucket in their host.
    pub fn virtual_endpoint(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Where an object lies on disk.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }

    /// Writes an object.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(path, bytes).expect("the object");
    }

    /// Writes an object that says of itself `Content-Encoding: gzip`; its bytes must be that.
    pub fn put_packed(&self, key: &str, bytes: &[u8]) {
        self.put(key, bytes);
        lock(&self.shared.packed).insert(key.to_string());
    }

    /// Copies everything below a folder.
    pub fn put_all(&self, from: &Path, prefix: &str) {
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.put_all(&entry.path(), &format!("{key}/"));
            } else {
                self.put(&key, &fs::read(entry.path()).expect("a file"));
            }
        }
    }

    /// From now on requests fail like that; `None`: no more.
    pub fn fail(&self, fault: Option<Fault>) {
        *lock(&self.shared.fault) = fault;
    }

    /// Calls `hook` with its key before an object is read.
    pub fn before_get(&self, hook: impl FnMut(&str) + Send + 'static) {
        *lock(&self.shared.before_get) = Some(Box::new(hook));
    }

    /// From now on a page of a listing has so many keys at most.
    pub fn cut_lists(&self, keys: usize) {
        *lock(&self.shared.page_keys) = Some(keys);
    }

    /// From now on reads wait until so many are under way at once, and fail if that does not happen; then none waits.
    pub fn crowd(&self, reads: usize) {
        *lock(&self.shared.crowd) = Some(Arc::new(Crowd::new(reads)));
    }

    /// Listings answered so far.
    pub fn lists(&self) -> usize {
        self.shared.lists.load(Ordering::SeqCst)
    }

    /// The prefixes of the listings since the last call.
    pub fn listed(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.listed))
    }

    /// Keys and bytes of the reads since the last call.
    pub fn reads(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut lock(&self.shared.reads))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
