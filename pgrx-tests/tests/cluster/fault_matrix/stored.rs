//! What can be wrong with what is stored: files of this machine, objects in a bucket.

use super::cell::{Outcome, Scene};
use super::kind::{Kind, Server, write};
use super::rows::Then;
use super::table::Table;
use super::{is_wanted, judge, places};
use blackbox::cluster::Cluster;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Reading fails, or the bytes are wrong.
const BROKEN: Then = Then::Waits(&["08P01"]);
const UNREADABLE: Then = Then::Waits(&["58030"]);

/// A fault: its name, the ending of the objects it strikes, what it does to one, and what the window does.
type Fault = (&'static str, &'static str, fn(&Path), Then);

const FAULTS: [Fault; 9] = [
    ("gzip cut", ".gz", |path| cut(path, 2), BROKEN),
    ("gzip damaged", ".gz", |path| damage(path, 2), BROKEN),
    (
        "not gzip as the name says",
        ".gz",
        |path| write(path, b"{\"_timestamp\":1}\n"),
        BROKEN,
    ),
    ("zstd cut", ".zst", |path| cut(path, 2), BROKEN),
    ("zstd damaged", ".zst", |path| damage(path, 2), BROKEN),
    ("Parquet cut", ".parquet", |path| cut(path, 2), BROKEN),
    ("Parquet empty", ".parquet", |path| write(path, b""), BROKEN),
    (
        "last bytes damaged (footer)",
        ".parquet",
        |path| damage(path, 1),
        BROKEN,
    ),
    ("no right to read", "", |path| set_mode(path, 0o000), UNREADABLE),
];

/// Every fault at the first, a middle and the last object that it can strike.
pub fn lines(scene: &mut Scene, cluster: &mut Cluster, table: &mut Table) {
    let kind = scene.kind;
    let root = match &scene.server {
        Server::Http { .. } => return,
        Server::Folder(root) => root.clone(),
        Server::Bucket(s3) => s3.path("lake"),
    };
    for (name, ending, strike, then) in FAULTS {
        let mut files = Vec::new();
        find(&root, ending, &mut files);
        files.sort();
        // The server of the bucket may read everything.
        let strikes = !files.is_empty() && (kind == Kind::File || !ending.is_empty());
        if !strikes || !is_wanted(name, kind == Kind::File) {
            continue;
        }
        let mut cells = Vec::new();
        for nth in places(files.len()) {
            let Some(nth) = nth else {
                cells.push(Outcome::none());
                continue;
            };
            let file = &files[nth - 1];
            let mut outcome = scene.cell(
                cluster,
                false,
                |_| strike(file),
                |scene| {
                    set_mode(file, 0o644);
                    scene.server.fill(kind);
                },
            );
            judge(&mut outcome, then);
            cells.push(outcome);
        }
        table.add(name, cells);
    }
}

/// All files below a folder whose names end like that; a window of 10:00 reads all there are.
fn find(folder: &Path, ending: &str, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, ending, out);
        } else if path.to_string_lossy().ends_with(ending) {
            out.push(path);
        }
    }
}

/// Leaves one part in `parts` of a file.
fn cut(path: &Path, parts: usize) {
    let bytes = fs::read(path).expect("a file");
    write(path, &bytes[..bytes.len() / parts]);
}

/// Overwrites eight bytes before the end of the first part in `parts`.
fn damage(path: &Path, parts: usize) {
    let mut bytes = fs::read(path).expect("a file");
    let at = bytes.len() / parts;
    bytes[at - 8..at].fill(0xff);
    write(path, &bytes);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}
