//! Finds the inputs of a folder with what is expected of them, and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine::topology::{Edge, Extracted, Format, Reason, extract_in, relation};
use serde_json::Value;

use super::score::Line;

/// Most folders below the first; symbolic links could make circles.
const MAX_FOLDERS: usize = 10_000;

/// All comparisons of a folder, in order of file names.
pub fn run(folder: &Path) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    let mut seen = 0;
    while let Some(inner) = folders.pop() {
        seen += 1;
        let mut files = Vec::new();
        for entry in fs::read_dir(&inner)? {
            let path = entry?.path();
            if path.is_dir() && seen < MAX_FOLDERS {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
        files.sort();
        if let Some(expected) = files
            .iter()
            .find(|path| path.file_name().is_some_and(|name| name == "expected.json"))
        {
            whole_folder(folder, &files, expected, &mut lines)?;
        } else {
            single_files(folder, &files, &mut lines)?;
        }
    }
    lines.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(lines)
}

/// Answers of a cloud API: the expected edges are those of all files together.
fn whole_folder(root: &Path, files: &[PathBuf], expected: &Path, lines: &mut Vec<Line>) -> io::Result<()> {
    let file = relative(root, expected);
    let expected = json(expected)?;
    let mut found = Extracted::default();
    for path in files
        .iter()
        .filter(|path| path.file_name().is_some_and(|name| name != "expected.json"))
    {
        let content = fs::read(path)?;
        match Format::detect(&content).and_then(|format| extract_in(&content, format, "default")) {
            Ok(extracted) => found.edges.extend(extracted.edges),
            Err(error) => lines.push(Line::failure(&relative(root, path), "read", error.to_string())),
        }
    }
    let row = |edge: &Edge| format!("{} {} {}", edge.src, edge.relation, edge.dst);
    lines.push(Line::compare(
        &file,
        "edges",
        1.0,
        &rows(&expected, "edges", 3),
        &found.edges.iter().map(row).collect(),
    ));
    leaks(&file, &expected, &found, lines);
    Ok(())
}

fn single_files(root: &Path, files: &[PathBuf], lines: &mut Vec<Line>) -> io::Result<()> {
    for path in files {
        let Some(stem) = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".expected.json"))
        else {
            continue;
        };
        let expected = json(path)?;
        let input = files.iter().find(|input| {
            let name = input.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.rsplit_once('.').is_some_and(|(before, _)| before == stem) && !name.ends_with(".expected.json")
        });
        let Some(input) = input.filter(|input| input.extension().is_some_and(|kind| kind != "dot")) else {
            continue;
        };
        let (file, content) = (relative(root, input), fs::read(input)?);
        let namespace = expected
            .get("default_namespace")
            .and_then(Value::as_str)
            .unwrap_or("default");
        let format = match Format::detect(&content) {
            Ok(format) => format,
            // Files that only describe others, such as observed calls beside a manifest.
            Err(_) if expected.get("format").is_none() => continue,
            Err(error) => {
                lines.push(Line::failure(&file, "format", error.to_string()));
                continue;
            }
        };
        match extract_in(&content, format, namespace) {
            Err(error) => lines.push(Line::failure(&file, "read", error.to_string())),
            Ok(found) => {
                compare(&file, &content, format, &expected, &found, lines);
                leaks(&file, &expected, &found, lines);
            }
        }
    }
    Ok(())
}

fn compare(file: &str, content: &[u8], format: Format, expected: &Value, found: &Extracted, lines: &mut Vec<Line>) {
    let pairs = |relation: &str| -> BTreeSet<String> {
        found
            .edges
            .iter()
            .filter(|e| e.relation == relation)
            .map(|e| format!("{} {}", e.src, e.dst))
            .collect()
    };
    let unresolved = |reason: Reason| found.unresolved.iter().filter(move |u| u.reason == reason);
    let mut add = |what, least, expected: &BTreeSet<String>, found: &BTreeSet<String>| {
        lines.push(Line::compare(file, what, least, expected, found));
    };
    match format {
        Format::TerraformState | Format::TerraformShow => {
            if expected.get("edges_direct").is_some() {
                add(
                    "direct",
                    0.98,
                    &rows(expected, "edges_direct", 2),
                    &pairs(relation::DEPENDS_ON),
                );
                let missing = unresolved(Reason::NoInstance)
                    .map(|u| format!("{} {}", u.src, u.reference))
                    .collect();
                add("unresolved", 1.0, &rows(expected, "unresolved", 2), &missing);
            }
            if let Ok(graph) = extract_in(content, Format::TerraformGraph, "default")
                && expected.get("edges_config_reduced").is_some()
            {
                let found = graph.edges.iter().map(|e| format!("{} {}", e.src, e.dst)).collect();
                add("config", 1.0, &rows(expected, "edges_config_reduced", 2), &found);
            }
            if expected.get("declared").is_some() {
                let (declared, found) = closures(expected, found);
                add("closure", 0.98, &declared, &found);
            }
        }
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
            let locals = unresolved(Reason::Local).map(|u| u.reference.clone()).collect();
            add("locals", 1.0, &rows(expected, "unresolved_locals", 1), &locals);
        }
        Format::Pulumi => {
            add(
                "depends",
                1.0,
                &rows(expected, "edges_depends", 2),
                &pairs(relation::DEPENDS_ON),
            );
            add(
                "parents",
                1.0,
                &rows(expected, "edges_parent", 2),
                &pairs(relation::PART_OF),
            );
            let depends = found.edges.iter().filter(|e| e.relation == relation::DEPENDS_ON);
            let properties =
                depends.flat_map(|e| e.evidence.at.iter().map(move |at| format!("{} {at} {}", e.src, e.dst)));
            add(
                "properties",
                1.0,
                &rows(expected, "edges_property", 3),
                &properties.collect(),
            );
        }
        Format::CloudFormation => {
            let kinds = found.edges.iter().flat_map(|e| {
                let kinds = ["Ref", "Fn::GetAtt", "Fn::Sub", "DependsOn"];
                let named = move |kind: &&str| {
                    e.evidence
                        .at
                        .iter()
                        .any(|at| at.split(['.', '[']).any(|part| part == *kind))
                };
                kinds
                    .into_iter()
                    .filter(named)
                    .map(move |kind| format!("{} {kind} {}", e.src, e.dst))
            });
            add("edges", 1.0, &rows(expected, "edges", 2), &pairs(relation::DEPENDS_ON));
            add("functions", 1.0, &rows(expected, "edges_by_kind", 3), &kinds.collect());
        }
        Format::Kubernetes => kubernetes(expected, found, &mut add),
        Format::Aws | Format::Aliyun | Format::TerraformGraph => {
            let row = |edge: &Edge| format!("{} {} {}", edge.src, edge.relation, edge.dst);
            add(
                "edges",
                1.0,
                &rows(expected, "edges", 3),
                &found.edges.iter().map(row).collect(),
            );
        }
    }
}

