//! What folders are called, as somebody wrote it down: `dataset/yyyy=/mm=/dd=/hh=/mm=`, `dataset/Y/M/D/H`,
//! `v1/{stream}/dataset/dt={Y}-{M}-{D}/hour={H}`. Names are told level by level:
//!
//! - `dataset` is the folder of a dataset: `logs`, `metrics`, `traces` or `spans`;
//! - `yyyy=`, `mm=`, `dd=`, `hh=`, `minute=` and their like are a key and its value; `mm=` behind an hour is the minute.
//!   A value of `yyyy=` may be a whole date. `Y`, `M`, `D`, `H`, `m` alone are bare numbers;
//! - `{Y}`, `{M}`, `{D}`, `{H}`, `{m}`, `{stream}` stand anywhere in a name;
//! - `*` is any name, `key=*` any value, everything else is itself.
//!
//! A folder of another name is none of the lake's. Below the last level, folders are called as they like. There, and where
//! any name will do, what begins with `_` lies aside (see [`is_aside`]).

use super::listing::Found;
use super::object::is_aside;
use super::partition::{self, Names, Partition, folder_names};
use super::store::{MAX_DEPTH, Store};
use crate::source::error::SourceError;
use crate::source::options;
use crate::source::pattern::Patterns;
use crate::source::server::Options;
use engine::record::Dataset;
use engine::window::Window;

const HINT: &str = "For example: path_template 'dataset/yyyy=/mm=/dd=/hh=/mm=', 'dataset/yyyy=/hh=/mm=', \
     'dataset/Y/M/D/H' or '{stream}/dataset/dt={Y}-{M}-{D}/hour={H}'.";

/// A template that has been understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    levels: Vec<Level>,
    /// How far from its folder's time a record's may lie, microseconds.
    slack_us: i64,
}

/// The names of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Dataset,
    Any,
    Name(Vec<Piece>),
}

/// A piece of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Part(Part),
    /// Whatever is left of the name.
    Rest,
}

/// What a piece of a name tells. Times in the order in which a template may have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A year, or a whole date.
    Date,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Stream,
}

impl Template {
    /// From the options `path_template` and `path_slack` of a server.
    ///
    /// # Errors
    /// `Config` for a template that makes no sense, naming what is wrong with it.
    pub fn parse_options(server: &Options) -> Result<Option<Template>, SourceError> {
        let slack = server.get("path_slack");
        let Some(text) = server.get("path_template") else {
            return match slack {
                None => Ok(None),
                Some(_) => Err(SourceError::config(
                    "server option \"path_slack\" needs a path_template",
                    HINT,
                )),
            };
        };
        let mut template = Template::parse(text)?;
        if let Some(slack) = slack {
            template.slack_us = options::duration(&slack.as_str().into()).ok_or_else(|| {
                SourceError::config(
                    "server option \"path_slack\" must be a duration between 0 and 24 hours",
                    "For example: path_slack '5 min'.",
                )
            })?;
        }
        Ok(Some(template))
    }

    fn parse(text: &str) -> Result<Template, SourceError> {
        let refuse = |what: String| SourceError::config(format!("server option \"path_template\" {what}"), HINT);
        let mut told: Vec<Part> = Vec::new();
        let mut levels = Vec::new();
        for name in text.trim().trim_matches('/').split('/') {
            levels.push(level(name, &mut told).map_err(refuse)?);
        }
        let datasets = levels.iter().filter(|level| **level == Level::Dataset).count();
        if datasets != 1 {
            return Err(refuse("must have the folder dataset once".to_string()));
        }
        if levels.len() > MAX_DEPTH {
            return Err(refuse(format!("has more than {MAX_DEPTH} levels")));
        }
        if told.iter().all(|part| *part == Part::Stream) {
            return Err(refuse("says nothing of the time".to_string()));
        }
        Ok(Template { levels, slack_us: 0 })
    }

    /// The objects of a dataset whose folders may hold records of `range`. Errors as for [`partition::list`].
    pub fn list<S: Store>(
        &self,
        store: &S,
        dataset: Dataset,
        wanted: &Patterns,
        range: Window,
    ) -> Result<Found, SourceError> {
        let wide = Window::new(
            range.from.saturating_sub(self.slack_us),
            range.to.saturating_add(self.slack_us),
        );
        partition::list(store, self, dataset, wanted, wide)
    }
}

impl Names for Template {
    fn enter(&self, level: usize, name: &str, outer: &Partition, dataset: Dataset) -> Option<Partition> {
        match self.levels.get(level) {
            None | Some(Level::Any) => (!is_aside(name)).then(|| outer.clone()),
            Some(Level::Dataset) => folder_names(dataset).contains(&name).then(|| outer.clone()),
            Some(Level::Name(pieces)) => told(pieces, name, outer),
        }
    }

    fn holds_objects(&self, level: usize) -> bool {
        level >= self.levels.len()
    }
}

/// Understands one name; `told` is what the names before it tell.
fn level(name: &str, told: &mut Vec<Part>) -> Result<Level, String> {
    if name.is_empty() {
        return Err("has a folder without a name".to_string());
    }
    if name.starts_with('.') || name.chars().any(char::is_control) {
        return Err(format!(
            "has a folder \"{}\" that is never looked into",
            name.escape_debug()
        ));
    }
    let mut pieces = match name {
        "dataset" | "{dataset}" => return Ok(Level::Dataset),
        "*" => return Ok(Level::Any),
        "Y" => vec![Piece::Part(Part::Year)],
        "M" => vec![Piece::Part(Part::Month)],
        "D" => vec![Piece::Part(Part::Day)],
        "H" => vec![Piece::Part(Part::Hour)],
        "m" => vec![Piece::Part(Part::Minute)],
        _ => pieces(name)?,
    };
    if let [Piece::Text(key)] = pieces.as_slice()
        && let Some(bare) = key.strip_suffix('=')
    {
        let part = by_key(bare, told)
            .ok_or_else(|| format!("has a key \"{bare}\" of which it is not known what it tells: write {bare}=*"))?;
        pieces.push(Piece::Part(part));
    }
    for piece in &pieces {
        if let Piece::Part(part) = piece {
            follows(*part, told)?;
            told.push(*part);
        }
    }
    Ok(Level::Name(pieces))
}

