//! The way of windows from the listing over the objects to the aggregator.

mod count;
mod rows;

use super::Arrangement;
use super::listing::{Folder, Listing};
use super::object::Object;
use super::read;
use super::store::Store;
use crate::source::count::Counts;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::fetch::{self, Request};
use crate::source::rows::Each;
use crate::source::{FetchStats, Locator, pool};
use engine::aggregate::{Aggregator, records_range};
use engine::record::{Dataset, RecordSink, RejectReason};
use engine::window::Window;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// How often objects are listed, all in all, because one vanished between its listing and its reading.
pub(super) const LISTINGS: usize = 4;

/// What there is to do. The earlier steps push the later ones.
enum Task {
    Dataset(Dataset),
    Folder(Folder),
    Object(Object),
}

/// What one thread gathers.
#[derive(Default)]
struct Worker {
    aggregator: Option<Aggregator>,
    locators: Vec<Locator>,
    stats: FetchStats,
}

/// Reads objects; see [`fetch::Reader`].
///
/// A compactor takes objects away while they are read. What was read by then is thrown away and everything listed
/// again: the product is there before its sources go.
pub struct Reader<'a, S, O> {
    /// Makes the store, anew for each listing.
    open: O,
    arrangement: &'a Arrangement,
    request: Request<'a>,
    listing: Listing<'a, S>,
    listings: usize,
    stats: FetchStats,
    /// Objects that cannot be read, in which only parents were looked for.
    unreadable: BTreeSet<String>,
}

impl<'a, S: Store, O: Fn() -> Result<S, SourceError>> Reader<'a, S, O> {
    /// # Errors
    /// Those of `open` and of [`Listing::new`].
    pub fn new(open: O, arrangement: &'a Arrangement, request: Request<'a>) -> Result<Self, SourceError> {
        Ok(Reader {
            listing: Listing::new(open()?, arrangement, request)?,
            open,
            arrangement,
            request,
            listings: 1,
            stats: FetchStats::default(),
            unreadable: BTreeSet::new(),
        })
    }

    /// Runs `read`, on a new listing each time an object has vanished under it.
    fn until_nothing_vanishes<T>(
        &mut self,
        mut read: impl FnMut(&Listing<'a, S>) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        loop {
            match read(&self.listing) {
                Err(e) if e.kind != ErrorKind::Gone => return Err(e),
                Err(e) if self.listings >= LISTINGS => {
                    return Err(e.hint(match self.arrangement.file_list {
                        Some(_) => {
                            "The metadata database names objects that are not there; the window is tried again later. \
                             If it stays: prefix must be ZO_S3_BUCKET_PREFIX as it is, and both must be of one \
                             OpenObserve."
                        }
                        None => {
                            "Objects vanish faster than they can be read, or are listed without being there; the \
                             window is tried again later."
                        }
                    }));
                }
                Err(_) => {
                    self.listings += 1;
                    self.stats.requests += self.listing.store().requests();
                    self.listing = Listing::new((self.open)()?, self.arrangement, self.request)?;
                }
                done => return done,
            }
        }
    }
}

