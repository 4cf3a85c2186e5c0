//! Finds the inputs of a folder with what is expected of them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine::topology::{Extracted, Format, extract_in, relation};
use serde_json::Value;

use super::compare::{compare, leaks, pairs, rows, triples};
use super::score::Line;

/// Most folders that are looked into; symbolic links could make circles.
const MAX_FOLDERS: usize = 10_000;
const EXPECTED: &str = ".expected.json";

/// All comparisons of a folder, in order of file names.
pub fn run(root: &Path) -> io::Result<Vec<Line>> {
    let mut suite = Suite {
        root,
        lines: Vec::new(),
    };
    let mut folders = vec![root.to_path_buf()];
    let mut seen = 0;
    while let Some(inner) = folders.pop() {
        seen += 1;
        let mut files = Vec::new();
        for entry in fs::read_dir(&inner)? {
            let path = entry?.path();
            if !path.is_dir() {
                files.push(path);
            } else if seen < MAX_FOLDERS {
                folders.push(path);
            }
        }
        files.sort();
        match files.iter().find(|path| name(path) == "expected.json") {
            Some(expected) => suite.whole_folder(&files, expected)?,
            None => suite.single_files(&files)?,
        }
    }
    suite.lines.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(suite.lines)
}

struct Suite<'r> {
    root: &'r Path,
    lines: Vec<Line>,
}

impl Suite<'_> {
    /// Answers of a cloud API: the expected edges are those of all files together.
    fn whole_folder(&mut self, files: &[PathBuf], expected: &Path) -> io::Result<()> {
        let file = self.relative(expected);
        let expected = json(expected)?;
        let mut found = Extracted::default();
        for path in files.iter().filter(|path| name(path) != "expected.json") {
            if let Some((_, extracted, _)) = self.extract(path, &Value::Null)? {
                found.edges.extend(extracted.edges);
                found.unresolved.extend(extracted.unresolved);
            }
        }
        self.lines.push(Line::compare(
            &file,
            "edges",
            1.0,
            &rows(&expected, "edges", 3),
            &triples(&found),
        ));
        leaks(&file, &expected, &found, &mut self.lines);
        Ok(())
    }

    /// `x.expected.json` tells of `x.json`, `x.tfstate`, `x.yaml`, ...
    fn single_files(&mut self, files: &[PathBuf]) -> io::Result<()> {
        for path in files {
            let Some(stem) = name(path).strip_suffix(EXPECTED) else {
                continue;
            };
            let expected = json(path)?;
            if let Some(series) = stem.strip_suffix(".diff") {
                self.difference(files, series, &expected)?;
            }
            let Some(input) = input_of(files, stem) else {
                continue;
            };
            let Some((content, found, format)) = self.extract(input, &expected)? else {
                continue;
            };
            let file = self.relative(input);
            compare(&file, &content, format, &expected, &found, &mut self.lines);
            leaks(&file, &expected, &found, &mut self.lines);
            if format == Format::TerraformPlan
                && let Some(graph) = files.iter().find(|path| name(path) == "graph.expected.json")
                && let Ok(found) = extract_in(&content, Format::TerraformGraph, "default")
            {
                let expected = rows(&json(graph)?, "edges", 2);
                self.lines.push(Line::compare(
                    &file,
                    "graph",
                    1.0,
                    &expected,
                    &pairs(&found, relation::DEPENDS_ON),
                ));
            }
        }
        Ok(())
    }

    /// What opened and closed from `x.t0.json` to `x.t1.json`.
    fn difference(&mut self, files: &[PathBuf], series: &str, expected: &Value) -> io::Result<()> {
        let mut sets: Vec<BTreeSet<String>> = Vec::new();
        for step in ["t0", "t1"] {
            let input = input_of(files, &format!("{series}.{step}"));
            let Some((_, found, _)) = input.map(|input| self.extract(input, expected)).transpose()?.flatten() else {
                return Ok(());
            };
            sets.push(pairs(&found, relation::DEPENDS_ON));
        }
        if let [before, after] = sets.as_slice() {
            let file = format!("{series}.diff");
            let opened = after.difference(before).cloned().collect();
            let closed = before.difference(after).cloned().collect();
            self.lines.push(Line::compare(
                &file,
                "opened",
                1.0,
                &rows(expected, "opened", 2),
                &opened,
            ));
            self.lines.push(Line::compare(
                &file,
                "closed",
                1.0,
                &rows(expected, "closed", 2),
                &closed,
            ));
        }
        Ok(())
    }

    /// Reads and extracts a file. `None` with a line in the report when it cannot be read; without one when it is of
    /// no known format and nothing says that it should be (observed calls beside a manifest).
    fn extract(&mut self, path: &Path, expected: &Value) -> io::Result<Option<(Vec<u8>, Extracted, Format)>> {
        let content = fs::read(path)?;
        let namespace = expected
            .get("default_namespace")
            .and_then(Value::as_str)
            .unwrap_or("default");
        let found = Format::detect(&content).and_then(|format| Ok((extract_in(&content, format, namespace)?, format)));
        match found {
            Ok((found, format)) => Ok(Some((content, found, format))),
            Err(error) => {
                if expected.get("format").is_some() || expected.is_null() {
                    self.lines
                        .push(Line::failure(&self.relative(path), "read", error.to_string()));
                }
                Ok(None)
            }
        }
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).display().to_string()
    }
}

/// The input with this name before its extension. `graph.dot` is no input, it is where `graph.expected.json` is from.
fn input_of<'f>(files: &'f [PathBuf], stem: &str) -> Option<&'f PathBuf> {
    let mut inputs = files
        .iter()
        .filter(|path| !name(path).ends_with(EXPECTED) && !name(path).ends_with(".dot"));
    inputs.find(|path| name(path).rsplit_once('.').is_some_and(|(before, _)| before == stem))
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn json(path: &Path) -> io::Result<Value> {
    serde_json::from_slice(&fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
