//! LogHub: folders of a set each, with `X.log_structured_corrected.csv` (or `X.log_structured.csv`), which has the
//! columns `Content` and `EventTemplate`, and `X.log` with the same lines as they were logged.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// One labelled line.
pub struct Record {
    /// The message without its header.
    pub message: String,
    /// The line as it was logged; empty if the raw file is not there.
    pub raw: String,
    /// The gold template.
    pub template: String,
}

/// One labelled set.
pub struct Set {
    /// Name of the folder.
    pub name: String,
    /// The lines in order.
    pub records: Vec<Record>,
}

/// All sets below `root`, by name.
pub fn read(root: &Path) -> Result<Vec<Set>, Box<dyn Error>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root)?.filter_map(|e| Some(e.ok()?.path())).collect();
    folders.sort();
    let mut sets = Vec::new();
    for folder in folders {
        let Some(name) = folder.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        let files: Vec<PathBuf> = match fs::read_dir(&folder) {
            Ok(files) => files.filter_map(|e| Some(e.ok()?.path())).collect(),
            Err(_) => continue,
        };
        for suffix in ["_structured_corrected.csv", "_structured.csv"] {
            let labelled = files.iter().filter_map(|f| f.to_str());
            let mut labelled = labelled.filter_map(|f| Some((f, f.strip_suffix(suffix)?)));
            if let Some((labelled, raw)) = labelled.next() {
                sets.push(Set {
                    name: name.to_owned(),
                    records: records(Path::new(labelled), Path::new(raw))?,
                });
                break;
            }
        }
    }
    Ok(sets)
}

fn records(labelled: &Path, raw: &Path) -> Result<Vec<Record>, Box<dyn Error>> {
    let raw = fs::read(raw).unwrap_or_default();
    let raw = String::from_utf8_lossy(&raw);
    let mut raw = raw.lines();
    let mut reader = csv::Reader::from_path(labelled)?;
    let headers = reader.byte_headers()?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|h| h == name.as_bytes());
        found.ok_or_else(|| format!("{}: no column {name}", labelled.display()))
    };
    let (message, template) = (column("Content")?, column("EventTemplate")?);
    let mut out = Vec::new();
    for row in reader.byte_records() {
        let row = row?;
        let field = |i: usize| String::from_utf8_lossy(row.get(i).unwrap_or_default()).into_owned();
        out.push(Record {
            message: field(message),
            raw: raw.next().unwrap_or_default().to_owned(),
            template: field(template),
        });
    }
    Ok(out)
}