fn kubernetes(
    expected: &Value,
    found: &Extracted,
    add: &mut impl FnMut(&'static str, f64, &BTreeSet<String>, &BTreeSet<String>),
) {
    // Kinds without namespace are written as `Node/n`, `Node//n`: one form for both.
    let row = |row: String| row.replace("//", "/");
    let row_of = |e: &Edge| row(format!("{} {} {}", e.src, e.relation, e.dst));
    let (app, structure): (BTreeSet<_>, BTreeSet<_>) = rows(expected, "edges", 3)
        .into_iter()
        .map(row)
        .partition(|row| row.split(' ').nth(1) == Some(relation::DEPENDS_ON));
    let is_app = |e: &&Edge| e.relation == relation::DEPENDS_ON;
    add(
        "structure",
        1.0,
        &structure,
        &found.edges.iter().filter(|e| !is_app(e)).map(row_of).collect(),
    );
    add(
        "application",
        0.95,
        &app,
        &found
            .edges
            .iter()
            .filter(is_app)
            .filter(|e| !e.evidence.dangling)
            .map(row_of)
            .collect(),
    );
    let dangling = found.edges.iter().filter(|e| e.evidence.dangling).map(row_of).collect();
    add(
        "dangling",
        1.0,
        &rows(expected, "dangling", 3).into_iter().map(row).collect(),
        &dangling,
    );
}

/// For files where only what each instance declares is known (the closure): both sides as (instance, resource block),
/// ours as everything reachable over direct edges, and what was reported as unresolved.
fn closures(expected: &Value, found: &Extracted) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for edge in &found.edges {
        next.entry(&edge.src).or_default().push(&edge.dst);
    }
    let missing = found.unresolved.iter().filter(|u| u.reason == Reason::NoInstance);
    let mut reached: BTreeSet<String> = missing.map(|u| format!("{} {}", u.src, u.reference)).collect();
    for src in &rows(expected, "instances", 1) {
        let mut todo = vec![src.as_str()];
        let mut seen = BTreeSet::new();
        while let Some(at) = todo.pop() {
            for dst in next.get(at).into_iter().flatten().filter(|dst| seen.insert(**dst)) {
                reached.insert(format!("{src} {}", without_keys(dst)));
                todo.push(dst);
            }
        }
    }
    (rows(expected, "declared", 2), reached)
}

/// An address without `[..]`.
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

/// Secrets anywhere in what comes out.
fn leaks(file: &str, expected: &Value, found: &Extracted, lines: &mut Vec<Line>) {
    let secrets = rows(expected, "must_not_leak", 1);
    if secrets.is_empty() {
        return;
    }
    let evidence = found
        .edges
        .iter()
        .map(|e| serde_json::to_string(&e.evidence).unwrap_or_default());
    let urns = found
        .edges
        .iter()
        .flat_map(|e| [e.src_urn.clone(), e.dst_urn.clone()])
        .flatten();
    let names = found.edges.iter().flat_map(|e| [e.src.clone(), e.dst.clone()]);
    let unresolved = found
        .unresolved
        .iter()
        .map(|u| serde_json::to_string(u).unwrap_or_default());
    let everything: Vec<String> = evidence.chain(urns).chain(names).chain(unresolved).collect();
    let leaked = secrets
        .iter()
        .filter(|secret| everything.iter().any(|text| text.contains(secret.as_str())));
    let leaked: BTreeSet<String> = leaked.map(|_| "a secret of must_not_leak".to_owned()).collect();
    lines.push(Line::compare(file, "secrets", 1.0, &BTreeSet::new(), &leaked));
}

/// The first `columns` entries of every row, joined by spaces.
fn rows(expected: &Value, field: &str, columns: usize) -> BTreeSet<String> {
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
    list(expected, field).map(text).collect()
}

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn json(path: &Path) -> io::Result<Value> {
    serde_json::from_slice(&fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
