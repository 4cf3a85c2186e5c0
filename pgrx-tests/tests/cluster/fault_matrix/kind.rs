//! The kinds of sources that are struck.

use super::records::{self, PAGE_ROWS, Piece};
use super::wire::Wire;
use blackbox::bridge::add_source;
use blackbox::cluster::Cluster;
use blackbox::openobserve::{OpenObserve, PASSWORD, USER};
use blackbox::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use blackbox::session::Session;
use std::fs;
use std::path::{Path, PathBuf};

/// Keys in a page of a bucket's lists.
const LIST_KEYS: usize = 2;

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenObserve's API.
    Http,
    /// A bucket as OpenObserve lays it out.
    Bucket,
    /// A bucket with folders by time and lines of JSON: plain, gzip, zstd.
    Lines,
    /// A bucket with folders by time and Parquet.
    Columns,
    /// A folder of this machine, with all of these.
    File,
}

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Kind::Http => "openobserve: the API over HTTP",
            Kind::Bucket => "s3, OpenObserve's layout: Parquet",
            Kind::Lines => "s3, Hive layout: NDJSON plain, gzip, zstd",
            Kind::Columns => "s3, Hive layout: Parquet",
            Kind::File => "file, Hive layout: NDJSON gzip, Parquet",
        }
    }

    /// Name of its database.
    pub fn database(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Bucket => "bucket",
            Kind::Lines => "lines",
            Kind::Columns => "columns",
            Kind::File => "file",
        }
    }

    /// Name and bytes of each object.
    fn objects(self) -> Vec<(String, Vec<u8>)> {
        let mut pieces = records::pieces();
        if self == Kind::Bucket {
            pieces.extend(records::merged(&pieces));
        }
        pieces.iter().map(|piece| self.object(piece)).collect()
    }

    fn object(self, piece: &Piece) -> (String, Vec<u8>) {
        let Piece {
            dataset,
            folder,
            stream,
            minute,
            number,
            rows,
        } = piece;
        let hour = if *minute < 0 { 9 } else { 10 };
        let minute = minute.rem_euclid(60);
        let hive = format!("{folder}/yyyy=2026/mm=01/dd=05/hh={hour:02}/mm={minute:02}/{stream}-{number}");
        let packed = || match number % 3 {
            0 => (format!("{hive}.ndjson.gz"), records::gzip(&records::lines(rows))),
            1 => (format!("{hive}.ndjson"), records::lines(rows)),
            _ => (format!("{hive}.ndjson.zst"), records::zstd(&records::lines(rows))),
        };
        match self {
            Kind::Http => unreachable!("it has no objects"),
            Kind::Bucket => {
                let folder = format!("files/default/{}/{stream}/2026/01/05/{hour:02}", dataset.name());
                let id = 7_413_000_000_000_000_000 + (*number as u64 + 1) * (1 << 40);
                (format!("{folder}/{id}.parquet"), records::columnar(rows))
            }
            Kind::Columns => (format!("{hive}.parquet"), records::columnar(rows)),
            Kind::File if *folder == "metrics" => (format!("{hive}.parquet"), records::columnar(rows)),
            Kind::Lines | Kind::File => packed(),
        }
    }
}

/// What is behind a source.
pub enum Server {
    Http { _keeps_running: OpenObserve },
    Bucket(S3),
    Folder(PathBuf),
}

impl Server {
    /// A server that has the records, and the wire to it.
    pub fn start(kind: Kind, cluster: &Cluster) -> (Server, Option<Wire>) {
        match kind {
            Kind::Http => {
                let oo = OpenObserve::serve(records::store());
                let wire = Wire::to(oo.address());
                (Server::Http { _keeps_running: oo }, Some(wire))
            }
            Kind::File => {
                let folder = cluster.make_folder("lake");
                cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
                let server = Server::Folder(folder);
                server.fill(kind);
                (server, None)
            }
            _ => {
                let s3 = S3::serve();
                // Most lists take several pages.
                s3.cut_lists(LIST_KEYS);
                let wire = Wire::to(s3.address());
                let server = Server::Bucket(s3);
                server.fill(kind);
                (server, Some(wire))
            }
        }
    }

    /// Writes all objects as they ought to be.
    pub fn fill(&self, kind: Kind) {
        for (key, bytes) in kind.objects() {
            match self {
                Server::Http { .. } => {}
                Server::Bucket(s3) => s3.put(&format!("lake/{key}"), &bytes),
                Server::Folder(folder) => write(&folder.join(key), &bytes),
            }
        }
    }

    /// Makes it the source of the default tenant.
    pub fn add(&self, kind: Kind, db: &mut Session, wire: Option<&Wire>) {
        let endpoint = wire.map(Wire::endpoint).unwrap_or_default();
        let (server, mapping, options) = match self {
            Server::Http { .. } => (
                format!("kind 'openobserve', endpoint '{endpoint}'"),
                format!("username '{USER}', password '{PASSWORD}'"),
                format!("{{\"page_rows\": {PAGE_ROWS}}}"),
            ),
            Server::Bucket(_) => {
                let layout = if kind == Kind::Bucket { "openobserve" } else { "hive" };
                (
                    format!("kind 's3', endpoint '{endpoint}', bucket '{BUCKET}', prefix 'lake/', layout '{layout}'"),
                    format!("access_key_id '{ACCESS_KEY}', secret_access_key '{SECRET_KEY}'"),
                    "{\"settle\": 0}".to_string(),
                )
            }
            Server::Folder(folder) => (
                format!("kind 'file', path '{}', layout 'hive'", folder.display()),
                String::new(),
                "{}".to_string(),
            ),
        };
        db.exec(&format!(
            "CREATE SERVER src FOREIGN DATA WRAPPER observe_bridge OPTIONS ({server})"
        ));
        if !mapping.is_empty() {
            db.exec(&format!(
                "CREATE USER MAPPING FOR CURRENT_USER SERVER src OPTIONS ({mapping})"
            ));
        }
        add_source(db, "src", &options);
    }
}

pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    fs::write(path, bytes).expect("the file");
}
