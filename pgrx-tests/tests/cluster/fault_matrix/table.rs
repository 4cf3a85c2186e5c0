//! The matrix as a person reads it.

use super::cell::{Did, Outcome};
use super::kind::Kind;
use std::fmt;

/// Where in the way of a window a fault strikes.
pub const PLACES: [&str; 3] = ["first", "middle", "last"];

/// A line: a fault, and what came of it at each place.
struct Line {
    fault: String,
    cells: Vec<Outcome>,
}

/// All lines of a kind of source. What it is displayed as ends with a line that `scripts/faults.sh` adds up.
pub struct Table {
    pub kind: Kind,
    lines: Vec<Line>,
}

impl Table {
    pub fn new(kind: Kind) -> Table {
        Table {
            kind,
            lines: Vec::new(),
        }
    }

    pub fn add(&mut self, fault: &str, cells: Vec<Outcome>) {
        self.lines.push(Line {
            fault: fault.to_string(),
            cells,
        });
    }

    /// Cells in which a fault was tried.
    pub fn cells(&self) -> usize {
        let cells = self.lines.iter().flat_map(|line| &line.cells);
        cells.filter(|cell| cell.did != Did::NoPlace).count()
    }

    /// What is not as it must be, one text for each cell.
    pub fn wrong(&self) -> Vec<String> {
        let mut out = Vec::new();
        for line in &self.lines {
            for (cell, place) in line.cells.iter().zip(PLACES) {
                if !cell.wrong.is_empty() || cell.lost + cell.doubled != 0 {
                    let Outcome {
                        did,
                        lost,
                        doubled,
                        wrong,
                    } = cell;
                    let what = format!("{}: {} ({place})", self.kind.database(), line.fault);
                    out.push(format!(
                        "{what}: {did}, {lost} lost, {doubled} doubled; {}",
                        wrong.join("; ")
                    ));
                }
            }
        }
        out
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Did::WentOn => f.write_str("went on"),
            Did::Waited(state) => write!(f, "again, {state}"),
            Did::Failed(state) => write!(f, "FAILED {state}"),
            Did::Rescued => f.write_str("rescued"),
            Did::Nothing => f.write_str("NOT STRUCK"),
            Did::NoPlace => f.write_str("-"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, middle, last] = PLACES;
        writeln!(f, "{}", self.kind.title())?;
        writeln!(
            f,
            "  {:<46} {first:<13} {middle:<13} {last:<13} {:>4} {:>7}",
            "", "lost", "doubled"
        )?;
        for line in &self.lines {
            let sum = |of: fn(&Outcome) -> i64| line.cells.iter().map(of).sum::<i64>();
            write!(f, "  {:<46}", line.fault)?;
            for at in 0..PLACES.len() {
                let did = line.cells.get(at).map(|cell| cell.did.to_string()).unwrap_or_default();
                write!(f, " {did:<13}")?;
            }
            writeln!(f, " {:>4} {:>7}", sum(|c| c.lost), sum(|c| c.doubled))?;
        }
        let sum = |of: fn(&Outcome) -> i64| self.lines.iter().flat_map(|l| &l.cells).map(of).sum::<i64>();
        let (lost, doubled) = (sum(|c| c.lost), sum(|c| c.doubled));
        let (cells, wrong) = (self.cells(), self.wrong().len());
        writeln!(
            f,
            "  {cells} cells, {wrong} wrong: {lost} records lost, {doubled} doubled"
        )
    }
}
