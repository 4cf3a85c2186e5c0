//! `topo_extract()`, `topo_unresolved()` and `topo_identities()`: the extractors of the engine, from SQL; and the names of what they find.

use crate::backend::json::{self, without_nul};
use crate::error::{Error, Result, or_raise};
use crate::jobs::fetch;
use engine::topology::ansible::{self, tree::Tree};
use engine::topology::{Extracted, Format, TopologyError, extract};
use engine::urn;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The format that is no single file: a JSON object of paths and contents.
const ANSIBLE: &str = "ansible";
/// The format that is found out.
const AUTO: &str = "auto";

/// The edges that `content` declares. Nothing is stored.
#[allow(
    clippy::type_complexity,
    reason = "the columns of the result, which the macro reads from the signature"
)]
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_extract(
    content: &str,
    format: default!(&str, "'auto'"),
) -> TableIterator<
    'static,
    (
        name!(src, String),
        name!(dst, String),
        name!(relation, String),
        name!(src_urn, Option<String>),
        name!(dst_urn, Option<String>),
        name!(evidence, JsonB),
    ),
> {
    let found = or_raise(read(content, format));
    TableIterator::new(found.edges.into_iter().map(|edge| {
        (
            without_nul(edge.src),
            without_nul(edge.dst),
            edge.relation.to_owned(),
            edge.src_urn.map(without_nul),
            edge.dst_urn.map(without_nul),
            or_raise(jsonb(&edge.evidence)),
        )
    }))
}

/// What `content` refers to and does not say. `what` is the reference, `why` the reason.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_unresolved(
    content: &str,
    format: default!(&str, "'auto'"),
) -> TableIterator<'static, (name!(what, String), name!(why, String), name!(evidence, JsonB))> {
    let found = or_raise(read(content, format));
    TableIterator::new(found.unresolved.into_iter().map(|unresolved| {
        let evidence = or_raise(jsonb(&unresolved));
        let why = evidence.0.get("reason").and_then(Value::as_str).unwrap_or_default();
        (without_nul(unresolved.reference), why.to_owned(), evidence)
    }))
}

/// What the things of `content` are known as beside their names. Nothing is stored.
#[allow(
    clippy::type_complexity,
    reason = "the columns of the result, which the macro reads from the signature"
)]
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_identities(
    content: &str,
    format: default!(&str, "'auto'"),
) -> TableIterator<
    'static,
    (
        name!(thing, String),
        name!(urn, Option<String>),
        name!(role, String),
        name!(known_as, String),
    ),
> {
    let found = or_raise(read(content, format));
    TableIterator::new(found.identities.into_iter().map(|identity| {
        (
            without_nul(identity.thing),
            identity.urn.map(without_nul),
            identity.role.name().to_owned(),
            without_nul(identity.known_as),
        )
    }))
}

/// The URN of an end of an edge: what begins with `urn:` is one, all else is a name within the source.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_urn(identifier: &str, source: &str) -> String {
    if identifier.starts_with("urn:") {
        identifier.to_owned()
    } else {
        urn::in_source(source, identifier)
    }
}

/// `dim_resource.type` of a URN.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_urn_type(urn: &str) -> String {
    urn::describe(urn).0
}

/// `dim_resource.name` of a URN.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_urn_name(urn: &str) -> String {
    urn::describe(urn).1
}

/// The URN under which calls would show a resource; NULL for what calls nobody.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_caller(urn: &str) -> Option<String> {
    urn::caller(urn).map(|urn| urn.into_owned())
}

/// On a thread of its own: the statement can be cancelled, and memory has its bound.
fn read(content: &str, format: &str) -> Result<Extracted> {
    let (content, format) = (content.to_owned(), format.to_owned());
    let found = fetch::evaluate_in_background("topo_extract", Duration::MAX, move |stop| {
        read_here(&content, &format, stop)
    });
    match found {
        Err(error @ Error::OutOfBudget { .. }) => Err(Error::Invalid {
            sqlstate: PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            message: "reading the input takes more memory than it may".to_string(),
            detail: error.detail(),
            hint: Some(
                "Raise observe_bridge.worker_memory_limit, or split the input. The connection may still hold what was used: connect anew if calls go on to fail."
                    .to_string(),
            ),
        }),
        other => other?,
    }
}

fn read_here(content: &str, format: &str, stop: Arc<AtomicBool>) -> Result<Extracted> {
    let named = match format {
        ANSIBLE => return read_tree(content, stop),
        AUTO => Format::detect(content.as_bytes()).map_err(refused)?,
        name => Format::from_name(name).ok_or_else(|| unknown_format(name))?,
    };
    extract(content.as_bytes(), named).map_err(refused)
}

fn read_tree(content: &str, stop: Arc<AtomicBool>) -> Result<Extracted> {
    let files: BTreeMap<String, String> = serde_json::from_str(content).map_err(|error| Error::Invalid {
        sqlstate: PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
        message: "ansible: not a JSON object of paths and contents".to_string(),
        // Of the error its place only: its text quotes the input.
        detail: Some(format!("Line {}, column {}.", error.line(), error.column())),
        hint: Some(
            "Give {\"inventory/hosts\": \"...\", \"site.yml\": \"...\"}: every file of the checkout as text."
                .to_string(),
        ),
    })?;
    let mut tree = Tree::new();
    for (path, text) in files {
        tree.insert(&path, text.into_bytes()).map_err(refused)?;
    }
    let options = ansible::Options {
        stop,
        ..ansible::Options::default()
    };
    let report = ansible::extract(&Arc::new(tree), &options).map_err(refused)?;
    Ok(report.extracted)
}

/// The name is told only where it looks like one: with the arguments swapped it is a document, secrets and all.
fn unknown_format(name: &str) -> Error {
    let is_name = name.len() <= 30
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let message = match is_name {
        true => format!("there is no topology format \"{name}\""),
        false => "the format is not the name of one".to_string(),
    };
    let known: Vec<&str> = [AUTO, ANSIBLE]
        .into_iter()
        .chain(Format::ALL.into_iter().map(Format::name))
        .collect();
    Error::invalid(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        message,
        format!("The content comes first, then its format: {}.", known.join(", ")),
    )
}

/// The engine's errors name places and limits, never content.
fn refused(error: TopologyError) -> Error {
    let sqlstate = match error {
        TopologyError::UnknownFormat(_) => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        TopologyError::Unsupported { .. } => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        TopologyError::Syntax { .. } | TopologyError::NotUtf8 { .. } => {
            PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION
        }
        TopologyError::Limit { .. } => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
    };
    Error::invalid(sqlstate, error.to_string(), error.hint())
}

fn jsonb(value: &impl Serialize) -> Result<JsonB> {
    let value = serde_json::to_value(value).map_err(|e| Error::Internal(e.to_string()))?;
    Ok(json::jsonb(value))
}
