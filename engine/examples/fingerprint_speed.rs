//! How fast fingerprints are, on one core: the median of five passes over given lines, and the worst inputs known. Times
//! are CPU times of the thread where the system tells them (Linux), so other work on the machine matters little.
//!
//!     cargo run --release -p observe-bridge-engine --example fingerprint_speed -- [FILE...]
//!
//! A file holds one line of text a line, or one JSON object with the text in `body`. Without files the lines of the
//! tests of the format are taken.

#[path = "engine_speed/clock.rs"]
mod clock;

use clock::median;
use engine::patterns::alias::Classes;
use engine::patterns::{Masker, Rule, Scratch};
use std::error::Error;
use std::fs;
use std::hint::black_box;

/// Lines of a pass; the given lines are repeated.
const LINES: usize = 100_000;
/// Lines of the tests: template, fingerprint, line.
const VECTORS: &str = include_str!("../tests/interface/data/fingerprints.tsv");
/// Repeated to a megabyte, each of these makes another part of the scan work.
const WORST: [&str; 30] = [
    "1",
    "[",
    "a:",
    "=",
    "\"",
    "' ",
    "`",
    "a=\"",
    "\"a\":",
    "://",
    "http://",
    "/a",
    "()",
    "<*>",
    "1, ",
    "\n\tat a",
    "\n File \"x\"",
    "user a ",
    "for a from 1 ",
    "password=",
    "1:1:",
    "aaaa.com ",
    "Jan 1 ",
    "word ",
    "Abc. ",
    "key: ",
    "10:00:00 [",
    "R2-C:J1 ",
    "env:a=",
    "env:a=b\n",
];

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let mut sets = Vec::new();
    for file in &files {
        sets.push((file.as_str(), lines_of(&fs::read_to_string(file)?)));
    }
    if sets.is_empty() {
        let lines = VECTORS.lines().filter(|l| !l.starts_with("# "));
        let lines = lines.filter_map(|l| Some(l.split('\t').nth(2)?.replace("\\n", "\n")));
        sets.push(("test lines", lines.collect()));
    }
    let mut scratch = Scratch::default();
    let masker = Masker::new();
    for (name, lines) in &sets {
        let bytes: usize = lines.iter().cycle().take(LINES).map(String::len).sum();
        let time = median(|| {
            for line in lines.iter().cycle().take(LINES) {
                black_box(masker.fingerprint(black_box(line), &mut scratch));
            }
        });
        let seconds = time.as_secs_f64();
        println!(
            "{:.2} M lines/s, {:.0} MB/s, {} bytes a line: {name}",
            LINES as f64 / seconds / 1e6,
            bytes as f64 / seconds / 1e6,
            bytes / LINES
        );
    }
    let words = (0..10).map(|i| Rule::ignore(format!("site{i}")));
    let rules: Vec<Rule> = words
        .chain((0..10).map(|i| Rule::mask(format!("lot-{i}[A-Z]+"))))
        .collect();
    let with_rules = Masker::with_rules(&rules)?;
    for (name, lines) in &sets {
        let time = median(|| {
            for line in lines.iter().cycle().take(LINES) {
                black_box(with_rules.fingerprint(black_box(line), &mut scratch));
            }
        });
        let rate = LINES as f64 / time.as_secs_f64() / 1e6;
        println!("{rate:.2} M lines/s with 20 rules of a tenant: {name}");
    }
    for count in [1_000, 10_000, 100_000] {
        let classes = templates(count, &masker);
        let time = median(|| {
            black_box(classes.outcome(&masker));
        });
        println!(
            "{:.1} ms for the classes of {count} templates",
            time.as_secs_f64() * 1e3
        );
    }
    // The scan reads at most 64 KiB of a line, so up to there its time must be in proportion.
    println!("worst inputs, ns a byte at 4, 16 and 64 KiB, and ms for a line of 1 MB");
    for unit in WORST {
        let time = |len: usize| {
            let line = unit.repeat(len / unit.len());
            median(|| {
                black_box(masker.fingerprint(black_box(&line), &mut Scratch::default()));
            })
        };
        let at = |len: usize| time(len).as_nanos() as f64 / len as f64;
        println!(
            "{:>8.2} {:>8.2} {:>8.2} {:>8.3}   {unit:?}",
            at(4 << 10),
            at(16 << 10),
            at(64 << 10),
            time(1_000_000).as_secs_f64() * 1e3
        );
    }
    Ok(())
}

/// Templates of ten words each, every one a sentence of a vocabulary that makes some classes.
fn templates(count: u64, masker: &Masker) -> Classes {
    let mut classes = Classes::new();
    for i in 0..count {
        let word = |place: u64| (i / 7u64.pow(place as u32 % 6) + place) % 7;
        let words: Vec<String> = (0..8)
            .map(|place| format!("{}{}", letters(place), letters(word(place))))
            .collect();
        let template = format!("<*> {} {} took <*>", letters(i / 5), words.join(" "));
        classes.insert(masker.template_fingerprint(&template), &template);
    }
    classes
}

fn letters(mut number: u64) -> String {
    let mut out = String::new();
    loop {
        out.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
        if number == 0 {
            return out;
        }
    }
}

fn lines_of(text: &str) -> Vec<String> {
    let body = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(row.get("body")?.as_str()?.to_owned())
    };
    text.lines()
        .map(|line| body(line).unwrap_or_else(|| line.to_owned()))
        .collect()
}
