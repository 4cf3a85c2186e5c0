//! Time in the folders' names: `{dataset}/yyyy=2026/mm=11/dd=20/hh=22/mm=05/*`. The first `mm` is the month and the one
//! after `hh` the minute; `yyyy` may also be a whole date (`2026-11-20`, `20261120`); any level may be the last. Bare
//! numbers work as well: `{dataset}/2026/11/20/22/05/*`.
//! Folders with other keys may lie in between; `stream=` names the stream.

use super::object::{Entry, Format, Object};
use super::store::{MAX_DEPTH, Store, join};
use crate::source::error::SourceError;
use crate::source::pattern::Patterns;
use chrono::{Days, Months, NaiveDate, NaiveDateTime, TimeDelta};
use engine::record::Dataset;
use engine::window::Window;

/// The stream of records whose folders name none.
const DEFAULT_STREAM: &str = "default";

/// What the folders down to some level say.
#[derive(Clone, Debug, Default, PartialEq)]
struct Partition {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    hour: Option<u32>,
    minute: Option<u32>,
    stream: Option<String>,
}

/// The objects of a dataset whose folders may hold records of `range`.
///
/// # Errors
/// `Config` when there is no dataset's folder at all; what listing can end in.
pub fn list<S: Store>(
    store: &S,
    dataset: Dataset,
    wanted: &Patterns,
    range: Window,
) -> Result<Vec<Object>, SourceError> {
    let mut out = Vec::new();
    let mut folders: Vec<(String, Partition, usize)> = Vec::new();
    for Entry {
        name, key, is_folder, ..
    } in store.entries(store.root())?
    {
        if is_folder && folder_names(dataset).contains(&name.as_str()) {
            folders.push((key, Partition::default(), 0));
        }
    }
    if folders.is_empty() && !has_dataset(store)? {
        return Err(SourceError::config(
            format!("{} holds no folder of a dataset", store.title()),
            "Point the source at the folder in which logs, metrics, traces or spans are.",
        ));
    }
    while let Some((folder, partition, depth)) = folders.pop() {
        for Entry {
            name,
            key,
            is_folder,
            size,
        } in store.entries(&folder)?
        {
            if is_folder {
                let inner = partition.clone().enter(&name);
                let wanted_stream = inner.stream.as_deref().is_none_or(|s| wanted.matches(s));
                if depth < MAX_DEPTH && wanted_stream && inner.overlaps(range) {
                    folders.push((key, inner, depth + 1));
                }
                continue;
            }
            let Some(format) = Format::of(&name) else { continue };
            // Metric points name their metric themselves; the other datasets have one stream unless folders tell.
            let named = partition.stream.is_some() || dataset == Dataset::Metrics;
            if named || wanted.matches(DEFAULT_STREAM) {
                let stream = partition.stream.clone();
                out.push(Object {
                    key,
                    dataset,
                    stream,
                    format,
                    size,
                });
            }
        }
    }
    out.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(out)
}

