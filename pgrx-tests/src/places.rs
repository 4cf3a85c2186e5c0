//! Log lines as objects: the same ones wherever and however objects may lie.

use crate::bridge::add_source;
use crate::cluster::Cluster;
use crate::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use crate::session::Session;
use crate::telemetry::{MINUTE, SECOND, T0};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../src/source/objects/testing.rs"]
mod columns;

/// How objects lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// OpenObserve's own bucket.
    OpenObserve,
    /// A bucket with folders by time and Parquet.
    Columns,
    /// A bucket with folders by time and lines of JSON.
    Lines,
    /// A folder of this machine with the same.
    Folder,
}

impl Way {
    pub const ALL: [Way; 4] = [Way::OpenObserve, Way::Columns, Way::Lines, Way::Folder];

    /// A name for its database.
    pub fn name(self) -> &'static str {
        match self {
            Way::OpenObserve => "openobserve",
            Way::Columns => "columns",
            Way::Lines => "lines",
            Way::Folder => "folder",
        }
    }
}

/// Objects, and the server before them if there is one.
pub struct Place {
    way: Way,
    root: PathBuf,
    s3: Option<S3>,
}

impl Place {
    /// An empty place; a folder is the cluster's, and the only one that may be read.
    pub fn new(cluster: &Cluster, way: Way) -> Place {
        let s3 = (way != Way::Folder).then(S3::serve);
        let root = match &s3 {
            Some(s3) => s3.path("lake"),
            None => {
                let folder = cluster.make_folder("lake");
                cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
                folder
            }
        };
        Place { way, root, s3 }
    }

    /// The server, if there is one.
    pub fn s3(&self) -> Option<&S3> {
        self.s3.as_ref()
    }

    /// The folder of what there is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes it the source `lake` of the default tenant's `oo-agg`, its windows settled at once.
    #[track_caller]
    pub fn add_to(&self, db: &mut Session) {
        let layout = match self.way {
            Way::OpenObserve => "openobserve",
            _ => "hive",
        };
        let options = match &self.s3 {
            Some(s3) => format!(
                "kind 's3', endpoint '{}', bucket '{BUCKET}', prefix 'lake/'",
                s3.endpoint()
            ),
            None => format!("kind 'file', path '{}'", self.root.display()),
        };
        db.exec(&format!(
            "CREATE SERVER lake FOREIGN DATA WRAPPER observe_bridge OPTIONS ({options}, layout '{layout}')"
        ));
        if self.s3.is_some() {
            db.exec(&format!(
                "CREATE USER MAPPING FOR CURRENT_USER SERVER lake
                     OPTIONS (access_key_id '{ACCESS_KEY}', secret_access_key '{SECRET_KEY}')"
            ));
        }
        add_source(db, "lake", if self.s3.is_some() { "{\"settle\": 0}" } else { "{}" });
    }

    /// Writes the object of this number with so many lines of a minute since [`T0`], one a second from its number on.
    pub fn put(&self, minute: i64, number: i64, lines: i64) {
        self.write(None, minute, number, lines);
    }

    /// The same as the object of a stream: its folder is above those of the time, or below. Gives its path.
    pub fn put_stream(&self, stream: &str, minute: i64, number: i64, lines: i64) -> PathBuf {
        self.write(Some(stream), minute, number, lines)
    }

    fn write(&self, stream: Option<&str>, minute: i64, number: i64, lines: i64) -> PathBuf {
        let rows: Vec<(i64, String)> = (0..lines)
            .map(|n| {
                (
                    T0 + minute * MINUTE + (number + n) * SECOND,
                    format!("line {minute} {number} {n}"),
                )
            })
            .collect();
        let time = format!("yyyy=2026/mm=01/dd=05/hh=10/mm={minute:02}");
        let hive = match (stream, self.way) {
            (None, _) => format!("logs/{time}/{number}"),
            (Some(stream), Way::Columns) => format!("logs/stream={stream}/{time}/{number}"),
            (Some(stream), _) => format!("logs/{time}/stream={stream}/{number}"),
        };
        let text = |(at, body): &(i64, String)| {
            json!({ "_timestamp": at, "body": body, "service_name": "shop" }).to_string() + "\n"
        };
        let (key, bytes) = match self.way {
            Way::OpenObserve => {
                let id = 7_413_000_000_000_000_000 + (minute * 100 + number + 1) * (1 << 30);
                let key = format!(
                    "files/default/logs/{}/2026/01/05/10/{id}.parquet",
                    stream.unwrap_or("default")
                );
                (key, columns::parquet(&rows, 2))
            }
            Way::Columns => (format!("{hive}.parquet"), columns::parquet(&rows, 2)),
            Way::Lines | Way::Folder => (
                format!("{hive}.ndjson"),
                rows.iter().map(text).collect::<String>().into_bytes(),
            ),
        };
        let path = self.root.join(key);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(&path, bytes).expect("the object");
        path
    }

    /// Takes all objects away.
    pub fn clear(&self) {
        fs::remove_dir_all(&self.root).expect("the objects");
        fs::create_dir_all(&self.root).expect("the folder");
    }
}
