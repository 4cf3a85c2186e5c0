//! From locators back to the rows of their objects.

use super::fetch::LISTINGS;
use super::generations::Generations;
use super::object::{Format, Object};
use super::openobserve::Hour;
use super::store::{Store, join};
use super::{Arrangement, Layout, openobserve, read};
use crate::source::error::{ErrorKind, SourceError};
use crate::source::file_list::FileList;
use crate::source::replay::{Replayed, through};
use crate::source::sample::Picked;
use crate::source::{Context, Locator, Sample};
use chrono::DateTime;
use engine::window::Window;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// The rows of the locators' objects in their window; see [`crate::source::replay()`].
///
/// In OpenObserve's layout objects are merged: the rows of one that is not live any more lie in another object of the
/// same hour, beside those of others. Then the hour is read instead of its locators. What is live, whoever told the fetch
/// tells here as well.
pub fn replay<S: Store>(
    store: &S,
    arrangement: &Arrangement,
    locators: &[Locator],
    sample: &Sample,
    ctx: &Context,
) -> Result<Replayed, SourceError> {
    let merges = arrangement.layout == Layout::OpenObserve;
    let mut places: Vec<Place<'_>> = Vec::new();
    for locator in locators {
        let object = object(store, locator)?;
        let hour = Some(locator)
            .filter(|_| merges)
            .and_then(|l| hour(&l.object_key, l.t_from));
        match places.iter_mut().find(|place| hour.is_some() && place.hour == hour) {
            Some(place) => place.members.push((locator, object)),
            None => places.push(Place {
                hour,
                members: vec![(locator, object)],
            }),
        }
    }
    let mut hours = Hours::new(store, arrangement, locators, ctx)?;
    let places = places.into_iter().map(|place| (place.records(), place));
    through(places, sample, |place, sample| place.rows(&mut hours, sample))
}

/// What OpenObserve has in an hour of a stream.
struct Hours<'a, S> {
    store: &'a S,
    ctx: &'a Context,
    told: Option<Told<'a>>,
}

/// The metadata database tells.
struct Told<'a> {
    file_list: FileList,
    org: &'a str,
    /// OpenObserve's folder of the organization.
    folder: String,
    /// The locators of which it is asked, all at once.
    locators: &'a [Locator],
    /// What it said, by the folder of the hour.
    live: Option<HashMap<String, Hour>>,
}

impl<'a, S: Store> Hours<'a, S> {
    fn new(
        store: &'a S,
        arrangement: &'a Arrangement,
        locators: &'a [Locator],
        ctx: &'a Context,
    ) -> Result<Self, SourceError> {
        let told = match (&arrangement.file_list, locators.first()) {
            (Some(config), Some(locator)) => Some(Told {
                file_list: FileList::new(config, &locator.bucket, ctx.http_timeout, &ctx.cancel),
                org: &arrangement.org,
                folder: openobserve::told_org_folder(store, &arrangement.org)?,
                locators,
                live: None,
            }),
            _ => None,
        };
        Ok(Hours { store, ctx, told })
    }

    /// What there is in the folder of an hour: all that lies there, or what is live.
    fn of(&mut self, folder: &str, object: &Object) -> Result<Hour, SourceError> {
        if let Some(told) = &mut self.told {
            return Ok(told.live()?.get(folder).cloned().unwrap_or_default());
        }
        let mut hour = openobserve::hour(self.store, object.dataset, "", folder)?;
        self.store.keep_once(&mut hour.objects);
        Ok(hour)
    }

    /// Those of an hour's objects that count and may hold rows of `range`.
    fn counting(&self, objects: Vec<Object>, range: Window) -> Result<Vec<Object>, SourceError> {
        match self.told {
            Some(_) => Ok(objects),
            None => Generations::new(self.store, objects, &self.ctx.cancel)?.of(self.store, range, &self.ctx.cancel),
        }
    }

    /// Something has changed since: what comes next is found out anew.
    fn forget(&mut self) {
        if let Some(told) = &mut self.told {
            told.live = None;
        }
    }
}

impl Told<'_> {
    fn live(&mut self) -> Result<&HashMap<String, Hour>, SourceError> {
        let live = match self.live.take() {
            Some(live) => live,
            None => self.ask()?,
        };
        Ok(self.live.insert(live))
    }

    fn ask(&self) -> Result<HashMap<String, Hour>, SourceError> {
        let mut live: HashMap<String, Hour> = HashMap::new();
        let Some(first) = self.locators.first() else {
            return Ok(live);
        };
        // All are of one dataset and window.
        let hours = self.locators.iter().filter_map(|l| hour(&l.object_key, l.t_from));
        let streams: HashSet<&str> = hours.filter_map(stream).collect();
        let wanted = |name: &str| streams.contains(name);
        for object in self.file_list.live(self.org, first.dataset, &wanted, window(first))? {
            let key = join(&self.folder, &object.path);
            if let Some(folder) = hour(&key, object.hour.from).map(str::to_string) {
                live.entry(folder)
                    .or_default()
                    .add(first.dataset, &object.stream, key, object.size);
            }
        }
        Ok(live)
    }
}

/// Objects that are read together.
struct Place<'l> {
    /// The folder of an hour in which objects are merged.
    hour: Option<&'l str>,
    members: Vec<(&'l Locator, Object)>,
}

