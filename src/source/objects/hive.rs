//! Time in the folders' names: `{dataset}/yyyy=2026/mm=11/dd=20/hh=22/mm=05/*`. The first `mm` is the month and the one
//! after `hh` the minute; `yyyy` may also be a whole date (`2026-11-20`, `20261120`); any level may be the last. Bare
//! numbers work as well: `{dataset}/2026/11/20/22/05/*`.
//! Folders with other keys may lie in between; `stream=` names the stream. This is a guess that fits most lakes; a
//! [`Template`](super::template::Template) says what is meant.

use super::listing::Found;
use super::object::is_aside;
use super::partition::{self, Names, Partition, folder_names};
use super::store::Store;
use crate::source::error::SourceError;
use crate::source::pattern::Patterns;
use engine::record::Dataset;
use engine::window::Window;

/// Folders by what their names look like.
struct Guess;

impl Names for Guess {
    fn enter(&self, level: usize, name: &str, outer: &Partition, dataset: Dataset) -> Option<Partition> {
        match level {
            0 => folder_names(dataset).contains(&name).then(Partition::default),
            _ => (!is_aside(name)).then(|| outer.clone().enter(name)),
        }
    }

    fn holds_objects(&self, level: usize) -> bool {
        level > 0
    }
}

/// The objects of a dataset whose folders may hold records of `range`. Errors as for [`partition::list`].
pub fn list<S: Store>(store: &S, dataset: Dataset, wanted: &Patterns, range: Window) -> Result<Found, SourceError> {
    partition::list(store, &Guess, dataset, wanted, range)
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
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05/_part.parquet",
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05/_temporary/0/e.parquet",
            "logs/_delta_log/0.json",
            "logs/_zone=x/yyyy=2026/mm=11/dd=20/hh=22/mm=05/f.PARQUET",
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05/app.log.gz",
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
                .objects
                .iter()
                .filter_map(|o| o.key.rsplit('/').next().map(str::to_string))
                .collect()
        };
        assert_eq!(
            names(Dataset::Logs, &Patterns::all(), T + MINUTE),
            ["f.PARQUET", "a.parquet", "b.parquet"]
        );
        assert_eq!(
            names(Dataset::Logs, &Patterns::new(["!debug"]), T + 2 * MINUTE),
            ["f.PARQUET", "a.parquet", "c.parquet"]
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
