//! Compares what the Ansible extractor says with the expected files beside a checkout (`oracle/`): used by the test over
//! the shared folder and by the program `ansible_score`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::topology::ansible::inventory::select;
use engine::topology::ansible::jinja::{Mode, Scope, Session};
use engine::topology::ansible::tree::Tree;
use engine::topology::ansible::value::Value;
use engine::topology::ansible::world::World;
use engine::topology::ansible::{Options, Report, extract};
use serde_json::Value as Json;

/// One line of a score: how many of how many, and what differs.
#[derive(Debug, Default)]
pub struct Score {
    pub file: String,
    pub what: &'static str,
    pub right: usize,
    pub total: usize,
    /// Edges or values that must not be: each is a failure by itself.
    pub forbidden: usize,
    pub notes: Vec<String>,
}

impl Score {
    pub fn ratio(&self) -> f64 {
        if self.total == 0 {
            1.0
        } else {
            self.right as f64 / self.total as f64
        }
    }

    fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    fn count(&mut self, right: bool, note: impl FnOnce() -> String) {
        self.total += 1;
        if right {
            self.right += 1;
        } else {
            self.note(note());
        }
    }
}

/// The checkouts below a folder: those with an `oracle` folder.
pub fn checkouts(folder: &Path) -> Vec<PathBuf> {
    let base = folder.join("ansible");
    let mut found: Vec<PathBuf> = fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("oracle").is_dir())
        .collect();
    found.sort();
    found
}

/// A checkout without its oracle.
pub fn read_tree(dir: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if !path.ends_with("oracle") && !path.ends_with(".git") {
                    open.push(path);
                }
            } else if let (Ok(bytes), Ok(name)) = (fs::read(&path), path.strip_prefix(dir)) {
                tree.insert(&name.to_string_lossy(), bytes)
                    .expect("a checkout within the limits");
            }
        }
    }
    tree
}

/// Scores of one checkout.
pub fn score(dir: &Path) -> Vec<Score> {
    let tree = Arc::new(read_tree(dir));
    let read =
        |name: &str| -> Option<Json> { serde_json::from_slice(&fs::read(dir.join("oracle").join(name)).ok()?).ok() };
    let edges = read("app_edges.expected.json");
    let texts = |json: &Json, key: &str| -> Vec<String> {
        match json.get(key) {
            Some(Json::String(one)) => vec![one.clone()],
            Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    let options = Options {
        inventories: edges.iter().flat_map(|edges| texts(edges, "inventory")).collect(),
        playbooks: edges.iter().flat_map(|edges| texts(edges, "playbooks")).collect(),
        ..Options::default()
    };
    let list = read("inventory.list.json").unwrap_or_default();
    let mut report = extract(&tree, &options).expect("a checkout that can be read");
    let world = pick(&report, &list);
    let Some(world) = world else {
        let note = format!("no inventory of {} has the expected hosts", report.worlds.len());
        return vec![Score {
            file: "inventory.list.json".into(),
            what: "inventory",
            total: 1,
            notes: vec![note],
            ..Score::default()
        }];
    };
    if report.worlds.len() > 1 {
        let path = world
            .inventory
            .hosts
            .values()
            .next()
            .map(|host| host.file.to_string())
            .unwrap_or_default();
        let one = Options {
            inventories: vec![path],
            ..options
        };
        report = extract(&tree, &one).expect("a checkout that can be read");
    }
    let mut scores = vec![groups(&world, &list), variables(&world, &list)];
    scores.extend(read("patterns.json").map(|patterns| host_patterns(&world, &patterns)));
    scores.extend(read("vars.resolved.json").map(|resolved| jinja(&world, &resolved)));
    if let Some(edges) = &edges {
        scores.push(application(&report, edges));
        scores.push(plays(&report, edges));
        scores.push(leaks(&report, edges));
    }
    scores
}

/// The inventory with the expected hosts.
fn pick(report: &Report, list: &Json) -> Option<Arc<World>> {
    let mut hosts: BTreeSet<String> = BTreeSet::new();
    for group in list.as_object().into_iter().flatten().map(|(_, group)| group) {
        hosts.extend(
            group
                .get("hosts")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .map(str::to_owned),
        );
    }
    let same = |world: &&Arc<World>| {
        world
            .inventory
            .hosts
            .keys()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>()
            == hosts
    };
    report.worlds.iter().find(same).cloned()
}

fn names(json: Option<&Json>) -> Vec<&str> {
    json.and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect()
}

fn groups(world: &World, list: &Json) -> Score {
    let mut score = Score {
        file: "inventory.list.json".into(),
        what: "groups",
        ..Score::default()
    };
    for (name, group) in list
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.as_str() != "_meta")
    {
        let ours = world.inventory.groups.get(name.as_str());
        let hosts: Vec<&str> = ours
            .iter()
            .flat_map(|group| group.hosts.iter().map(AsRef::as_ref))
            .collect();
        let children: Vec<&str> = ours
            .iter()
            .flat_map(|group| group.children.iter().map(AsRef::as_ref))
            .collect();
        // `--list` leaves out the hosts of `all` itself.
        let right = (name == "all" || hosts == names(group.get("hosts"))) && children == names(group.get("children"));
        score.count(right, || format!("{name}: {hosts:?} {children:?} expected {group}"));
    }
    for (name, group) in &world.inventory.groups {
        let empty = group.hosts.is_empty() && group.children.is_empty();
        if !empty && list.get(name.as_ref()).is_none() {
            score.count(false, || format!("{name} is not expected"));
        }
    }
    score
}

/// A variable as `ansible-inventory --list` writes it.
fn listed(value: &Value) -> Json {
    match value {
        Value::Unsafe(text) => serde_json::json!({ "__ansible_unsafe": text.as_ref() }),
        Value::List(list) => list.iter().map(listed).collect(),
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| (key.to_string(), listed(value)))
            .collect(),
        other => other.to_json(),
    }
}

fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn variables(world: &World, list: &Json) -> Score {
    let mut score = Score {
        file: "inventory.list.json".into(),
        what: "variables",
        ..Score::default()
    };
    let expected = list.pointer("/_meta/hostvars").and_then(Json::as_object);
    for (host, vars) in expected.into_iter().flatten() {
        let ours = world.vars.of(host);
        for (name, value) in vars.as_object().into_iter().flatten() {
            let found = ours.get(name.as_str()).map(listed);
            let right = found.as_ref().is_some_and(|found| same(found, value));
            score.count(right, || format!("{host} {name}: {found:?} expected {value}"));
        }
        for name in ours.keys().filter(|name| vars.get(name.as_ref()).is_none()) {
            score.count(false, || format!("{host} {name} is not expected"));
        }
    }
    score
}

fn host_patterns(world: &World, patterns: &Json) -> Score {
    let mut score = Score {
        file: "patterns.json".into(),
        what: "host patterns",
        ..Score::default()
    };
    for (pattern, expected) in patterns.as_object().into_iter().flatten() {
        let found = select(&world.inventory, &world.members, pattern).unwrap_or_default();
        let found: Vec<&str> = found.iter().map(AsRef::as_ref).collect();
        let expected = names(Some(expected));
        // The order of groups on one level differs between two runs of Ansible: sets are compared, and single hosts.
        let sorted = |list: &[&str]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let right = sorted(&found) == sorted(&expected) && found.len() == expected.len();
        score.count(right, || format!("{pattern}: {found:?} expected {expected:?}"));
    }
    score
}

