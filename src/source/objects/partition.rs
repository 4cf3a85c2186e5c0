//! Folders that tell the time of the records in them: what they tell, and the way down to those of a range.
//!
//! A record belongs to a window by its own time only; folders say where to look. One that lies in the folder of another
//! time is read with that folder, and then counts for no window but its own.

use super::listing::Found;
use super::object::{Entry, Format, Object, is_aside};
use super::store::{MAX_DEPTH, Store};
use crate::source::error::SourceError;
use crate::source::pattern::Patterns;
use chrono::{Days, Months, NaiveDate, NaiveDateTime, TimeDelta};
use engine::record::Dataset;
use engine::window::{MINUTE_US, Window};

/// The stream of records whose folders name none.
const DEFAULT_STREAM: &str = "default";
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// What the folders down to some level say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    pub year: Option<i32>,
    pub month: Option<u32>,
    pub day: Option<u32>,
    pub hour: Option<u32>,
    pub minute: Option<u32>,
    pub stream: Option<String>,
}

/// How folders are called.
pub trait Names {
    /// What a folder says beside those it lies in; `None` for one that holds no records of the dataset. Level 0 is
    /// directly below the source's folder.
    fn enter(&self, level: usize, name: &str, outer: &Partition, dataset: Dataset) -> Option<Partition>;

    /// Whether objects may lie in folders of that level; level 0 is the source's own.
    fn holds_objects(&self, level: usize) -> bool;
}

/// The objects of a dataset whose folders may hold records of `range`, in the order of their keys.
///
/// # Errors
/// `Config` when no folder fits any dataset; what listing can end in.
pub fn list<S: Store>(
    store: &S,
    names: &impl Names,
    dataset: Dataset,
    wanted: &Patterns,
    range: Window,
) -> Result<Found, SourceError> {
    let mut out = Found::default();
    let mut folders = vec![(store.root().to_string(), Partition::default(), 0)];
    while let Some((folder, partition, level)) = folders.pop() {
        let entries = store.entries(&folder)?;
        let fits = |entry: &Entry| {
            let enter = |d: &Dataset| names.enter(0, &entry.name, &partition, *d).is_some();
            entry.is_folder && Dataset::ALL.iter().any(enter)
        };
        if level == 0 && !entries.iter().any(fits) {
            return Err(SourceError::config(
                format!("{} holds no folder of a dataset", store.title()),
                "Point the source at the folder in which logs, metrics, traces or spans are, and check path_template.",
            ));
        }
        for Entry {
            name,
            key,
            is_folder,
            size,
        } in entries
        {
            if is_folder {
                let inner = names.enter(level, &name, &partition, dataset);
                let wanted_stream = |p: &Partition| p.stream.as_deref().is_none_or(|s| wanted.matches(s));
                if let Some(inner) = inner.filter(|p| level <= MAX_DEPTH && wanted_stream(p) && p.overlaps(range)) {
                    folders.push((key, inner, level + 1));
                }
                continue;
            }
            if is_aside(&name) || !names.holds_objects(level) {
                continue;
            }
            let Some(format) = Format::of(&name) else {
                out.skipped += 1;
                continue;
            };
            // Metric points name their metric themselves; the other datasets have one stream unless folders tell.
            let named = partition.stream.is_some() || dataset == Dataset::Metrics;
            if named || wanted.matches(DEFAULT_STREAM) {
                let stream = partition.stream.clone();
                out.objects.push(Object {
                    key,
                    dataset,
                    stream,
                    format,
                    size,
                    time: partition.bounds(),
                });
            }
        }
    }
    out.objects.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(out)
}

/// What the folder of a dataset may be called.
pub fn folder_names(dataset: Dataset) -> &'static [&'static str] {
    match dataset {
        Dataset::Logs => &["logs"],
        Dataset::Metrics => &["metrics"],
        Dataset::Traces => &["traces", "spans"],
    }
}

impl Partition {
    /// A year, or a whole date: `2026`, `2026-11-20`, `20261120`.
    pub fn date(&mut self, text: &str) {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let part = |range: std::ops::Range<usize>| digits.get(range).and_then(|d| d.parse::<u32>().ok());
        if digits.len() == 8 {
            (self.month, self.day) = (part(4..6), part(6..8));
        }
        self.year = part(0..4).and_then(|y| i32::try_from(y).ok());
    }

    /// Whether records of `range` may lie here. What cannot be told, or makes no date, is not left out.
    pub fn overlaps(&self, range: Window) -> bool {
        self.bounds().is_none_or(|b| b.from < range.to && range.from < b.to) && self.strikes_in(range)
    }

    /// The stretch of time the folders stand for, as fine as they tell without a gap.
    pub fn bounds(&self) -> Option<Window> {
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

    /// An hour, or a minute of it, of days that the folders do not tell: whether it comes in `range`.
    fn strikes_in(&self, range: Window) -> bool {
        let (Some(_), None, Some(hour @ 0..=23)) = (self.year, self.month.and(self.day), self.hour) else {
            return true;
        };
        let (start, length) = match self.minute {
            Some(minute @ 0..=59) => (i64::from(hour) * HOUR_US + i64::from(minute) * MINUTE_US, MINUTE_US),
            _ => (i64::from(hour) * HOUR_US, HOUR_US),
        };
        // The first that ends after the range begins.
        let day = range.from.saturating_sub(start + length).div_euclid(DAY_US) + 1;
        day.saturating_mul(DAY_US).saturating_add(start) < range.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 22:05 UTC.
    const T: i64 = 1_795_212_300_000_000;

    #[test]
    fn an_hour_without_a_day_comes_every_day() {
        let of = |hour, minute| Partition {
            year: Some(2026),
            hour: Some(hour),
            minute,
            ..Partition::default()
        };
        let minute = Window::new(T, T + MINUTE_US);
        for (partition, expected) in [
            (of(22, None), true),
            (of(22, Some(5)), true),
            (of(22, Some(4)), false),
            (of(22, Some(6)), false),
            (of(21, None), false),
            (of(23, None), false),
            (of(99, None), true),
        ] {
            assert_eq!(partition.overlaps(minute), expected, "{partition:?}");
        }
        assert!(of(3, Some(0)).overlaps(Window::new(T, T + DAY_US)));
        assert!(
            !of(22, Some(4)).overlaps(Window::new(T, T + DAY_US - MINUTE_US)),
            "up to the next day's"
        );
        assert!(of(22, Some(4)).overlaps(Window::new(T, T + DAY_US)));
        let late = Window::new(T + 400 * DAY_US, T + 400 * DAY_US + MINUTE_US);
        assert!(!of(22, None).overlaps(late), "another year");
        assert!(of(0, Some(0)).overlaps(Window::new(i64::MIN, i64::MAX)));
    }
}
