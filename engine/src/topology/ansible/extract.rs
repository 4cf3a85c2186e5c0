//! The extraction: a checkout in, edges out.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::discover::{discover, playbook_dir};
use super::endpoints::edges_of;
use super::playbook::{PlaySummary, Site, Walk, load};
use super::tree::Tree;
use super::world::World;
use crate::topology::{Class, Edge, Evidence, Extracted, Reason, TopologyError, Unresolved, relation};
use crate::urn::Resource;

/// What to read. Empty lists mean: whatever [`discover`] finds.
#[derive(Clone, Debug)]
pub struct Options {
    /// What stands for the tree's root in paths such as `playbook_dir`.
    pub root: String,
    /// Inventories: files or folders.
    pub inventories: Vec<String>,
    pub playbooks: Vec<String>,
    /// Set by another thread when nobody wants the result any more: what is left counts as beyond the limits.
    pub stop: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            root: "<root>".to_owned(),
            inventories: Vec::new(),
            playbooks: Vec::new(),
            stop: Arc::default(),
        }
    }
}

/// What a checkout says.
#[derive(Debug, Default)]
pub struct Report {
    pub extracted: Extracted,
    /// The inventories that were read, with their variables.
    pub worlds: Vec<Arc<World>>,
    pub plays: Vec<PlaySummary>,
}

/// Reads a checkout. An inventory that is named and cannot be read is an error; one that was found is reported.
///
/// Edges: group `CONTAINS` group or host; `role:<name>` `RUNS_ON` host; host `DEPENDS_ON` host, or group on group where hosts
/// share an address. Identifiers are inventory names.
pub fn extract(tree: &Arc<Tree>, options: &Options) -> Result<Report, TopologyError> {
    let mut options = options.clone();
    let mut unresolved = Vec::new();
    let named = !options.inventories.is_empty();
    if !named || options.playbooks.is_empty() {
        let found = discover(tree);
        unresolved.extend(found.broken.iter().map(|path| broken(path, "YAML")));
        if !named {
            options.inventories = found.inventories;
        }
        if options.playbooks.is_empty() {
            options.playbooks = found.playbooks;
        }
    }
    let dir = playbook_dir(&options.playbooks).to_owned();
    let mut report = Report::default();
    let mut edges = Vec::new();
    for inventory in &options.inventories {
        match World::load(tree, &options.root, inventory, &dir, &mut unresolved) {
            Ok(world) => one(
                &Arc::new(world.stopped_by(&options.stop)),
                &options.playbooks,
                &mut edges,
                &mut unresolved,
                &mut report,
            ),
            Err(error) if named => return Err(error),
            Err(_) => unresolved.push(broken(inventory, "inventory")),
        }
    }
    report.extracted = Extracted::new(edges, unresolved);
    Ok(report)
}

fn broken(path: &str, what: &str) -> Unresolved {
    Unresolved {
        src: path.to_owned(),
        reference: what.to_owned(),
        reason: Reason::Broken,
        at: None,
    }
}

fn one(
    world: &Arc<World>,
    playbooks: &[String],
    edges: &mut Vec<Edge>,
    unresolved: &mut Vec<Unresolved>,
    report: &mut Report,
) {
    contains(world, edges);
    let mut found = Vec::new();
    let mut sink = |site: Site| found.extend(edges_of(world, &site));
    let mut walk = Walk::new(world, &mut sink);
    walk.inventory_variables();
    for playbook in playbooks {
        for play in load(&world.tree, playbook, unresolved) {
            walk.play(&play);
        }
    }
    let (plays, more) = walk.finish();
    edges.extend(found);
    unresolved.extend(more);
    for play in &plays {
        for role in &play.roles {
            for host in &play.hosts {
                let mut edge = Edge::new(
                    format!("role:{role}"),
                    relation::RUNS_ON,
                    host.as_ref(),
                    Evidence::at(Class::Declared, play.file.as_ref()),
                );
                edge.evidence.conditional = play.conditional;
                edge.dst_urn = Some(Resource::host(host).urn);
                edges.push(edge);
            }
        }
    }
    for play in plays {
        if !report.plays.contains(&play) {
            report.plays.push(play);
        }
    }
    report.worlds.push(world.clone());
}

fn contains(world: &World, edges: &mut Vec<Edge>) {
    for (name, group) in &world.inventory.groups {
        let children = group.children.iter().map(|child| (child, "group"));
        let hosts = group.hosts.iter().map(|host| (host, "host"));
        for (member, kind) in children.chain(hosts) {
            let mut evidence = Evidence::new(Class::Declared);
            evidence.props.insert("member", kind.to_owned());
            let mut edge = Edge::new(name.as_ref(), relation::CONTAINS, member.as_ref(), evidence);
            if kind == "host" {
                edge.dst_urn = Some(Resource::host(member).urn);
            }
            edges.push(edge);
        }
    }
}
