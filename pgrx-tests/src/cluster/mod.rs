//! A PostgreSQL cluster of a test's own: a folder, a free port, a socket, and the end of it all at Drop.

mod process;
mod standby;

use crate::session::{Session, SqlError};
use crate::wait::wait_until;
pub use process::{bindir, output, pg_config, signal};
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// Longest wait for a start or stop that is not itself under test.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of the server log shown when a test fails.
const LOG_LINES: usize = 60;

/// Settings of every cluster. Nothing here survives a crash of the machine, all of it a crash of the server.
const SETTINGS: &str = "\
max_worker_processes = 32
max_connections = 50
shared_buffers = 32MB
fsync = off
synchronous_commit = on
full_page_writes = off
autovacuum = on
timezone = 'Europe/Helsinki'
timescaledb.telemetry_level = off
log_line_prefix = '%m [%p] %b %q%d '
observe_bridge.poll_interval = 200ms
";

/// How to stop a server, as in `pg_ctl stop -m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    Fast,
    Immediate,
}

/// A running cluster. The session time zone is not UTC on purpose: no result may depend on it.
pub struct Cluster {
    folder: tempfile::TempDir,
    owner: process::Owner,
    port: u16,
    environment: Vec<(String, String)>,
    server: Option<Child>,
}

impl Cluster {
    /// A cluster with the background workers: observe_bridge and timescaledb are preloaded.
    pub fn with_workers() -> Cluster {
        Cluster::start(&["shared_preload_libraries = 'observe_bridge,timescaledb'"])
    }

    /// A cluster in which nothing of observe_bridge runs by itself.
    pub fn without_workers() -> Cluster {
        Cluster::start(&["shared_preload_libraries = 'timescaledb'"])
    }

    /// A cluster with these lines of postgresql.conf beside those every test has.
    pub fn start(settings: &[&str]) -> Cluster {
        Cluster::with_environment(settings, &[])
    }

    /// [`Cluster::start`] with variables in the server's environment.
    pub fn with_environment(settings: &[&str], environment: &[(&str, &str)]) -> Cluster {
        let owner = process::Owner::current();
        let folder = process::folder(owner);
        process::make_data(owner, &folder.path().join("data"));
        let mut cluster = Cluster {
            folder,
            owner,
            port: free_port(),
            environment: environment
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            server: None,
        };
        let own = cluster.own_settings();
        append(
            &cluster.data().join("postgresql.conf"),
            &format!("{own}{SETTINGS}{}\n", settings.join("\n")),
        );
        cluster.up();
        cluster
    }

    /// The lines of postgresql.conf in which no cluster is like another.
    fn own_settings(&self) -> String {
        format!(
            "\nport = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n",
            self.port,
            self.socket().display()
        )
    }

