//! How well the extractors of single files do: `topology_score FOLDER` compares what they find in every file below
//! FOLDER with the `*.expected.json` (or a folder's `expected.json`) beside it, prints precision and recall of each,
//! and looks for secrets in everything that comes out. Exits with 1 when a file is below its threshold.

mod compare;
mod score;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: topology_score FOLDER");
        return ExitCode::from(2);
    };
    let lines = match suite::run(&folder) {
        Ok(lines) => lines,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::from(2);
        }
    };
    println!(
        "{:<58} {:<13} {:>9} {:>6} {:>5} {:>9} {:>8}",
        "file", "compared", "expected", "found", "both", "precision", "recall"
    );
    for line in &lines {
        println!("{line}");
    }
    let failed = lines.iter().filter(|line| !line.passed()).count();
    println!("{} comparisons, {failed} below their threshold", lines.len());
    ExitCode::from(u8::from(failed > 0))
}