impl<S: Store, O: Fn() -> Result<S, SourceError>> fetch::Reader for Reader<'_, S, O> {
    fn records(&mut self) -> Result<(Aggregator, Vec<Locator>), SourceError> {
        let request = self.request;
        let workers = self.until_nothing_vanishes(|listing| {
            let tasks = request.selection.datasets().map(Task::Dataset).collect();
            let work = |task, worker: &mut Worker, queue: &pool::Queue<'_, Task>| {
                queue.check()?;
                worker.work(task, listing, &request, |task| queue.push(task))
            };
            let ctx = request.ctx;
            pool::run(tasks, ctx.concurrency, &ctx.cancel, Worker::default, work, || {
                listing.interrupt()
            })
        })?;
        let mut aggregator = request.aggregator();
        let mut locators = Vec::new();
        for worker in workers {
            if let Some(a) = worker.aggregator {
                aggregator.merge(a);
            }
            locators.extend(worker.locators);
            self.stats.add(&worker.stats);
        }
        locators.sort_by(|a, b| (a.dataset, &a.object_key, a.t_from).cmp(&(b.dataset, &b.object_key, b.t_from)));
        Ok((aggregator, locators))
    }

    fn parents(&mut self, ranges: &[Window], into: &mut Aggregator) -> Result<(), SourceError> {
        let cancel = &self.request.ctx.cancel;
        let own = records_range(Dataset::Traces, self.request.windows.range());
        let sink = Mutex::new(into);
        // A parent that is given twice, because something vanished in between, is the same parent.
        let workers = self.until_nothing_vanishes(|listing| {
            let read = |range, worker: &mut (FetchStats, BTreeSet<String>), queue: &pool::Queue<'_, _>| {
                let (stats, unreadable) = worker;
                for folder in listing.folders(Dataset::Traces, range)? {
                    let found = listing.objects(&folder, range)?;
                    // Those of the windows themselves are counted there.
                    unreadable.extend(found.unreadable.into_iter().filter(|_| !folder.overlaps(own)));
                    for object in found.objects {
                        queue.check()?;
                        // The lock is only poisoned by a panic, which ends the fetch.
                        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                        stats.files += 1;
                        stats.bytes += read::parents(listing.store(), &object, range, cancel, &mut **sink)?;
                    }
                }
                Ok(())
            };
            // One thread: the aggregator can take parents from one object at a time only.
            pool::run(ranges.to_vec(), 1, cancel, Default::default, read, || {
                listing.interrupt()
            })
        })?;
        for (stats, unreadable) in workers {
            self.stats.add(&stats);
            self.unreadable.extend(unreadable);
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<Counts, SourceError> {
        self.count_windows()
    }

    fn rows(&mut self, each: &mut Each<'_>) -> Result<(), SourceError> {
        self.hand_rows(each)
    }

    fn stats(&self) -> FetchStats {
        let mut stats = self.stats.clone();
        stats.requests += self.listing.store().requests();
        stats.unreadable += self.unreadable.len() as u64;
        stats
    }
}

impl Worker {
    fn aggregator(&mut self, request: &Request<'_>) -> &mut Aggregator {
        self.aggregator.get_or_insert_with(|| request.aggregator())
    }

    fn work<S: Store>(
        &mut self,
        task: Task,
        listing: &Listing<'_, S>,
        request: &Request<'_>,
        mut push: impl FnMut(Task),
    ) -> Result<(), SourceError> {
        let windows = request.windows;
        match task {
            Task::Dataset(dataset) => {
                let folders = listing.folders(dataset, records_range(dataset, windows.range()))?;
                folders.into_iter().for_each(|folder| push(Task::Folder(folder)));
            }
            Task::Folder(folder) => {
                let found = listing.objects(&folder, records_range(folder.dataset(), windows.range()))?;
                found.objects.into_iter().for_each(|object| push(Task::Object(object)));
                self.stats.skipped += found.skipped;
                self.stats.unreadable += found.unreadable.len() as u64;
                for key in found.unreadable {
                    self.unreadable(&folder, &key, request);
                }
            }
            Task::Object(object) => self.read(&object, listing.store(), request)?,
        }
        Ok(())
    }

    /// Every window that the object may have records of says so.
    fn unreadable(&mut self, folder: &Folder, key: &str, request: &Request<'_>) {
        let windows = request.windows;
        let aggregator = self.aggregator(request);
        for window in windows.iter().filter(|window| folder.overlaps(*window)) {
            let at = Some(window.from);
            aggregator.reject(folder.dataset(), RejectReason::UnreadableObject, at, key);
        }
    }

    fn read<S: Store>(&mut self, object: &Object, store: &S, request: &Request<'_>) -> Result<(), SourceError> {
        let Request {
            selection,
            windows,
            server,
            ctx,
        } = *request;
        let got = read::records(store, object, selection, windows, &ctx.cancel, self.aggregator(request))?;
        self.stats.files += 1;
        self.stats.bytes += got.bytes;
        let counts = got.records.into_iter().zip(got.rejected);
        for (window, (records, rejected)) in windows.iter().zip(counts) {
            self.stats.add_records(object.dataset, records);
            if records + rejected > 0 {
                let uri = store.uri(&object.key);
                self.locators
                    .push(locator(object, uri, (records, rejected), server, window));
            }
        }
        Ok(())
    }
}

/// `counts`: usable and refused records.
fn locator(object: &Object, uri: Option<String>, counts: (u64, u64), server: &str, window: Window) -> Locator {
    let (records, rejected) = counts;
    let mut attributes = json!({ "stream": object.stream, "records": records });
    if let Some(members) = attributes.as_object_mut() {
        members.extend(uri.map(|uri| ("uri".to_string(), uri.into())));
        members.extend((rejected > 0).then(|| ("rejected".to_string(), rejected.into())));
    }
    Locator {
        dataset: object.dataset,
        bucket: server.to_string(),
        object_key: object.key.clone(),
        t_from: window.from,
        t_to: window.to,
        query_hint: None,
        attributes,
    }
}
