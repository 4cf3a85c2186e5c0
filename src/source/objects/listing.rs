//! What there is to read, listed once for all parts of a fetch.

use super::generations::Generations;
use super::object::Object;
use super::openobserve::Hour;
use super::store::{Store, join};
use super::{Arrangement, Layout, hive, openobserve, plain};
use crate::source::error::SourceError;
use crate::source::fetch::Request;
use crate::source::file_list::FileList;
use engine::record::Dataset;
use engine::window::Window;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// A part of the listing that can be worked on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// One stream and hour of OpenObserve's.
    Hour {
        dataset: Dataset,
        stream: String,
        hour: Window,
        key: String,
    },
    /// One stream and hour of OpenObserve's, with its live objects.
    Live {
        dataset: Dataset,
        hour: Window,
        found: Found,
    },
    /// Everything of a dataset.
    All(Dataset),
}

impl Folder {
    pub fn dataset(&self) -> Dataset {
        let (Folder::Hour { dataset, .. } | Folder::Live { dataset, .. } | Folder::All(dataset)) = self;
        *dataset
    }

    /// Whether it may hold records of `window`.
    pub fn overlaps(&self, window: Window) -> bool {
        match self {
            Folder::Hour { hour, .. } | Folder::Live { hour, .. } => hour.from < window.to && window.from < hour.to,
            Folder::All(_) => true,
        }
    }
}

/// What a folder has for a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub objects: Vec<Object>,
    /// Keys of objects in a format that cannot be read.
    pub unreadable: Vec<String>,
    /// How many there are whose names do not tell a format.
    pub skipped: u64,
}

/// The listing of one fetch.
pub struct Listing<'a, S> {
    store: S,
    arrangement: &'a Arrangement,
    /// OpenObserve's folder of the organization.
    org: String,
    file_list: Option<FileList>,
    request: Request<'a>,
    hours: Mutex<HashMap<String, Arc<Listed>>>,
}

/// An hour's folder.
struct Listed {
    generations: Generations,
    unreadable: Vec<String>,
}

impl<'a, S: Store> Listing<'a, S> {
    /// # Errors
    /// `Config` when the place is not arranged like that; those of [`Store`].
    pub fn new(store: S, arrangement: &'a Arrangement, request: Request<'a>) -> Result<Self, SourceError> {
        let ctx = request.ctx;
        let file_list = arrangement
            .file_list
            .as_ref()
            .map(|config| FileList::new(config, request.server, ctx.http_timeout, &ctx.cancel));
        Ok(Listing {
            org: match arrangement.layout {
                Layout::OpenObserve if file_list.is_some() => openobserve::told_org_folder(&store, &arrangement.org)?,
                Layout::OpenObserve => openobserve::org_folder(&store, &arrangement.org)?,
                Layout::Hive | Layout::Plain => String::new(),
            },
            arrangement,
            file_list,
            store,
            request,
            hours: Mutex::default(),
        })
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    /// Ends what blocks on any thread; later calls fail.
    pub fn interrupt(&self) {
        self.store.interrupt();
        if let Some(file_list) = &self.file_list {
            file_list.interrupt();
        }
    }

    /// Where records of a dataset and a range may be.
    ///
    /// # Errors
    /// Those of [`Store`] and of [`FileList::live`].
    pub fn folders(&self, dataset: Dataset, range: Window) -> Result<Vec<Folder>, SourceError> {
        let wanted = self.request.selection.streams(dataset);
        match (self.arrangement.layout, &self.file_list) {
            (Layout::Hive | Layout::Plain, _) => Ok(vec![Folder::All(dataset)]),
            (Layout::OpenObserve, Some(file_list)) => self.live(file_list, dataset, range),
            (Layout::OpenObserve, None) => {
                let hours = openobserve::folders(&self.store, &self.org, dataset, wanted, range)?;
                let folder = |(stream, hour, key)| Folder::Hour {
                    dataset,
                    stream,
                    hour,
                    key,
                };
                Ok(hours.into_iter().map(folder).collect())
            }
        }
    }

    /// The objects of a folder that may hold records of `range`, each record once.
    ///
    /// # Errors
    /// `Config` when the place is not arranged like that; those of [`Store`].
    pub fn objects(&self, folder: &Folder, range: Window) -> Result<Found, SourceError> {
        let wanted = self.request.selection.streams(folder.dataset());
        match (self.arrangement.layout, folder) {
            (_, Folder::Live { found, .. }) => Ok(found.clone()),
            (
                _,
                Folder::Hour {
                    dataset, stream, key, ..
                },
            ) => {
                let hour = self.hour(*dataset, stream, key)?;
                Ok(Found {
                    objects: hour.generations.of(&self.store, range, &self.request.ctx.cancel)?,
                    unreadable: hour.unreadable.clone(),
                    skipped: 0,
                })
            }
            (layout, Folder::All(dataset)) => {
                let mut found = match (layout, &self.arrangement.template) {
                    (Layout::Plain, _) => plain::list(&self.store, *dataset, wanted)?,
                    (_, Some(template)) => template.list(&self.store, *dataset, wanted, range)?,
                    (_, None) => hive::list(&self.store, *dataset, wanted, range)?,
                };
                self.store.keep_once(&mut found.objects);
                Ok(found)
            }
        }
    }

    /// The live objects by stream and hour.
    fn live(&self, file_list: &FileList, dataset: Dataset, range: Window) -> Result<Vec<Folder>, SourceError> {
        let wanted = self.request.selection.streams(dataset);
        let mut hours: BTreeMap<(String, i64), (Window, Hour)> = BTreeMap::new();
        for live in file_list.live(&self.arrangement.org, dataset, &|name| wanted.matches(name), range)? {
            let key = join(&self.org, &live.path);
            let (_, hour) = hours
                .entry((live.stream.clone(), live.hour.from))
                .or_insert_with(|| (live.hour, Hour::default()));
            hour.add(dataset, &live.stream, key, live.size);
        }
        let folder = |(hour, Hour { objects, unreadable })| Folder::Live {
            dataset,
            hour,
            found: Found {
                objects,
                unreadable,
                skipped: 0,
            },
        };
        Ok(hours.into_values().map(folder).collect())
    }

    fn hour(&self, dataset: Dataset, stream: &str, key: &str) -> Result<Arc<Listed>, SourceError> {
        let lock = || self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(key) {
            return Ok(known.clone());
        }
        let Hour {
            mut objects,
            unreadable,
        } = openobserve::hour(&self.store, dataset, stream, key)?;
        self.store.keep_once(&mut objects);
        let listed = Arc::new(Listed {
            generations: Generations::new(&self.store, objects, &self.request.ctx.cancel)?,
            unreadable,
        });
        lock().insert(key.to_string(), listed.clone());
        Ok(listed)
    }
}
