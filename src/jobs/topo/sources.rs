//! The sources of a tenant's job of topology.

use super::Kind;
use super::options::TopoOptions;
use crate::error::{Error, Result};
use crate::guc;
use crate::jobs::sources;
use crate::source::{SourceConfig, documents};
use pgrx::JsonB;
use pgrx::prelude::*;
use std::time::Duration;

/// A source as its owner may use it.
#[derive(Clone, Debug)]
pub struct TopoSource {
    pub server: String,
    pub config: SourceConfig,
    pub options: TopoOptions,
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
    let options = TopoOptions::parse(kind, &server, &options.0)?;
    let config = sources::config(&server, owner)?;
    documents::check(&config).map_err(|mut e| {
        e.message = format!("server \"{server}\": {}", e.message);
        Error::from(e)
    })?;
    Ok(TopoSource {
        server,
        config,
        options,
    })
}
