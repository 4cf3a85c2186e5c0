//! The options of a source of topology: which documents are read, as what, and what a load may do.

use super::Kind;
use crate::source::SourceError;
use crate::source::documents::Wanted;
use crate::source::pattern::Patterns;
use engine::topology::ansible::tree::normalize;
use engine::topology::{DEFAULT_NAMESPACE, Format};
use serde_json::Value;

/// The format that is found out.
const AUTO: &str = "auto";
/// Longest name of a source, as `topo_load` has it.
const MAX_NAME: usize = 200;
/// Longest document that extractors of single files read.
const LONGEST_DOCUMENT: usize = 128 << 20;
/// Longest file of a checkout that matters to Ansible's topology.
const LONGEST_FILE: usize = 32 << 20;
/// What is read of a folder where the options do not say.
const IAC_FILES: [&str; 4] = ["*.tfstate", "*.json", "*.yaml", "*.yml"];

/// What `etl_source.options` says.
#[derive(Clone, Debug, PartialEq)]
pub struct TopoOptions {
    /// The name of the source in `topo_edge_time`.
    pub source: String,
    pub wanted: Wanted,
    pub reading: Reading,
    /// The part of the edges that one load may lose, 0 to 1.
    pub shrink: f32,
    /// Every load is taken, also an empty one.
    pub accept_shrink: bool,
}

/// How documents become edges.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Each by itself.
    Documents {
        /// `None`: found out.
        format: Option<Format>,
        /// Of Kubernetes objects that name none.
        namespace: String,
    },
    /// All of them are one checkout. Empty lists: what is found.
    Ansible {
        inventories: Vec<String>,
        playbooks: Vec<String>,
    },
}

impl TopoOptions {
    /// Reads an options object such as `{"files": ["prod/*.tfstate", "!old/*"], "shrink": 0.2}`. `server` is the name of a
    /// source that has none of its own.
    ///
    /// # Errors
    /// `Config` for an unknown option or a value that its option cannot have, naming the valid ones.
    pub fn parse(kind: Kind, server: &str, options: &Value) -> Result<TopoOptions, SourceError> {
        let Value::Object(map) = options else {
            return Err(wrong(kind, "options", "a JSON object"));
        };
        let iac = kind == Kind::Iac;
        let mut files = if iac {
            IAC_FILES.map(String::from).to_vec()
        } else {
            vec!["*".into()]
        };
        let (mut folder, mut source) = (String::new(), server.to_string());
        let (mut format, mut namespace) = (None, DEFAULT_NAMESPACE.to_string());
        let (mut inventories, mut playbooks) = (Vec::new(), Vec::new());
        let (mut shrink, mut accept_shrink) = (0.5, false);
        for (key, value) in map {
            match (key.as_str(), iac) {
                ("files", _) => files = texts(kind, key, value)?,
                ("folder", _) => folder = path(kind, key, value)?,
                ("source", _) => source = text(kind, key, value)?,
                ("shrink", _) => shrink = part(kind, key, value)?,
                ("accept_shrink", _) => {
                    accept_shrink = value.as_bool().ok_or_else(|| wrong(kind, key, "true or false"))?;
                }
                ("format", true) => format = format_of(kind, key, value)?,
                ("namespace", true) => namespace = text(kind, key, value)?,
                ("inventories", false) => inventories = paths(kind, key, value)?,
                ("playbooks", false) => playbooks = paths(kind, key, value)?,
                _ => {
                    return Err(SourceError::config(
                        format!("unknown source option \"{key}\""),
                        valid(kind),
                    ));
                }
            }
        }
        if !(1..=MAX_NAME).contains(&source.len()) {
            return Err(wrong(kind, "source", &format!("a name of 1 to {MAX_NAME} bytes")));
        }
        Ok(TopoOptions {
            source,
            wanted: Wanted {
                files: Patterns::new(files),
                folder,
                longest: if iac { LONGEST_DOCUMENT } else { LONGEST_FILE },
                skip_longer: !iac,
            },
            reading: match kind {
                Kind::Iac => Reading::Documents { format, namespace },
                Kind::Ansible => Reading::Ansible { inventories, playbooks },
            },
            shrink,
            accept_shrink,
        })
    }
}

fn valid(kind: Kind) -> String {
    let own = match kind {
        Kind::Iac => "format, namespace",
        Kind::Ansible => "inventories, playbooks",
    };
    format!(
        "Valid options of {} are: files, folder, source, shrink, accept_shrink, {own}.",
        kind.job()
    )
}

fn wrong(kind: Kind, key: &str, expected: &str) -> SourceError {
    SourceError::config(format!("source option \"{key}\" must be {expected}"), valid(kind))
}

fn text(kind: Kind, key: &str, value: &Value) -> Result<String, SourceError> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_string)
        .ok_or_else(|| wrong(kind, key, "a text that is not empty"))
}

/// A list of texts, or one alone.
fn texts(kind: Kind, key: &str, value: &Value) -> Result<Vec<String>, SourceError> {
    let list = match value {
        Value::Array(items) => items
            .iter()
            .map(|item| text(kind, key, item))
            .collect::<Result<_, _>>()?,
        one => vec![text(kind, key, one)?],
    };
    if list.is_empty() {
        return Err(wrong(kind, key, "a list that is not empty"));
    }
    Ok(list)
}

fn path(kind: Kind, key: &str, value: &Value) -> Result<String, SourceError> {
    let path = text(kind, key, value)?;
    normalize("", &path)
        .filter(|_| !path.starts_with('/'))
        .ok_or_else(|| wrong(kind, key, "a path within the source"))
}

fn paths(kind: Kind, key: &str, value: &Value) -> Result<Vec<String>, SourceError> {
    match value {
        Value::Array(items) => items.iter().map(|item| path(kind, key, item)).collect(),
        one => Ok(vec![path(kind, key, one)?]),
    }
}

fn part(kind: Kind, key: &str, value: &Value) -> Result<f32, SourceError> {
    let part = value.as_f64().filter(|part| (0.0..=1.0).contains(part));
    part.map(|part| part as f32)
        .ok_or_else(|| wrong(kind, key, "a number between 0 and 1"))
}

fn format_of(kind: Kind, key: &str, value: &Value) -> Result<Option<Format>, SourceError> {
    let name = text(kind, key, value)?;
    if name == AUTO {
        return Ok(None);
    }
    Format::from_name(&name).map(Some).ok_or_else(|| {
        let known: Vec<&str> = Format::ALL.into_iter().map(Format::name).collect();
        SourceError::config(
            format!(
                "source option \"{key}\" cannot be \"{}\"",
                crate::source::error::excerpt(&name)
            ),
            format!(
                "Formats: {AUTO}, {}. Ansible is read by the job topo-ansible.",
                known.join(", ")
            ),
        )
    })
}
