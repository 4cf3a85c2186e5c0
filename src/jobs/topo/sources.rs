//! The sources of a tenant's job of topology.

use super::Kind;
use super::options::TopoOptions;
use crate::backend::sql;
use crate::error::{Error, Result};
use crate::guc;
use crate::jobs::sources;
use crate::source::SourceConfig;
use crate::source::documents::{self, Validator, WebConfig};
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// A source as its owner may use it.
#[derive(Clone, Debug)]
pub struct TopoSource {
    pub server: String,
    pub config: SourceConfig,
    pub options: TopoOptions,
    /// A hash of all that decides what a document is read as: the address, the options, and this version.
    pub reading: i64,
    /// The validator of the document that is loaded, if the next one may be told by it.
    pub known: Option<Validator>,
}

/// Everything that reading needs, as plain data for the helper thread.
pub struct Plan {
    pub sources: Vec<TopoSource>,
    pub concurrency: usize,
    pub http_timeout: Duration,
}

/// The enabled sources of a tenant's job, in the order of their ids.
///
/// # Errors
/// Options or servers that cannot be used.
pub fn plan(tenant: i64, kind: Kind) -> Result<Plan> {
    Ok(Plan {
        sources: sources::rows(tenant, kind.job())?
            .into_iter()
            .map(|(_, server, options, owner)| source(kind, server, &options, owner))
            .collect::<Result<_>>()?,
        concurrency: guc::fetch_concurrency(),
        http_timeout: guc::http_timeout(),
    })
}

/// A source as `owner` may use it.
///
/// # Errors
/// As [`plan`].
pub fn source(kind: Kind, server: String, options: &JsonB, owner: pg_sys::Oid) -> Result<TopoSource> {
    let read_as = TopoOptions::parse(kind, &server, &options.0)?;
    let config = sources::config(&server, owner)?;
    documents::check(&config).map_err(|mut e| {
        e.message = format!("server \"{server}\": {}", e.message);
        Error::from(e)
    })?;
    let reading = match &config {
        SourceConfig::Web(web) => reading(kind, web, &options.0),
        _ => 0,
    };
    Ok(TopoSource {
        server,
        config,
        options: read_as,
        reading,
        known: None,
    })
}

fn reading(kind: Kind, web: &WebConfig, options: &Value) -> i64 {
    let all = json!([env!("CARGO_PKG_VERSION"), kind.job(), web.url, options]);
    xxh3_64(all.to_string().as_bytes()) as i64
}

/// The next run of the job reads all of its documents, modified or not.
pub fn forget(tenant: i64, kind: Kind) -> Result<()> {
    sql::update(
        "SELECT topo_sources_forget($1, $2)",
        &[tenant.into(), kind.job().into()],
        |_| Ok(()),
    )
}

/// What the newest load of the source left to ask its server by; `None` if anything but the document may be another now.
///
/// # Errors
/// What is kept cannot be read.
pub fn known(tenant: i64, source: &TopoSource) -> Result<Option<Validator>> {
    let kept: Option<JsonB> = sql::select(
        "SELECT topo_source_known($1, $2, $3)",
        &[
            tenant.into(),
            source.options.source.as_str().into(),
            source.reading.into(),
        ],
        |rows| Ok(rows.first().get_one()?),
    )?;
    kept.map(|kept| serde_json::from_value(kept.0).map_err(|e| Error::Internal(e.to_string())))
        .transpose()
}
