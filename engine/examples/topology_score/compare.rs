//! What is compared for each format. The README beside the files says what the fields of the expected files mean.

use std::collections::{BTreeMap, BTreeSet};

use engine::topology::{Edge, Extracted, Format, Reason, extract_in, relation};
use serde_json::Value;

use super::score::Line;

/// Adds the comparisons of one file. Thresholds: equal sets, but 0.98 for direct Terraform edges and 0.95 for edges
/// between applications.
pub fn compare(file: &str, content: &[u8], format: Format, expected: &Value, found: &Extracted, lines: &mut Vec<Line>) {
    let mut add = |what, least, expected: &BTreeSet<String>, found: &BTreeSet<String>| {
        lines.push(Line::compare(file, what, least, expected, found));
    };
    match format {
        Format::TerraformState | Format::TerraformShow => terraform_state(content, expected, found, &mut add),
        Format::TerraformPlan => {
            let class = |e: &Edge| {
                let class = serde_json::to_value(e.evidence.class).unwrap_or_default();
                format!("{} {} {}", e.src, e.dst, class.as_str().unwrap_or_default())
            };
            add(
                "references",
                1.0,
                &rows(expected, "edges", 3),
                &found.edges.iter().map(class).collect(),
            );
            let locals = found.unresolved.iter().filter(|u| u.reason == Reason::Local);
            let locals = locals.map(|u| u.reference.clone()).collect();
            add("locals", 1.0, &rows(expected, "unresolved_locals", 1), &locals);
        }
        Format::Pulumi => {
            add(
                "depends",
                1.0,
                &rows(expected, "edges_depends", 2),
                &pairs(found, relation::DEPENDS_ON),
            );
            add(
                "parents",
                1.0,
                &rows(expected, "edges_parent", 2),
                &pairs(found, relation::PART_OF),
            );
            let depends = found.edges.iter().filter(|e| e.relation == relation::DEPENDS_ON);
            let row = |e: &Edge, at: &String| format!("{} {at} {}", e.src, e.dst);
            let properties = depends
                .flat_map(|e| e.evidence.at.iter().map(move |at| row(e, at)))
                .collect();
            add("properties", 1.0, &rows(expected, "edges_property", 3), &properties);
        }
        Format::CloudFormation => {
            add(
                "edges",
                1.0,
                &rows(expected, "edges", 2),
                &pairs(found, relation::DEPENDS_ON),
            );
            let functions = found.edges.iter().flat_map(|e| {
                let places = move |name: &&str| {
                    e.evidence
                        .at
                        .iter()
                        .any(|at| at.split(['.', '[']).any(|part| part == *name))
                };
                let named = ["Ref", "Fn::GetAtt", "Fn::Sub", "DependsOn"].into_iter().filter(places);
                named.map(move |name| format!("{} {name} {}", e.src, e.dst))
            });
            add(
                "functions",
                1.0,
                &rows(expected, "edges_by_kind", 3),
                &functions.collect(),
            );
        }
        Format::Kubernetes => kubernetes(expected, found, &mut add),
        Format::Aws | Format::Aliyun | Format::TerraformGraph => {
            add("edges", 1.0, &rows(expected, "edges", 3), &triples(found));
        }
    }
}

type Add<'a> = dyn FnMut(&'static str, f64, &BTreeSet<String>, &BTreeSet<String>) + 'a;

fn terraform_state(content: &[u8], expected: &Value, found: &Extracted, add: &mut Add<'_>) {
    let missing = found.unresolved.iter().filter(|u| u.reason == Reason::NoInstance);
    let missing: BTreeSet<String> = missing.map(|u| format!("{} {}", u.src, u.reference)).collect();
    if expected.get("edges_direct").is_some() {
        add(
            "direct",
            0.98,
            &rows(expected, "edges_direct", 2),
            &pairs(found, relation::DEPENDS_ON),
        );
        add("unresolved", 1.0, &rows(expected, "unresolved", 2), &missing);
    }
    if expected.get("edges_config_reduced").is_some()
        && let Ok(graph) = extract_in(content, Format::TerraformGraph, "default")
    {
        add(
            "config",
            1.0,
            &rows(expected, "edges_config_reduced", 2),
            &pairs(&graph, relation::DEPENDS_ON),
        );
    }
    if expected.get("declared").is_some() {
        let closure = reachable(&rows(expected, "instances", 1), found)
            .into_iter()
            .chain(missing)
            .collect();
        add("closure", 0.98, &rows(expected, "declared", 2), &closure);
    }
}

