//! What there is to read, listed once for all parts of a fetch.

use super::generations::Generations;
use super::object::Object;
use super::openobserve::Hour;
use super::store::Store;
use super::{Arrangement, Layout, hive, openobserve, plain};
use crate::source::error::SourceError;
use crate::source::fetch::Request;
use engine::record::Dataset;
use engine::window::Window;
use std::collections::HashMap;
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
    /// Everything of a dataset.
    All(Dataset),
}

impl Folder {
    pub fn dataset(&self) -> Dataset {
        let (Folder::Hour { dataset, .. } | Folder::All(dataset)) = self;
        *dataset
    }

    /// Whether it may hold records of `window`.
    pub fn overlaps(&self, window: Window) -> bool {
        match self {
            Folder::Hour { hour, .. } => hour.from < window.to && window.from < hour.to,
            Folder::All(_) => true,
        }
    }
}

/// What a folder has for a range.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub objects: Vec<Object>,
    /// Keys of objects in a format that cannot be read.
    pub unreadable: Vec<String>,
}

/// The listing of one fetch.
pub struct Listing<'a, S> {
    store: S,
    layout: Layout,
    /// OpenObserve's folder of the organization.
    org: String,
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
    pub fn new(store: S, arrangement: &Arrangement, request: Request<'a>) -> Result<Self, SourceError> {
        Ok(Listing {
            layout: arrangement.layout,
            org: match arrangement.layout {
                Layout::OpenObserve => openobserve::org_folder(&store, &arrangement.org)?,
                Layout::Hive | Layout::Plain => String::new(),
            },
            store,
            request,
            hours: Mutex::default(),
        })
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    /// Where records of a dataset and a range may be.
    ///
    /// # Errors
    /// Those of [`Store`].
    pub fn folders(&self, dataset: Dataset, range: Window) -> Result<Vec<Folder>, SourceError> {
        match self.layout {
            Layout::Hive | Layout::Plain => Ok(vec![Folder::All(dataset)]),
            Layout::OpenObserve => {
                let wanted = self.request.selection.streams(dataset);
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
        match (self.layout, folder) {
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
                })
            }
            (Layout::Plain, Folder::All(dataset)) => {
                plain::list(&self.store, *dataset, self.request.selection.streams(*dataset)).map(Found::of)
            }
            (_, Folder::All(dataset)) => {
                hive::list(&self.store, *dataset, self.request.selection.streams(*dataset), range).map(Found::of)
            }
        }
    }

    fn hour(&self, dataset: Dataset, stream: &str, key: &str) -> Result<Arc<Listed>, SourceError> {
        let lock = || self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(key) {
            return Ok(known.clone());
        }
        let Hour { objects, unreadable } = openobserve::hour(&self.store, dataset, stream, key)?;
        let listed = Arc::new(Listed {
            generations: Generations::new(&self.store, objects, &self.request.ctx.cancel)?,
            unreadable,
        });
        lock().insert(key.to_string(), listed.clone());
        Ok(listed)
    }
}

impl Found {
    fn of(objects: Vec<Object>) -> Self {
        Found {
            objects,
            unreadable: Vec::new(),
        }
    }
}