fn jinja(world: &Arc<World>, resolved: &Json) -> Score {
    let mut score = Score {
        file: "vars.resolved.json".into(),
        what: "static Jinja2",
        ..Score::default()
    };
    let session = Session::new(world.clone(), Mode::Strict);
    for (host, vars) in resolved.get("hosts").and_then(Json::as_object).into_iter().flatten() {
        let scope = Scope::host(&session, &Arc::from(host.as_str()));
        let written = world.vars.of(host);
        for (name, entry) in vars.as_object().into_iter().flatten() {
            let found = written.get(name.as_str()).map(|value| session.eval(&scope, value));
            match (entry.get("value"), found) {
                (Some(expected), Some(Ok(value))) => {
                    let value = value.to_json();
                    score.count(same(&value, expected), || {
                        format!("{host} {name}: {value} expected {expected}")
                    });
                }
                (Some(_), found) => {
                    score.count(false, || format!("{host} {name}: {:?}", found.map(|found| found.err())))
                }
                (None, Some(Ok(_))) => {
                    score.forbidden += 1;
                    score.note(format!("{host} {name} has a value that Ansible has not: {entry}"));
                }
                (None, _) => {}
            }
        }
    }
    score
}

fn application(report: &Report, expected: &Json) -> Score {
    let mut score = Score {
        file: "app_edges.expected.json".into(),
        what: "application edges",
        ..Score::default()
    };
    let edges: Vec<_> = report
        .extracted
        .edges
        .iter()
        .filter(|edge| edge.relation == "DEPENDS_ON")
        .collect();
    let text = |json: &Json, key: &str| json.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    for entry in expected.get("must").and_then(Json::as_array).into_iter().flatten() {
        let (src, dst) = (text(entry, "src"), text(entry, "dst"));
        let found = edges.iter().find(|edge| edge.src == src && edge.dst == dst);
        score.count(found.is_some(), || format!("missing: {src} -> {dst}"));
        let port = entry.get("port").and_then(Json::as_u64).map(|port| port.to_string());
        let ours = found.and_then(|edge| edge.evidence.props.get("port").cloned());
        if found.is_some() && ours != port {
            score.note(format!("port of {src} -> {dst}: {ours:?} expected {port:?}"));
        }
        known.insert((src, dst));
    }
    for entry in expected.get("may").and_then(Json::as_array).into_iter().flatten() {
        known.insert((text(entry, "src"), text(entry, "dst")));
    }
    for pair in expected.get("must_not").and_then(Json::as_array).into_iter().flatten() {
        let pair = names(Some(pair));
        for edge in edges
            .iter()
            .filter(|edge| [edge.src.as_str(), edge.dst.as_str()] == pair.as_slice())
        {
            score.forbidden += 1;
            score.note(format!("must not be: {} -> {} {:?}", edge.src, edge.dst, edge.evidence));
        }
    }
    for edge in edges
        .iter()
        .filter(|edge| !known.contains(&(edge.src.clone(), edge.dst.clone())))
    {
        score.note(format!("not listed: {} -> {} {:?}", edge.src, edge.dst, edge.evidence));
    }
    score
}

fn plays(report: &Report, expected: &Json) -> Score {
    let mut score = Score {
        file: "app_edges.expected.json".into(),
        what: "plays",
        ..Score::default()
    };
    for entry in expected.get("plays").and_then(Json::as_array).into_iter().flatten() {
        let pattern = entry.get("pattern").and_then(Json::as_str).unwrap_or("");
        let right = report.plays.iter().any(|play| {
            let hosts: Vec<&str> = play.hosts.iter().map(AsRef::as_ref).collect();
            let roles: Vec<&str> = play.roles.iter().map(String::as_str).collect();
            play.pattern == pattern && hosts == names(entry.get("hosts")) && roles == names(entry.get("roles"))
        });
        score.count(right, || format!("play of {pattern}"));
    }
    score
}

/// Strings that must appear nowhere: as listed, in everything that the extractor gives out.
fn leaks(report: &Report, expected: &Json) -> Score {
    let mut score = Score {
        file: "app_edges.expected.json".into(),
        what: "no leaks",
        ..Score::default()
    };
    let out = format!("{:?} {:?}", report.extracted, report.plays);
    for secret in names(expected.get("must_not_leak")) {
        score.count(!out.contains(secret), || "a secret is given out".to_owned());
    }
    score
}

/// The share that must be right.
pub fn threshold(what: &str) -> f64 {
    match what {
        "variables" => 0.995,
        "static Jinja2" => 0.97,
        "application edges" => 0.9,
        _ => 1.0,
    }
}