impl<'l> Place<'l> {
    fn records(&self) -> u64 {
        self.members.iter().map(|(locator, _)| locator.records()).sum()
    }

    /// Objects may be merged while they are read: then the hour is looked at anew.
    fn rows<S: Store>(self, hours: &mut Hours<'_, S>, sample: &Sample) -> Result<Replayed, SourceError> {
        let (Some(folder), Some((locator, object))) = (self.hour, self.members.first()) else {
            let members: Vec<_> = self
                .members
                .iter()
                .map(|(locator, object)| (*locator, object))
                .collect();
            return one_by_one(hours, &members, sample, &Cell::new(false));
        };
        let mut listings = 1;
        loop {
            let found = hours.of(folder, object)?;
            // Those that were listed are better known.
            let there: HashMap<&str, &Object> = found.objects.iter().map(|o| (o.key.as_str(), o)).collect();
            let live = |(locator, object): &(&'l Locator, Object)| Some((*locator, *there.get(object.key.as_str())?));
            let vanished = Cell::new(false);
            let rows = match self.members.iter().map(live).collect::<Option<Vec<_>>>() {
                Some(members) => one_by_one(hours, &members, sample, &vanished),
                None => self.merged(hours, locator, found, sample),
            };
            vanished.set(vanished.get() || rows.as_ref().is_err_and(|e| is_gone(e) && e.is_transient()));
            if !vanished.get() || listings >= LISTINGS {
                return rows;
            }
            listings += 1;
            hours.forget();
        }
    }

    /// The rows of the locator's window in the objects of its hour, each once.
    fn merged<S: Store>(
        &self,
        hours: &Hours<'_, S>,
        locator: &Locator,
        found: Hour,
        sample: &Sample,
    ) -> Result<Replayed, SourceError> {
        let range = window(locator);
        let (mut picked, mut seen) = (Picked::new(sample), 0);
        for object in hours.counting(found.objects, range)? {
            if picked.room() > 0 {
                read::rows(hours.store, &object, range, &hours.ctx.cancel, |row| {
                    seen += 1;
                    picked.offer(row)
                })?;
            }
        }
        if !picked.any {
            return Err(match found.unreadable.first() {
                Some(key) => gone(locator, "their hour has an object in a format that cannot be read")
                    .hint(format!("\"{key}\" is one: read this time over OpenObserve's API.")),
                None => gone(locator, "no object of its hour has any of this window"),
            });
        }
        // Who has seen enough does not know how many there are.
        let gone = match picked.room() {
            0 => 0,
            _ => self.records().saturating_sub(seen),
        };
        Ok(Replayed {
            rows: picked.rows,
            gone,
        })
    }
}

/// The rows of the locators' own objects. `vanished`: whether one of them is no more.
fn one_by_one<S: Store>(
    hours: &Hours<'_, S>,
    members: &[(&Locator, &Object)],
    sample: &Sample,
    vanished: &Cell<bool>,
) -> Result<Replayed, SourceError> {
    let members = members.iter().map(|member| (member.0.records(), member));
    through(members, sample, |(locator, object), sample| {
        match read::sample(hours.store, object, window(locator), sample, &hours.ctx.cancel) {
            Ok(picked) if !picked.any => Err(gone(locator, "the object has none in this window")),
            Ok(picked) => Ok(Replayed::whole(picked.rows)),
            Err(e) if is_gone(&e) => {
                vanished.set(true);
                Err(gone(locator, "the object no longer exists"))
            }
            Err(e) => Err(e),
        }
    })
}

/// The object a locator names.
fn object<S: Store>(store: &S, locator: &Locator) -> Result<Object, SourceError> {
    let format = Format::of(&locator.object_key).filter(|_| locator.object_key.starts_with(store.root()));
    let Some(format) = format else {
        return Err(SourceError::config(
            format!("\"{}\" is no object this source could have read", locator.object_key),
            "Only locators written by a fetch can be replayed.",
        ));
    };
    Ok(Object {
        key: locator.object_key.clone(),
        dataset: locator.dataset,
        stream: None,
        format,
        size: None,
        time: None,
    })
}

/// The folder of an object's stream and hour: the object may lie deeper, in folders of partition keys.
fn hour(key: &str, at: i64) -> Option<&str> {
    let hour = DateTime::from_timestamp_micros(at)?.format("/%Y/%m/%d/%H/").to_string();
    let at = key.find(&hour)?;
    key.get(..at + hour.len() - 1)
}

/// The stream of such a folder.
fn stream(hour: &str) -> Option<&str> {
    hour.rsplit('/').nth(4)
}

fn is_gone(e: &SourceError) -> bool {
    e.kind == ErrorKind::Gone
}

fn window(locator: &Locator) -> Window {
    Window::new(locator.t_from, locator.t_to)
}

fn gone(locator: &Locator, what: &str) -> SourceError {
    SourceError::new(ErrorKind::Gone, format!("the records are gone: {what}"))
        .detail(format!(
            "Server \"{}\", object \"{}\".",
            locator.bucket, locator.object_key
        ))
        .hint("Compaction or retention took the object away; replay the window to get a new locator.")
}
