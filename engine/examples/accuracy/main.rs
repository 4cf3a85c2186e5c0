//! How well lines are grouped, on labelled sets: stage one alone, and with classes.
//!
//!     cargo run --release -p observe-bridge-engine --example accuracy -- [--raw] [--explain] FOLDER...
//!
//! A folder is LogHub (see `loghub`) or a workload of the benchmark's generator (see `workload`), where only `ga` and
//! `fga` have a meaning. `--raw` takes the lines as they were logged, with their headers, whose gold text is not known
//! either. `--explain` prints every gold template that is not met.

mod explain;
mod loghub;
mod score;
mod workload;

use engine::patterns::alias::Classes;
use engine::patterns::{Masker, Scratch};
use loghub::Set;
use score::{Line, Scores, score};
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

/// A line's group and template: by fingerprint, and by class.
pub struct Found {
    fingerprint: (u64, String),
    class: (u64, String),
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut raw, mut explain, mut folders) = (false, false, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--raw" => raw = true,
            "--explain" => explain = true,
            _ => folders.push(argument),
        }
    }
    println!("{:<12} {:^29}   {:^29}", "", "stage one", "with classes");
    println!("{:<12} {TITLES}   {TITLES}", "set");
    for folder in &folders {
        let folder = Path::new(folder);
        if workload::is_one(folder) {
            report(&workload::read(folder)?, What::Groups, explain);
            continue;
        }
        let sets = loghub::read(folder)?;
        let what = if raw { What::RawGroups } else { What::All };
        let scores: Vec<[Scores; 2]> = sets.iter().map(|set| report(set, what, explain)).collect();
        if !scores.is_empty() {
            print(
                "average",
                what,
                [0, 1].map(|i| score::average(scores.iter().filter_map(|s| s.get(i)))),
            );
        }
    }
    Ok(())
}

const TITLES: &str = "    GA     PA    FGA    FTA ";

/// What is taken of a set, and what can be scored of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Messages, and their templates too.
    All,
    /// Messages without gold templates.
    Groups,
    /// Lines with headers, which gold templates do not have.
    RawGroups,
}

fn print(name: &str, what: What, scores: [Scores; 2]) {
    let text = |share: f64| match what {
        What::All => format!("{share:.3}"),
        _ => "  -  ".to_owned(),
    };
    let [a, b] = scores.map(|s| format!(" {:.3}  {}  {:.3}  {} ", s.ga, text(s.pa), s.fga, text(s.fta)));
    println!("{name:<12}{a}   {b}");
}

fn report(set: &Set, what: What, explain: bool) -> [Scores; 2] {
    let found = find(set, what == What::RawGroups);
    let by = |group: fn(&Found) -> &(u64, String)| -> Vec<Line<'_, u64>> {
        let lines = set.records.iter().zip(&found);
        lines
            .map(|(record, found)| Line {
                gold: &record.template,
                group: group(found).0,
                template: &group(found).1,
            })
            .collect()
    };
    let (stage_one, classes) = (by(|f| &f.fingerprint), by(|f| &f.class));
    let scores = [score(&stage_one), score(&classes)];
    print(&set.name, what, scores);
    if explain {
        explain::print(&classes);
    }
    scores
}

/// Groups the lines as the extension does. A group's template is that of its first line.
fn find(set: &Set, raw: bool) -> Vec<Found> {
    let masker = Masker::new();
    let mut scratch = Scratch::default();
    let mut classes = Classes::new();
    let mut templates: HashMap<u64, String> = HashMap::new();
    let fingerprints: Vec<u64> = set
        .records
        .iter()
        .map(|record| {
            let pattern = masker.analyse(if raw { &record.raw } else { &record.message }, &mut scratch);
            classes.insert(pattern.fingerprint, pattern.template);
            let template = templates.entry(pattern.fingerprint);
            template.or_insert_with(|| pattern.template.to_owned());
            pattern.fingerprint
        })
        .collect();
    let outcome = classes.outcome(&masker);
    let class_of: HashMap<u64, u64> = outcome.aliases.iter().map(|a| (a.fingerprint, a.class)).collect();
    let text_of: HashMap<u64, &str> = outcome.classes.iter().map(|c| (c.id, c.template.as_str())).collect();
    let template = |f: &u64| templates.get(f).cloned().unwrap_or_default();
    fingerprints
        .iter()
        .map(|f| {
            let class = class_of.get(f).copied().unwrap_or(*f);
            Found {
                fingerprint: (*f, template(f)),
                class: (
                    class,
                    text_of.get(&class).map_or_else(|| template(f), |t| (*t).to_owned()),
                ),
            }
        })
        .collect()
}
