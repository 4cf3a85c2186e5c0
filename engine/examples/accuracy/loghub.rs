//! LogHub: folders `Name/Name_2k.log_structured_corrected.csv` with the columns `Content` and `EventTemplate`, and
//! `Name/Name_2k.log` with the same lines as they were logged.

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
        let labelled = folder.join(format!("{name}_2k.log_structured_corrected.csv"));
        if labelled.is_file() {
            sets.push(Set {
                name: name.to_owned(),
                records: records(&labelled, &folder.join(format!("{name}_2k.log")))?,
            });
        }
    }
    Ok(sets)
}

fn records(labelled: &Path, raw: &Path) -> Result<Vec<Record>, Box<dyn Error>> {
    let raw = fs::read(raw).unwrap_or_default();
    let raw = String::from_utf8_lossy(&raw);
    let mut raw = raw.lines();
    let mut reader = csv::Reader::from_path(labelled)?;
    let headers = reader.headers()?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|h| h == name);
        found.ok_or_else(|| format!("{}: no column {name}", labelled.display()))
    };
    let (message, template) = (column("Content")?, column("EventTemplate")?);
    let mut out = Vec::new();
    for row in reader.records() {
        let row = row?;
        let field = |i: usize| row.get(i).unwrap_or_default().to_owned();
        out.push(Record {
            message: field(message),
            raw: raw.next().unwrap_or_default().to_owned(),
            template: field(template),
        });
    }
    Ok(out)
}