/// Splits a name at its braces.
fn pieces(name: &str) -> Result<Vec<Piece>, String> {
    let mut out: Vec<Piece> = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let open = rest.find(['{', '}', '*']).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(open);
        if !text.is_empty() {
            out.push(Piece::Text(text.to_string()));
        }
        rest = match tail.strip_prefix('{').and_then(|tail| tail.split_once('}')) {
            Some((inner, tail)) => {
                let part = match inner {
                    "Y" => Part::Year,
                    "M" => Part::Month,
                    "D" => Part::Day,
                    "H" => Part::Hour,
                    "m" => Part::Minute,
                    "stream" => Part::Stream,
                    _ => {
                        return Err(format!(
                            "has {{{inner}}}: known are {{Y}}, {{M}}, {{D}}, {{H}}, {{m}} and {{stream}}"
                        ));
                    }
                };
                if matches!(out.last(), Some(Piece::Part(Part::Stream))) {
                    return Err("does not say where {stream} ends".to_string());
                }
                out.push(Piece::Part(part));
                tail
            }
            None if tail == "*" && text.ends_with('=') => {
                out.push(Piece::Rest);
                ""
            }
            None if tail.is_empty() => "",
            None => return Err(format!("has \"{name}\", in which braces or stars are out of place")),
        };
    }
    Ok(out)
}

fn by_key(key: &str, told: &[Part]) -> Option<Part> {
    Some(match key.to_ascii_lowercase().as_str() {
        "yyyy" | "year" | "date" | "dt" => Part::Date,
        "mm" if told.contains(&Part::Hour) => Part::Minute,
        "mm" | "month" => Part::Month,
        "dd" | "day" => Part::Day,
        "hh" | "hour" => Part::Hour,
        "minute" => Part::Minute,
        "stream" => Part::Stream,
        _ => return None,
    })
}

/// Whether a part may come behind those told so far: from coarse to fine, each once.
fn follows(part: Part, told: &[Part]) -> Result<(), String> {
    let year = told.iter().any(|p| matches!(p, Part::Date | Part::Year));
    let missing = match part {
        Part::Stream if told.contains(&Part::Stream) => return Err("tells the stream twice".to_string()),
        Part::Stream => return Ok(()),
        Part::Date | Part::Year if year => return Err("tells the year twice".to_string()),
        Part::Date | Part::Year => None,
        // The day may be missing before an hour: dataset/yyyy=/hh=/mm=.
        Part::Month | Part::Hour => (!year).then_some("a year"),
        Part::Day => (!told.contains(&Part::Month)).then_some("a month"),
        Part::Minute => (!told.contains(&Part::Hour)).then_some("an hour"),
    };
    let spelled = format!("{part:?}").to_lowercase();
    if let Some(missing) = missing {
        return Err(format!("tells the {spelled} without {missing} before it"));
    }
    if told.iter().any(|p| *p != Part::Stream && *p >= part) {
        return Err(format!("tells the {spelled} twice, or behind something finer"));
    }
    Ok(())
}

/// What a name says; `None` if it is called otherwise. A key whose value is no number says nothing, like
/// `mm=__HIVE_DEFAULT_PARTITION__`: what cannot be told is looked into.
fn told(pieces: &[Piece], name: &str, outer: &Partition) -> Option<Partition> {
    let is_key = |key: &str| key.ends_with('=') && name.starts_with(key);
    read(pieces, name, outer).or_else(|| match pieces {
        [Piece::Text(key), Piece::Part(_)] if is_key(key) => Some(outer.clone()),
        _ => None,
    })
}

/// Reads a name piece by piece, to its end.
fn read(pieces: &[Piece], name: &str, outer: &Partition) -> Option<Partition> {
    let mut said = outer.clone();
    let mut rest = name;
    for (at, piece) in pieces.iter().enumerate() {
        let part = match piece {
            Piece::Text(text) => {
                rest = rest.strip_prefix(text.as_str())?;
                continue;
            }
            Piece::Rest => return Some(said),
            Piece::Part(part) => *part,
        };
        let end = match (part, pieces.get(at + 1)) {
            (Part::Stream, Some(Piece::Text(text))) => rest.find(text.as_str())?,
            (Part::Stream | Part::Date, _) => rest.len(),
            (Part::Year, _) => digits(rest, 4),
            _ => digits(rest, 2),
        };
        let (value, tail) = rest.split_at_checked(end).filter(|(value, _)| !value.is_empty())?;
        let number = value.parse().ok();
        match part {
            Part::Date => said.date(value),
            Part::Year => said.year = value.parse().ok(),
            Part::Month => said.month = number,
            Part::Day => said.day = number,
            Part::Hour => said.hour = number,
            Part::Minute => said.minute = number,
            Part::Stream => said.stream = Some(value.to_string()),
        }
        rest = tail;
    }
    rest.is_empty().then_some(said)
}

/// How many digits a text begins with, at most `most`.
fn digits(text: &str, most: usize) -> usize {
    text.bytes().take(most).take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests;
