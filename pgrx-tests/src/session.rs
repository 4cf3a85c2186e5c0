//! One connection, spoken to in SQL text: values come back as PostgreSQL prints them.

use postgres::{Client, NoTls, SimpleQueryMessage};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How NULL is shown in rows.
pub const NULL: &str = "<null>";

/// An open session. Its methods panic on an SQL error, naming the statement, unless they say otherwise.
pub struct Session {
    client: Client,
    notices: Arc<Mutex<Vec<String>>>,
}

/// What PostgreSQL said about a statement it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    pub sqlstate: String,
    pub message: String,
    pub detail: String,
    pub hint: String,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} / {} / {}",
            self.sqlstate, self.message, self.detail, self.hint
        )
    }
}

impl From<postgres::Error> for SqlError {
    fn from(e: postgres::Error) -> Self {
        match e.as_db_error() {
            Some(db) => SqlError {
                sqlstate: db.code().code().to_string(),
                message: db.message().to_string(),
                detail: db.detail().unwrap_or_default().to_string(),
                hint: db.hint().unwrap_or_default().to_string(),
            },
            // The connection itself is gone.
            None => SqlError {
                sqlstate: "08006".into(),
                message: e.to_string(),
                detail: String::new(),
                hint: String::new(),
            },
        }
    }
}

impl Session {
    /// Connects over the cluster's socket.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub fn open(socket: &Path, port: u16, user: &str, database: &str) -> Result<Session, SqlError> {
        let mut config = Client::configure();
        config
            .host_path(socket)
            .port(port)
            .user(user)
            .dbname(database)
            .application_name("blackbox");
        let notices = Arc::<Mutex<Vec<String>>>::default();
        let said = notices.clone();
        config.notice_callback(move |notice| {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push(format!("{}: {}", notice.severity(), notice.message()));
        });
        Ok(Session {
            client: config.connect(NoTls)?,
            notices,
        })
    }

    /// What the server said beside its answers since the last call, as `SEVERITY: message`.
    pub fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The rows of the last statement that returned any; each value as text, NULL as [`NULL`].
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn try_rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>, SqlError> {
        let mut rows = Vec::new();
        for message in self.client.simple_query(sql)? {
            match message {
                SimpleQueryMessage::RowDescription(_) => rows.clear(),
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|i| row.get(i).unwrap_or(NULL).to_string()).collect());
                }
                _ => {}
            }
        }
        Ok(rows)
    }

    /// [`Session::try_rows`] of statements that must succeed.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        match self.try_rows(sql) {
            Ok(rows) => rows,
            Err(e) => panic!("{e}\nin: {sql}"),
        }
    }

    /// Runs statements for their effect.
    #[track_caller]
    pub fn exec(&mut self, sql: &str) {
        self.rows(sql);
    }

    /// The first column of the only row.
    #[track_caller]
    pub fn text(&mut self, sql: &str) -> String {
        let rows = self.rows(sql);
        match rows.as_slice() {
            [row] if !row.is_empty() => row[0].clone(),
            _ => panic!("one row was expected, not {rows:?}\nfrom: {sql}"),
        }
    }

    /// [`Session::text`] as a number.
    #[track_caller]
    pub fn int(&mut self, sql: &str) -> i64 {
        let text = self.text(sql);
        text.parse()
            .unwrap_or_else(|_| panic!("a number was expected, not {text}\nfrom: {sql}"))
    }

    /// [`Session::text`] as a boolean.
    #[track_caller]
    pub fn is(&mut self, sql: &str) -> bool {
        match self.text(sql).as_str() {
            "t" => true,
            "f" => false,
            other => panic!("a boolean was expected, not {other}\nfrom: {sql}"),
        }
    }

    /// [`Session::text`] as JSON; SQL NULL as JSON null.
    #[track_caller]
    pub fn json(&mut self, sql: &str) -> Value {
        let text = self.text(sql);
        if text == NULL {
            return Value::Null;
        }
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}\nfrom: {sql}"))
    }

    /// The first column of all rows.
    #[track_caller]
    pub fn column(&mut self, sql: &str) -> Vec<String> {
        self.rows(sql).into_iter().map(|mut row| row.swap_remove(0)).collect()
    }

    /// The error of a statement that must be refused.
    #[track_caller]
    pub fn refused(&mut self, sql: &str) -> SqlError {
        match self.try_rows(sql) {
            Ok(rows) => panic!("this was to be refused, but returned {rows:?}: {sql}"),
            Err(e) => e,
        }
    }

    /// The process id of the backend.
    #[track_caller]
    pub fn pid(&mut self) -> i64 {
        self.int("SELECT pg_backend_pid()")
    }
}
