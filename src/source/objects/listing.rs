//! What there is to read, listed once for all parts of a fetch.

use super::generations::Generations;
use super::object::Object;
use super::openobserve::Hour;
use super::store::Store;
use super::{Arrangement, Layout, hive, openobserve, plain};
use crate::source::error::SourceError;
use crate::source::options::Selection;
use engine::record::Dataset;
use engine::window::Window;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// A part of the listing that can be worked on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// One stream and hour of OpenObserve's.
    Hour {
        dataset: Dataset,
        stream: String,
        key: String,
    },
    /// Everything of a dataset.
    All(Dataset),
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
    store: &'a S,
    layout: Layout,
    /// OpenObserve's folder of the organization.
    org: String,
    selection: &'a Selection,
    cancel: &'a Arc<AtomicBool>,
    hours: Mutex<HashMap<String, Arc<(Generations, Vec<String>)>>>,
}

impl<'a, S: Store> Listing<'a, S> {
    /// # Errors
    /// `Config` when the place is not arranged like that; those of [`Store`].
    pub fn new(
        store: &'a S,
        arrangement: &Arrangement,
        selection: &'a Selection,
        cancel: &'a Arc<AtomicBool>,
    ) -> Result<Self, SourceError> {
        Ok(Listing {
            store,
            layout: arrangement.layout,
            org: match arrangement.layout {
                Layout::OpenObserve => openobserve::org_folder(store, &arrangement.org)?,
                Layout::Hive | Layout::Plain => String::new(),
            },
            selection,
            cancel,
            hours: Mutex::default(),
        })
    }

    /// Where records of a dataset and a range may be.
    ///
    /// # Errors
    /// Those of [`Store`].
    pub fn folders(&self, dataset: Dataset, range: Window) -> Result<Vec<Folder>, SourceError> {
        match self.layout {
            Layout::Hive | Layout::Plain => Ok(vec![Folder::All(dataset)]),
            Layout::OpenObserve => {
                let wanted = self.selection.streams(dataset);
                let hours = openobserve::folders(self.store, &self.org, dataset, wanted, range)?;
                let folder = |(stream, key)| Folder::Hour { dataset, stream, key };
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
            (_, Folder::Hour { dataset, stream, key }) => {
                let hour = self.hour(*dataset, stream, key)?;
                Ok(Found {
                    objects: hour.0.of(self.store, range, self.cancel)?,
                    unreadable: hour.1.clone(),
                })
            }
            (Layout::Plain, Folder::All(dataset)) => {
                plain::list(self.store, *dataset, self.selection.streams(*dataset)).map(Found::of)
            }
            (_, Folder::All(dataset)) => {
                hive::list(self.store, *dataset, self.selection.streams(*dataset), range).map(Found::of)
            }
        }
    }

    fn hour(&self, dataset: Dataset, stream: &str, key: &str) -> Result<Arc<(Generations, Vec<String>)>, SourceError> {
        let lock = || self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(key) {
            return Ok(known.clone());
        }
        let Hour { objects, unreadable } = openobserve::hour(self.store, dataset, stream, key)?;
        let listed = Arc::new((Generations::new(self.store, objects, self.cancel)?, unreadable));
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
