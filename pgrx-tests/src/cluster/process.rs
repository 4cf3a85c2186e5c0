//! The operating system's side of a cluster: as whom it runs, its programs, its files.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const DEFAULT_PG_CONFIG: &str = "/usr/lib/postgresql/17/bin/pg_config";

/// The `pg_config` that says which PostgreSQL is tested.
pub fn pg_config() -> PathBuf {
    std::env::var_os("PG_CONFIG").map_or_else(|| DEFAULT_PG_CONFIG.into(), PathBuf::from)
}

/// Folder of PostgreSQL's programs.
pub fn bindir() -> PathBuf {
    output(Command::new(pg_config()).arg("--bindir")).trim().into()
}

/// Runs a command to its end and returns what it printed.
///
/// # Panics
/// When it cannot be started or fails, with all it said.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let done = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        done.status.success(),
        "{command:?}: {}\n{}{}",
        done.status,
        text(&done.stdout),
        text(&done.stderr)
    );
    text(&done.stdout)
}

/// Who runs the cluster: PostgreSQL refuses root, so root steps down to the user `postgres`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    uid: u32,
    gid: u32,
    step_down: bool,
}

impl Owner {
    pub fn current() -> Owner {
        let id = |args: &[&str]| -> u32 {
            let printed = output(Command::new("id").args(args));
            printed
                .trim()
                .parse()
                .unwrap_or_else(|_| panic!("id {args:?} printed {printed}"))
        };
        if id(&["-u"]) == 0 {
            return Owner {
                uid: id(&["-u", "postgres"]),
                gid: id(&["-g", "postgres"]),
                step_down: true,
            };
        }
        Owner {
            uid: id(&["-u"]),
            gid: id(&["-g"]),
            step_down: false,
        }
    }

    /// A command that runs as the owner, from a folder it can enter.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C");
        if self.step_down {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives a file or folder to the owner, for nobody else to enter.
    pub fn give(self, path: &Path) {
        let done = fs::set_permissions(path, Permissions::from_mode(0o700)).and_then(|()| {
            if self.step_down {
                chown(path, Some(self.uid), Some(self.gid))
            } else {
                Ok(())
            }
        });
        done.unwrap_or_else(|e| panic!("cannot give {} to the owner of the cluster: {e}", path.display()));
    }

    fn owns(self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == self.uid)
    }
}

/// A folder for a cluster, which goes with the value.
pub fn folder(owner: Owner) -> tempfile::TempDir {
    // Short: the path of a socket has at most 107 bytes.
    let folder = tempfile::Builder::new()
        .prefix("ob-")
        .tempdir()
        .expect("a temporary folder");
    owner.give(folder.path());
    folder
}

/// Makes a data directory at `data`: a copy of one that initdb made once, which is ten times faster than initdb.
pub fn make_data(owner: Owner, data: &Path) {
    let bin = bindir();
    let version = output(Command::new(bin.join("postgres")).arg("--version"));
    let name = format!(
        "observe_bridge-{}-{:x}",
        owner.uid,
        fnv(format!("{version}{}", bin.display()).as_bytes())
    );
    let template = std::env::temp_dir().join(name);
    // The name can be guessed: only a folder of our own is trusted.
    if !owner.owns(&template) {
        let fresh = tempfile::Builder::new()
            .prefix("observe_bridge-initdb-")
            .tempdir()
            .expect("a temporary folder");
        owner.give(fresh.path());
        let made = fresh.path().join("data");
        output(
            owner
                .command(bin.join("initdb"))
                .args([
                    "--username=postgres",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--auth=trust",
                    "--no-sync",
                ])
                .arg("-D")
                .arg(&made),
        );
        // Another test may have been faster; then theirs is as good.
        if fs::rename(&made, &template).is_err() {
            assert!(owner.owns(&template), "{} belongs to somebody else", template.display());
        }
    }
    output(owner.command("cp").arg("-R").arg(&template).arg(data));
}

/// Sends a signal to a process.
pub fn signal(pid: i64, signal: i32) {
    let pid = i32::try_from(pid).expect("a process id");
    assert!(pid > 1, "process {pid} is not ours to signal");
    // SAFETY: a plain system call; `pid` is one process, not a group.
    unsafe { libc::kill(pid, signal) };
}

/// FNV-1a: a short name for a long text.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    })
}
