//! OpenObserve's metadata database, as far as it says which objects are live: a database of a test's own cluster.

use crate::cluster::Cluster;
use crate::session::Session;

/// Who may read it. The password is one that no log, error or ledger may ever show.
pub const READER: &str = "oo_reader";
pub const READER_PASSWORD: &str = "Open/Sesame-Metadata";
/// The name of the database.
pub const DATABASE: &str = "openobserve";

/// The database, in a session of its owner.
pub struct Metadata {
    session: Session,
    port: u16,
}

/// A row of `file_list`.
#[derive(Clone, Debug)]
pub struct LiveObject<'a> {
    /// `org/type/name`.
    pub stream: &'a str,
    /// `YYYY/MM/DD/HH`.
    pub date: &'a str,
    /// The key behind the hour's folder.
    pub file: &'a str,
    /// First and last record, microseconds, both inclusive.
    pub times: (i64, i64),
    /// Bytes of the object.
    pub size: usize,
}

impl Metadata {
    /// The database with an empty table. Who comes over TCP needs a password from now on.
    #[track_caller]
    pub fn create(cluster: &Cluster) -> Metadata {
        let mut session = cluster.database(DATABASE);
        session.exec(&format!(
            "CREATE TABLE file_list (
                 id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account varchar(32) NOT NULL DEFAULT '',
                 org varchar(100) NOT NULL, stream varchar(256) NOT NULL, date varchar(16) NOT NULL,
                 file varchar(496) NOT NULL, deleted boolean NOT NULL DEFAULT false,
                 flattened boolean NOT NULL DEFAULT false, min_ts bigint NOT NULL, max_ts bigint NOT NULL,
                 records bigint NOT NULL DEFAULT 0, original_size bigint NOT NULL DEFAULT 0,
                 compressed_size bigint NOT NULL, index_size bigint NOT NULL DEFAULT 0,
                 bloom_ver bigint NOT NULL DEFAULT 0, updated_at bigint NOT NULL DEFAULT 0,
                 UNIQUE (stream, date, file));
             CREATE ROLE {READER} LOGIN PASSWORD '{READER_PASSWORD}';
             GRANT SELECT ON file_list TO {READER}"
        ));
        cluster.require_passwords();
        Metadata {
            session,
            port: cluster.port(),
        }
    }

    /// What `metadata_url` of a server says.
    pub fn url(&self) -> String {
        format!("postgres://127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// Statements in the database.
    #[track_caller]
    pub fn exec(&mut self, sql: &str) {
        self.session.exec(sql);
    }

    /// An object goes live.
    #[track_caller]
    pub fn add(&mut self, object: &LiveObject<'_>) {
        let LiveObject {
            stream,
            date,
            file,
            times: (min, max),
            size,
        } = object;
        let org = stream.split('/').next().expect("an organization");
        self.exec(&format!(
            "INSERT INTO file_list (org, stream, date, file, min_ts, max_ts, compressed_size)
             VALUES ('{org}', '{stream}', '{date}', '{file}', {min}, {max}, {size})"
        ));
    }

    /// An object is merged away.
    #[track_caller]
    pub fn remove(&mut self, file: &str) {
        self.exec(&format!("DELETE FROM file_list WHERE file = '{file}'"));
    }
}