    /// Starts the server, which must not be running.
    #[track_caller]
    pub fn up(&mut self) {
        assert!(self.server.is_none(), "the server is running");
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log_path())
            .expect("the server's log");
        let mut command = self.owner.command(bindir().join("postgres"));
        // Backtraces must not find their way into errors; without this none would be there to find it.
        command.env("RUST_BACKTRACE", "1").envs(self.environment.clone());
        command
            .arg("-D")
            .arg(self.data())
            .stdout(log.try_clone().expect("the server's log"))
            .stderr(log);
        self.server = Some(command.spawn().expect("postgres starts"));
        self.wait_for_connections();
    }

    /// Waits until the server accepts connections: after its start, or after a crash it recovers from.
    #[track_caller]
    pub fn wait_for_connections(&mut self) {
        wait_until("the server accepts connections", PATIENCE, || {
            if let Some(status) = self.server.as_mut().and_then(|s| s.try_wait().ok().flatten()) {
                panic!("the server ended with {status}:\n{}", self.log_tail());
            }
            self.try_session("postgres").is_ok()
        });
    }

    /// `pg_ctl stop`; returns when the server is gone. Its own wait is the limit: pg_ctl gives up after `timeout`.
    #[track_caller]
    pub fn stop(&mut self, how: Shutdown, timeout: Duration) {
        let mode = match how {
            Shutdown::Fast => "fast",
            Shutdown::Immediate => "immediate",
        };
        let seconds = timeout.as_secs().max(1).to_string();
        let mut command = self.owner.command(bindir().join("pg_ctl"));
        output(
            command
                .args(["stop", "-s", "-w", "-m", mode, "-t", &seconds])
                .arg("-D")
                .arg(self.data()),
        );
        if let Some(mut server) = self.server.take() {
            server.wait().expect("the server's exit status");
        }
    }

    /// A fast stop and a start.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop(Shutdown::Fast, PATIENCE);
        self.up();
    }

    /// Creates a database and opens a session in it, as the superuser `postgres`.
    #[track_caller]
    pub fn database(&self, name: &str) -> Session {
        self.session("postgres").exec(&format!("CREATE DATABASE \"{name}\""));
        self.session(name)
    }

    /// Another session of the superuser.
    #[track_caller]
    pub fn session(&self, database: &str) -> Session {
        self.session_as("postgres", database)
    }

    /// A session of another role.
    #[track_caller]
    pub fn session_as(&self, user: &str, database: &str) -> Session {
        match Session::open(self.socket(), self.port, user, database) {
            Ok(session) => session,
            Err(e) => panic!("no session of {user} in {database}: {e}"),
        }
    }

    /// [`Cluster::session`] where it may be refused.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub fn try_session(&self, database: &str) -> Result<Session, SqlError> {
        Session::open(self.socket(), self.port, "postgres", database)
    }

    /// ALTER SYSTEM and a reload; returns when new sessions see the value.
    #[track_caller]
    pub fn set(&self, name: &str, value: &str) {
        let mut db = self.session("postgres");
        let before = db.text("SELECT pg_conf_load_time()");
        db.exec(&format!("ALTER SYSTEM SET {name} = '{value}'"));
        db.exec("SELECT pg_reload_conf()");
        // A new session has the time of the postmaster.
        wait_until("the postmaster has reloaded", PATIENCE, || {
            self.session("postgres").text("SELECT pg_conf_load_time()") != before
        });
    }

    /// Sets the clock of the workers' scheduler.
    #[track_caller]
    pub fn set_clock(&self, at: &str) {
        self.set("observe_bridge.clock", at);
    }

    /// A connection string for programs that are not ours.
    pub fn dsn(&self, database: &str) -> String {
        format!(
            "host={} port={} user=postgres dbname={database}",
            self.socket().display(),
            self.port
        )
    }

    /// The TCP port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on connections over TCP need a password; those over the socket do not.
    #[track_caller]
    pub fn require_passwords(&self) {
        let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(self.data().join("pg_hba.conf"), rules).expect("pg_hba.conf");
        self.set("log_connections", "on");
    }

    /// From now on the cluster speaks TLS to who asks for it, with this certificate and key (PEM).
    #[track_caller]
    pub fn use_tls(&self, certificate: &str, key: &str) {
        let owner = fs::metadata(self.data()).expect("the data directory");
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.data().join(name);
            fs::write(&path, text).expect("the file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
            std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).expect("its owner");
        }
        self.set("ssl", "on");
    }

    /// A client program of PostgreSQL, set up to reach this cluster as its superuser.
    pub fn program(&self, name: &str) -> Command {
        let mut command = self.owner.command(bindir().join(name));
        command
            .env("PGHOST", self.socket())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres");
        command
    }

    /// Dumps a database and restores it as a new one, the way the README has it; a session in that.
    #[track_caller]
    pub fn copy(&self, from: &str, to: &str) -> Session {
        let file = self.make_folder("dumps").join(from);
        output(self.program("pg_dump").args(["-Fc", "-d", from, "-f"]).arg(&file));
        let db = self.database(to);
        output(
            self.program("pg_restore")
                .env("PGOPTIONS", "-c observe_bridge.restoring=on")
                .args(["--exit-on-error", "-d", to])
                .arg(&file),
        );
        db
    }

    /// A folder that the server can read, below the cluster's own.
    pub fn make_folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).expect("a folder");
        self.owner.give(&path);
        path
    }

    /// Everything the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn socket(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal(i64::from(server.id()), libc::SIGQUIT);
            // An error leaves a process behind that has been told to end; there is nobody to tell.
            let _ = server.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- last lines of the server's log ----\n{}", self.log_tail());
        }
    }
}

/// A TCP port that was free a moment ago.
fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    probe.local_addr().expect("the port").port()
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .expect("a configuration file");
    file.write_all(text.as_bytes()).expect("room on the disk");
}