fn kubernetes(expected: &Value, found: &Extracted, add: &mut Add<'_>) {
    // Some write kinds without a namespace as `Node/n`, some as `Node//n`.
    let plain = |row: String| row.replace("//", "/");
    let (mut application, mut structure, mut dangling) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for edge in &found.edges {
        let row = plain(triple(edge));
        let is_application = edge.relation == relation::DEPENDS_ON;
        if edge.evidence.dangling {
            dangling.insert(row.clone());
        }
        if !is_application {
            structure.insert(row);
        } else if !edge.evidence.dangling {
            application.insert(row);
        }
    }
    let expected_edges = rows(expected, "edges", 3).into_iter().map(plain);
    let is_application = |row: &String| row.split(' ').nth(1) == Some(relation::DEPENDS_ON);
    let (expected_application, expected_structure) = expected_edges.partition(is_application);
    add("structure", 1.0, &expected_structure, &structure);
    add("application", 0.95, &expected_application, &application);
    add(
        "dangling",
        0.9,
        &rows(expected, "dangling", 3).into_iter().map(plain).collect(),
        &dangling,
    );
}

/// For files that tell only what each instance declares (the closure): (instance, resource block) for everything that
/// direct edges lead to.
fn reachable(instances: &BTreeSet<String>, found: &Extracted) -> BTreeSet<String> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for edge in &found.edges {
        next.entry(&edge.src).or_default().push(&edge.dst);
    }
    let mut reached = BTreeSet::new();
    for src in instances {
        let mut todo = vec![src.as_str()];
        let mut seen = BTreeSet::new();
        while let Some(at) = todo.pop() {
            for dst in next.get(at).into_iter().flatten().filter(|dst| seen.insert(**dst)) {
                reached.insert(format!("{src} {}", without_keys(dst)));
                todo.push(dst);
            }
        }
    }
    reached
}

/// A Terraform address without `[..]`.
fn without_keys(address: &str) -> String {
    let (mut text, mut quoted, mut depth) = (String::new(), false, 0);
    for c in address.chars() {
        match c {
            '"' if depth > 0 => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth -= 1,
            _ if depth == 0 => text.push(c),
            _ => {}
        }
    }
    text
}

/// Adds a line when the expected file names secrets: none of them may be anywhere in what comes out.
pub fn leaks(file: &str, expected: &Value, found: &Extracted, lines: &mut Vec<Line>) {
    let secrets = rows(expected, "must_not_leak", 1);
    if secrets.is_empty() {
        return;
    }
    let everything = format!("{found:?}");
    // The secrets themselves stay out of the report as well.
    let leaked = secrets
        .iter()
        .enumerate()
        .filter(|(_, secret)| everything.contains(secret.as_str()));
    let leaked = leaked
        .map(|(index, _)| format!("secret {index} of must_not_leak"))
        .collect();
    lines.push(Line::compare(file, "secrets", 1.0, &BTreeSet::new(), &leaked));
}

/// `src dst` of all edges with this relation.
pub fn pairs(found: &Extracted, relation: &str) -> BTreeSet<String> {
    found
        .edges
        .iter()
        .filter(|e| e.relation == relation)
        .map(|e| format!("{} {}", e.src, e.dst))
        .collect()
}

/// `src RELATION dst` of all edges.
pub fn triples(found: &Extracted) -> BTreeSet<String> {
    found.edges.iter().map(triple).collect()
}

fn triple(edge: &Edge) -> String {
    format!("{} {} {}", edge.src, edge.relation, edge.dst)
}

/// The first `columns` entries of every row of a field, joined by spaces.
pub fn rows(expected: &Value, field: &str, columns: usize) -> BTreeSet<String> {
    let text = |row: &Value| match row {
        Value::String(text) => text.clone(),
        row => row
            .as_array()
            .into_iter()
            .flatten()
            .take(columns)
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" "),
    };
    expected
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(text)
        .collect()
}
