//! From the documents of one source to its edges.

use super::edges::Edges;
use super::identities::Identities;
use super::options::Reading;
use super::snapshot::{Found, Open, Snapshot};
use super::sources::TopoSource;
use crate::error::Result;
use crate::source::documents::{Document, Gathered};
use engine::topology::ansible::{self, tree::Tree};
use engine::topology::{Extracted, Format, Reason, TopologyError, extract_in};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The format of a checkout.
const ANSIBLE: &str = "ansible";
/// What stands for all documents in messages.
const ALL: &str = "*";

/// Takes the documents of a source one after the other. Most are done with at once; manifests of Kubernetes refer to each
/// other, and a checkout is one thing: those are kept to the end.
pub struct Extractor<'a> {
    source: &'a TopoSource,
    edges: Edges,
    identities: Identities,
    open: Open,
    found: Vec<Found>,
    manifests: Vec<Vec<u8>>,
    tree: Tree,
    /// The edges of a manifest that is the only one.
    only: Option<Extracted>,
}

impl<'a> Extractor<'a> {
    pub fn new(source: &'a TopoSource) -> Self {
        Extractor {
            source,
            edges: Edges::new(),
            identities: Identities::new(),
            open: Open::default(),
            found: Vec::new(),
            manifests: Vec::new(),
            tree: Tree::new(),
            only: None,
        }
    }

    /// Takes a document. One that cannot be read is noted.
    ///
    /// # Errors
    /// Only those the code rules out.
    pub fn document(&mut self, document: Document) -> Result<()> {
        let Document { path, alone, content } = document;
        let (format, namespace) = match &self.source.options.reading {
            Reading::Ansible { .. } => {
                let inserted = self.tree.insert(&path, content);
                let nothing = Extracted::default();
                self.note(path, Some(ANSIBLE), inserted.map(|()| &nothing));
                return Ok(());
            }
            Reading::Documents { format, namespace } => (*format, namespace.as_str()),
        };
        let format = match format.map_or_else(|| Format::detect(&content), Ok) {
            Ok(format) => format,
            Err(e) => {
                self.note(path, None, Err(e));
                return Ok(());
            }
        };
        let extracted = match extract_in(&content, format, namespace) {
            Ok(extracted) => extracted,
            Err(e) => {
                self.note(path, Some(format.name()), Err(e));
                return Ok(());
            }
        };
        self.note(path.clone(), Some(format.name()), Ok(&extracted));
        if format == Format::Kubernetes {
            self.manifests.push(content);
            self.only = Some(extracted);
            return Ok(());
        }
        self.open.add(&path, &extracted.unresolved);
        let source = &self.source.options.source;
        let scope = match alone || !is_local(format) {
            true => source.clone(),
            false => format!("{source}/{path}"),
        };
        self.identities.add(extracted.identities, &scope)?;
        self.edges.add(extracted.edges, &scope)
    }

    /// Everything that the source declares; less, which nobody may use, once `stop` is set.
    ///
    /// # Errors
    /// Only those the code rules out.
    pub fn finish(mut self, gathered: Gathered, stop: &Arc<AtomicBool>) -> Result<Snapshot> {
        let whole = match &self.source.options.reading {
            Reading::Ansible { inventories, playbooks } => {
                let tree = Arc::new(std::mem::take(&mut self.tree));
                let options = ansible::Options {
                    inventories: inventories.clone(),
                    playbooks: playbooks.clone(),
                    stop: stop.clone(),
                    ..ansible::Options::default()
                };
                self.checkout(ansible::extract(&tree, &options).map(|report| report.extracted))
            }
            Reading::Documents { namespace, .. } if self.manifests.len() > 1 => {
                self.only = None;
                let joined = join(std::mem::take(&mut self.manifests));
                match extract_in(&joined, Format::Kubernetes, namespace) {
                    Ok(extracted) => Some(extracted),
                    Err(e) => {
                        self.note(ALL.to_string(), Some(Format::Kubernetes.name()), Err(e));
                        None
                    }
                }
            }
            Reading::Documents { .. } => self.only.take(),
        };
        if let Some(extracted) = whole {
            self.open.add(ALL, &extracted.unresolved);
            self.identities.add(extracted.identities, &self.source.options.source)?;
            self.edges.add(extracted.edges, &self.source.options.source)?;
        }
        Ok(Snapshot {
            server: self.source.server.clone(),
            options: self.source.options.clone(),
            reading: self.source.reading,
            documents: self.found,
            edges: self.edges,
            identities: self.identities,
            open: self.open,
            gathered,
        })
    }

    /// A checkout: its files say by themselves what is broken.
    fn checkout(&mut self, extracted: std::result::Result<Extracted, TopologyError>) -> Option<Extracted> {
        if self.found.is_empty() {
            return None;
        }
        match extracted {
            Ok(extracted) => {
                for unresolved in extracted.unresolved.iter().filter(|u| u.reason == Reason::Broken) {
                    let file = self.found.iter_mut().find(|found| found.path == unresolved.src);
                    if let Some(file) = file.filter(|file| file.error.is_none()) {
                        file.error = Some((
                            format!("it is no {} that can be read", unresolved.reference),
                            "Correct the file, leave it out, or name what counts in the options \"inventories\" and \"playbooks\".",
                        ));
                    }
                }
                Some(extracted)
            }
            Err(e) => {
                self.note(ALL.to_string(), Some(ANSIBLE), Err(e));
                None
            }
        }
    }

    fn note(
        &mut self,
        path: String,
        format: Option<&'static str>,
        outcome: std::result::Result<&Extracted, TopologyError>,
    ) {
        let (edges, unresolved, error) = match outcome {
            Ok(extracted) => (extracted.edges.len(), extracted.unresolved.len(), None),
            Err(e) => (0, 0, Some((e.to_string(), e.hint()))),
        };
        self.found.push(Found {
            path,
            format,
            edges: edges as u64,
            unresolved: unresolved as u64,
            error,
        });
    }
}

/// Whether identifiers mean something within their own document only.
fn is_local(format: Format) -> bool {
    match format {
        Format::TerraformState
        | Format::TerraformShow
        | Format::TerraformPlan
        | Format::TerraformGraph
        | Format::CloudFormation => true,
        Format::Pulumi | Format::Aws | Format::Aliyun | Format::Kubernetes => false,
    }
}

/// Manifests as one: JSON objects follow each other, YAML documents have a line between them, and JSON is YAML.
fn join(manifests: Vec<Vec<u8>>) -> Vec<u8> {
    let is_json =
        |text: &Vec<u8>| text.trim_ascii_start().starts_with(b"{") || text.trim_ascii_start().starts_with(b"[");
    let separator: &[u8] = if manifests.iter().all(is_json) {
        b"\n"
    } else {
        b"\n---\n"
    };
    manifests.join(separator)
}