fn has_dataset<S: Store>(store: &S) -> Result<bool, SourceError> {
    for name in Dataset::ALL.iter().flat_map(|d| folder_names(*d)) {
        if store.is_folder(&join(store.root(), name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn folder_names(dataset: Dataset) -> &'static [&'static str] {
    match dataset {
        Dataset::Logs => &["logs"],
        Dataset::Metrics => &["metrics"],
        Dataset::Traces => &["traces", "spans"],
    }
}

impl Partition {
    /// One folder further down.
    fn enter(mut self, folder: &str) -> Self {
        let Some((k, v)) = folder.split_once('=') else {
            return self.enter_number(folder);
        };
        let number = v.parse().ok();
        match k.to_ascii_lowercase().as_str() {
            "yyyy" | "year" | "date" | "dt" => self.date(v),
            "month" => self.month = number,
            "dd" | "day" => self.day = number,
            "hh" | "hour" => self.hour = number,
            "minute" => self.minute = number,
            "mm" if self.hour.is_some() => self.minute = number,
            "mm" => self.month = number,
            "stream" => self.stream = Some(v.to_string()),
            _ => {}
        }
        self
    }

    /// A folder that is a bare number is the next finer part of the time: `2026/11/20/22/05`.
    fn enter_number(mut self, folder: &str) -> Self {
        let number = folder
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| folder.parse().ok())
            .flatten();
        match (self.year, self.month, self.day, self.hour, self.minute) {
            (None, ..) if folder.len() == 4 => self.year = number.and_then(|y| i32::try_from(y).ok()),
            (None, ..) => {}
            _ if folder.len() > 2 => {}
            (_, None, ..) => self.month = number,
            (_, _, None, ..) => self.day = number,
            (_, _, _, None, _) => self.hour = number,
            (_, _, _, _, None) => self.minute = number,
            _ => {}
        }
        self
    }

    fn date(&mut self, text: &str) {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let part = |range: std::ops::Range<usize>| digits.get(range).and_then(|d| d.parse::<u32>().ok());
        if digits.len() == 8 {
            (self.month, self.day) = (part(4..6), part(6..8));
        }
        self.year = part(0..4).and_then(|y| i32::try_from(y).ok());
    }

    fn overlaps(&self, range: Window) -> bool {
        // What cannot be told, or makes no date, is not left out: records are filtered by their own time.
        self.bounds().is_none_or(|b| b.from < range.to && range.from < b.to)
    }

    /// The stretch of time the folders stand for, as fine as they tell without a gap.
    fn bounds(&self) -> Option<Window> {
        let year = self.year?;
        let date = NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.month.and(self.day).unwrap_or(1))?;
        let start = date.and_hms_opt(0, 0, 0)?;
        let (start, end) = match (self.month, self.day, self.hour, self.minute) {
            (None, ..) => (start, start.checked_add_months(Months::new(12))?),
            (_, None, ..) => (start, start.checked_add_months(Months::new(1))?),
            (_, _, None, _) => (start, start.checked_add_days(Days::new(1))?),
            (_, _, Some(hour), None) => {
                let at = date.and_hms_opt(hour, 0, 0)?;
                (at, at.checked_add_signed(TimeDelta::hours(1))?)
            }
            (_, _, Some(hour), Some(minute)) => {
                let at = date.and_hms_opt(hour, minute, 0)?;
                (at, at.checked_add_signed(TimeDelta::minutes(1))?)
            }
        };
        let us = |t: NaiveDateTime| t.and_utc().timestamp_micros();
        Some(Window::new(us(start), us(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::testing::place;
    use crate::source::objects::Layout;
    use std::fs;

    /// 2026-11-20 22:05 UTC.
    const T: i64 = 1_795_212_300_000_000;
    const MINUTE: i64 = 60_000_000;

    fn bounds(path: &str) -> Option<(i64, i64)> {
        let p = path.split('/').fold(Partition::default(), Partition::enter);
        p.bounds().map(|b| (b.from, b.to))
    }

    #[test]
    fn folders_stand_for_stretches_of_time() {
        let minute = Some((T, T + MINUTE));
        assert_eq!(bounds("yyyy=2026/mm=11/dd=20/hh=22/mm=05"), minute);
        assert_eq!(bounds("year=2026/month=11/day=20/hour=22/minute=5"), minute);
        assert_eq!(bounds("yyyy=2026-11-20/hh=22/mm=05"), minute);
        assert_eq!(bounds("stream=x/dt=20261120/hh=22/mm=05/host=a"), minute);
        assert_eq!(
            bounds("yyyy=2026/mm=11/dd=20/hh=22"),
            Some((T - 5 * MINUTE, T + 55 * MINUTE))
        );
        assert_eq!(bounds("stream=x/2026/11/20/22/05"), minute);
        assert_eq!(bounds("2026/11/20/22"), bounds("yyyy=2026/mm=11/dd=20/hh=22"));
        let year = bounds("yyyy=2026").unwrap();
        assert_eq!(year.1 - year.0, 365 * 24 * 60 * MINUTE);
        // Without a day the hour tells nothing.
        assert_eq!(bounds("yyyy=2026/hh=22/mm=05"), Some(year));
        for unclear in [
            "",
            "host=a",
            "yyyy=x",
            "yyyy=2026/mm=13",
            "yyyy=2026/mm=02/dd=30",
            "hh=22",
            "22/05",
        ] {
            assert_eq!(bounds(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn only_folders_of_the_window_and_wanted_streams_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05/a.parquet",
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05/stream=debug/b.parquet",
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=06/c.parquet",
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05/_SUCCESS",
            "spans/yyyy=2026-11-20/hh=22/mm=05/d.ndjson",
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = vec![dir.path().to_path_buf()];
        let place_of = |path| place(path, root.clone(), Layout::Hive).unwrap();
        let place = place_of(dir.path().to_path_buf());
        let names = |dataset, wanted: &Patterns, to| -> Vec<String> {
            let found = list(&place, dataset, wanted, Window::new(T, to)).unwrap();
            found
                .iter()
                .filter_map(|o| o.key.rsplit('/').next().map(str::to_string))
                .collect()
        };
        assert_eq!(
            names(Dataset::Logs, &Patterns::all(), T + MINUTE),
            ["a.parquet", "b.parquet"]
        );
        assert_eq!(
            names(Dataset::Logs, &Patterns::new(["!debug"]), T + 2 * MINUTE),
            ["a.parquet", "c.parquet"]
        );
        assert_eq!(
            names(Dataset::Logs, &Patterns::new(["debug"]), T + MINUTE),
            ["b.parquet"]
        );
        assert_eq!(names(Dataset::Traces, &Patterns::all(), T + MINUTE), ["d.ndjson"]);
        assert!(names(Dataset::Metrics, &Patterns::all(), T + MINUTE).is_empty());
        let inner = place_of(dir.path().join("logs"));
        let wrong = list(&inner, Dataset::Logs, &Patterns::all(), Window::new(T, T + 1));
        assert!(wrong.unwrap_err().is_permanent());
    }
}
