//! Workloads of the benchmark's generator: `logs.ndjson`, one JSON object a line with the text in `body`, and
//! `log_template_ids.json`, the gold template of each line as a number.

use crate::loghub::{Record, Set};
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Whether `folder` holds a workload.
pub fn is_one(folder: &Path) -> bool {
    folder.join("log_template_ids.json").is_file()
}

/// The lines of a workload. The gold template is its number, so that texts never agree: only groups can be scored.
pub fn read(folder: &Path) -> Result<Set, Box<dyn Error>> {
    let gold: Vec<u32> = serde_json::from_slice(&fs::read(folder.join("log_template_ids.json"))?)?;
    let logs = BufReader::new(fs::File::open(folder.join("logs.ndjson"))?);
    let mut records = Vec::with_capacity(gold.len());
    for (line, gold) in logs.lines().zip(gold) {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        let body = row.get("body").and_then(|b| b.as_str()).ok_or("a log without a body")?;
        records.push(Record {
            message: body.to_owned(),
            raw: body.to_owned(),
            template: gold.to_string(),
        });
    }
    let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or("workload");
    Ok(Set {
        name: name.to_owned(),
        records,
    })
}
