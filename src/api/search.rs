//! `oo_search()`: a question in OpenObserve's SQL.

use crate::api::records::{Records, interval};
use crate::backend::role::as_extension_owner;
use crate::error::{Error, Result, or_raise};
use crate::guc;
use crate::jobs::flow::Flow;
use crate::jobs::sources;
use crate::source::openobserve::search::{Question, search};
use crate::source::{Context, SourceConfig};
use engine::patterns::Masker;
use engine::record::Dataset;
use pgrx::JsonB;
use pgrx::prelude::*;

/// The hits of a question to a server of kind openobserve.
///
/// Not SECURITY DEFINER: the role in force asks with its own rights and its own user mapping, also where it is that of a
/// SQL job or of a function.
#[pg_extern(sql = "
CREATE FUNCTION oo_search(server text, type text, sql text, \"from\" timestamptz, \"to\" timestamptz, max_rows integer DEFAULT 10000)
    RETURNS SETOF jsonb
    LANGUAGE c VOLATILE ROWS 1000 SET search_path = pg_catalog, @extschema@, pg_temp
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn oo_search(
    server: Option<&str>,
    dataset: Option<&str>,
    sql: Option<&str>,
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
    max_rows: Option<i32>,
) -> SetOfIterator<'static, JsonB> {
    SetOfIterator::new(Records(or_raise(start(server, dataset, sql, from, to, max_rows))))
}

fn start(
    server: Option<&str>,
    dataset: Option<&str>,
    sql: Option<&str>,
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
    max_rows: Option<i32>,
) -> Result<Flow> {
    let server = server.unwrap_or_default().to_string();
    let question = Question {
        dataset: dataset.unwrap_or_default().parse::<Dataset>().map_err(|()| {
            wrong(
                format!("there are no records of type \"{}\"", dataset.unwrap_or("NULL")),
                "type is logs, metrics or traces.",
            )
        })?,
        sql: sql
            .filter(|sql| !sql.trim().is_empty())
            .map(str::to_string)
            .ok_or_else(|| wrong("the question is empty", "For example 'SELECT * FROM \"default\"'."))?,
        range: interval(from, to)?,
        max_rows: max_rows.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
            wrong(
                "max_rows must be a number that is not negative",
                "Leave it away for 10,000.",
            )
        })?,
    };
    // SAFETY: reads the role in force.
    let caller = unsafe { pg_sys::GetUserId() };
    let name = server.clone();
    let SourceConfig::OpenObserve(config) = as_extension_owner(|| sources::config(&name, caller))? else {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("server \"{server}\" is not of kind openobserve: it answers no SQL"),
            "Read the records of all kinds of sources with oo_stream(tenant, \"from\", \"to\").",
        ));
    };
    let (concurrency, http_timeout) = (guc::fetch_concurrency(), guc::http_timeout());
    Flow::start(move |cancel, sink| {
        let context = Context {
            cancel,
            concurrency,
            http_timeout,
            masker: Masker::new(),
        };
        search(&config, &server, &question, &context, &mut |hit| {
            sink.put(hit.to_string())
        })
    })
}

fn wrong(message: impl Into<String>, hint: &str) -> Error {
    Error::invalid(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message, hint)
}
