//! From locators back to the rows of their objects.

use super::generations::Generations;
use super::object::{Format, Object};
use super::store::Store;
use super::{Layout, openobserve, read};
use crate::source::error::{ErrorKind, SourceError};
use crate::source::replay::{Replayed, through};
use crate::source::sample::Picked;
use crate::source::{Context, Locator, Sample};
use chrono::DateTime;
use engine::window::Window;
use std::collections::HashSet;

/// The rows of the locators' objects in their window; see [`crate::source::replay()`].
///
/// In OpenObserve's layout objects are merged: the rows of one that is not there any more lie in another object of the
/// same hour, beside those of others. Then the hour's folder is read instead of its locators.
pub fn replay<S: Store>(
    store: &S,
    layout: Layout,
    locators: &[Locator],
    sample: &Sample,
    ctx: &Context,
) -> Result<Replayed, SourceError> {
    let mut places: Vec<Place<'_>> = Vec::new();
    for locator in locators {
        let object = object(store, locator)?;
        let hour = Some(locator).filter(|_| layout == Layout::OpenObserve).and_then(hour);
        match places.iter_mut().find(|place| hour.is_some() && place.hour == hour) {
            Some(place) => place.members.push((locator, object)),
            None => places.push(Place {
                hour,
                members: vec![(locator, object)],
            }),
        }
    }
    let places = places.into_iter().map(|place| (place.records(), place));
    through(places, sample, |place, sample| place.rows(store, sample, ctx))
}

/// Objects that are read together.
struct Place<'l> {
    /// The folder of an hour in which objects are merged.
    hour: Option<&'l str>,
    members: Vec<(&'l Locator, Object)>,
}

impl Place<'_> {
    fn records(&self) -> u64 {
        self.members.iter().map(|(locator, _)| locator.records()).sum()
    }

    fn rows<S: Store>(self, store: &S, sample: &Sample, ctx: &Context) -> Result<Replayed, SourceError> {
        if let (Some(hour), Some((locator, object))) = (self.hour, self.members.first()) {
            let mut objects = openobserve::hour(store, object.dataset, "", hour)?.objects;
            store.keep_once(&mut objects);
            let there: HashSet<&str> = objects.iter().map(|o| o.key.as_str()).collect();
            if !self
                .members
                .iter()
                .all(|(_, object)| there.contains(object.key.as_str()))
            {
                return merged(store, locator, objects, sample, ctx);
            }
        }
        let members = self.members.into_iter().map(|member| (member.0.records(), member));
        through(members, sample, |(locator, object), sample| {
            match read::sample(store, &object, window(locator), sample, &ctx.cancel) {
                Ok(picked) if !picked.any => Err(gone(locator, "the object has none in this window")),
                Ok(picked) => Ok(Replayed::whole(picked.rows)),
                Err(e) if e.kind == ErrorKind::Gone => Err(gone(locator, "the object no longer exists")),
                Err(e) => Err(e),
            }
        })
    }
}

/// The rows of the locator's window in the objects of its hour, each once.
fn merged<S: Store>(
    store: &S,
    locator: &Locator,
    objects: Vec<Object>,
    sample: &Sample,
    ctx: &Context,
) -> Result<Replayed, SourceError> {
    let range = window(locator);
    let mut picked = Picked::new(sample);
    for object in Generations::new(store, objects, &ctx.cancel)?.of(store, range, &ctx.cancel)? {
        if picked.room() > 0 {
            read::rows(store, &object, range, &ctx.cancel, |row| picked.offer(row))?;
        }
    }
    match picked.any {
        true => Ok(Replayed::whole(picked.rows)),
        false => Err(gone(locator, "no object of its hour has any of this window")),
    }
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

/// The folder of the locator's stream and hour: its object may lie deeper, in folders of partition keys.
fn hour(locator: &Locator) -> Option<&str> {
    let hour = DateTime::from_timestamp_micros(locator.t_from)?
        .format("/%Y/%m/%d/%H/")
        .to_string();
    let at = locator.object_key.find(&hour)?;
    locator.object_key.get(..at + hour.len() - 1)
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
