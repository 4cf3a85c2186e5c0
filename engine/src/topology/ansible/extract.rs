//! The extraction: a checkout in, edges out.

use indexmap::IndexSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::discover::{choose, discover, playbook_dir};
use super::endpoints::edges_of;
use super::playbook::{PlaySummary, Site, Walk, load};
use super::tree::Tree;
use super::world::World;
use crate::topology::{Class, Edge, Evidence, Extracted, Reason, TopologyError, Unresolved, relation};
use crate::urn::Resource;

/// What to read. Empty lists mean: whatever [`discover`] finds; of inventories those that `ansible.cfg` names, if it does.
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
    /// What plays cover, in order; what several inventories say alike, once. Edges do without it: it is there to be checked.
    pub plays: IndexSet<PlaySummary>,
}

/// Reads a checkout. An inventory that is named and cannot be read is an error; one that was found is reported.
///
/// Edges: group `CONTAINS` group or host; `role:<name>` `RUNS_ON` host, unless a condition says no; host `DEPENDS_ON` host, or group on group where hosts
/// share an address. Identifiers are inventory names.
pub fn extract(tree: &Arc<Tree>, options: &Options) -> Result<Report, TopologyError> {
    let mut options = options.clone();
    let mut unresolved = Vec::new();
    let named = !options.inventories.is_empty();
    let mut inventories = None;
    if !named || options.playbooks.is_empty() {
        let found = discover(tree);
        unresolved.extend(found.broken.iter().map(|path| broken(path, "YAML")));
        inventories = (!named).then_some((found.inventories, found.withheld));
        if options.playbooks.is_empty() {
            options.playbooks = found.playbooks;
        }
    }
    let dir = playbook_dir(&options.playbooks).to_owned();
    if let Some((found, withheld)) = inventories {
        options.inventories = choose(tree, &dir, found, withheld, &mut unresolved);
    }
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
    let identities = report.worlds.iter().flat_map(|world| world.identities()).collect();
    report.extracted = Extracted::new(edges, unresolved).known_as(identities);
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
    for ((role, host), evidence) in std::mem::take(&mut walk.runs_on) {
        let mut edge = Edge::new(format!("role:{role}"), relation::RUNS_ON, host.as_ref(), evidence);
        edge.dst_urn = Some(Resource::host(&host).urn);
        edges.push(edge);
    }
    let (plays, more) = walk.finish();
    edges.extend(found);
    unresolved.extend(more);
    report.plays.extend(plays);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_by_the_addresses_at_which_they_are_reached() {
        let inventory = "[web]
w1 ansible_host=10.0.0.1
w2 ansible_ssh_host=w2.example.com ansible_port=22
w3 ansible_host=203.0.113.5 ansible_port=2222
w4 ansible_host=container ansible_connection=docker
w5 ansible_host=\"{{ made }}\"
10.0.0.6
localhost ansible_connection=local
w8 ansible_host=127.0.0.1
w9 ansible_host=10.0.0.9 ansible_connection=ssh ansible_port='{{ port }}'
";
        let mut tree = Tree::new();
        tree.insert("hosts", inventory.as_bytes().to_vec()).unwrap();
        let found = extract(&Arc::new(tree), &Options::default()).unwrap().extracted;
        let others = found
            .identities
            .iter()
            .filter(|known| known.urn.as_deref() != Some(known.known_as.as_str()));
        assert_eq!(
            others
                .map(|known| format!("{} {}", known.thing, known.known_as))
                .collect::<Vec<_>>(),
            ["w1 urn:host:10.0.0.1", "w2 urn:host:w2.example.com"]
        );
        assert_eq!(found.identities.len(), 9 + 2, "each by its own name, too");
    }

    const TASKS: &str = "- debug: {msg: x}\n";

    #[test]
    fn roles_run_where_their_conditions_let_them() {
        let play = r#"
- hosts: web
  roles:
    - app
    - {role: front, when: tier == 'front'}
    - {role: debian, when: ansible_os_family == 'Debian'}
    - "{{ env }}-web"
    - galaxy.nginx
  tasks:
    - include_role: {name: extra}
      loop: [1, 2]
    - import_role: {name: late}
      when: tier != 'front'
    - include_role: {name: "{{ made_while_running }}"}
"#;
        let mut tree = Tree::new();
        for (path, text) in [
            ("hosts", "[web]\nw1 tier=front\nw2 tier=back\n"),
            ("site.yml", play),
            (
                "roles/app/meta/main.yml",
                "dependencies: [base, {role: docker, when: tier == 'back'}]\n",
            ),
            ("roles/app/tasks/main.yml", TASKS),
            ("roles/base/tasks/main.yml", TASKS),
            ("roles/front/tasks/main.yml", TASKS),
            ("roles/front/meta/main.yml", "dependencies: [shared]\n"),
            ("roles/debian/meta/main.yml", "dependencies: [shared, debian]\n"),
            ("roles/shared/tasks/main.yml", TASKS),
            ("roles/debian/tasks/main.yml", TASKS),
            ("roles/extra/tasks/main.yml", TASKS),
            ("roles/late/tasks/main.yml", TASKS),
        ] {
            tree.insert(path, text.as_bytes().to_vec()).unwrap();
        }
        let found = extract(&Arc::new(tree), &Options::default()).unwrap().extracted;
        let edges = found.edges.iter().filter(|e| e.relation == relation::RUNS_ON);
        let told = edges.map(|e| format!("{} {}{}", e.src, e.dst, if e.evidence.conditional { "?" } else { "" }));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "role:app w1",
                "role:app w2",
                "role:base w1",
                "role:base w2",
                "role:debian w1?",
                "role:debian w2?",
                "role:docker w2",
                "role:extra w1",
                "role:extra w2",
                "role:front w1",
                "role:galaxy.nginx w1",
                "role:galaxy.nginx w2",
                "role:late w2",
                // Two roles need it, each under its own condition.
                "role:shared w1",
                "role:shared w2?",
            ]
        );
        let dynamic = found.unresolved.iter().filter(|u| u.reason == Reason::Dynamic);
        assert_eq!(
            dynamic.map(|u| u.reference.as_str()).collect::<Vec<_>>(),
            ["include_role", "role"]
        );
    }
}
