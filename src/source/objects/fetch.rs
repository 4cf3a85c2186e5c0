//! A window's way from the listing over the objects to the aggregator.

use super::Arrangement;
use super::listing::{Folder, Listing};
use super::object::Object;
use super::read;
use super::store::Store;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::options::Selection;
use crate::source::tap::Parents;
use crate::source::{Context, FetchStats, Fetched, Locator, margin, pool};
use engine::aggregate::Aggregator;
use engine::record::{Dataset, RecordSink, RejectReason};
use engine::window::Window;
use serde_json::json;
use std::sync::{Mutex, PoisonError};

/// How often a window is listed again because an object vanished between its listing and its reading.
const LISTINGS: usize = 4;

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

/// Fetches `window`; see [`crate::source::fetch`]. `open` makes the store, anew for each listing.
///
/// A compactor takes objects away while they are read. What was read of the window by then is thrown away and the
/// window listed again: the product is there before its sources go.
pub fn fetch<S: Store>(
    open: impl Fn() -> Result<S, SourceError>,
    arrangement: &Arrangement,
    selection: &Selection,
    server: &str,
    window: Window,
    ctx: &Context,
) -> Result<Fetched, SourceError> {
    let mut listings = 1;
    let mut requests = 0;
    loop {
        let store = open()?;
        let result = Fetch {
            store: &store,
            listing: Listing::new(&store, arrangement, selection, &ctx.cancel)?,
            selection,
            server,
            window,
            ctx,
        }
        .run();
        requests += store.requests();
        match result {
            Err(e) if e.kind == ErrorKind::Gone && listings < LISTINGS => listings += 1,
            Err(e) if e.kind == ErrorKind::Gone => {
                return Err(e.hint(
                    "Objects vanish faster than they can be read, or are listed without being there; the window is \
                     tried again later.",
                ));
            }
            other => {
                return other.map(|mut fetched| {
                    fetched.stats.requests = requests;
                    fetched
                });
            }
        }
    }
}

struct Fetch<'a, S> {
    store: &'a S,
    listing: Listing<'a, S>,
    selection: &'a Selection,
    server: &'a str,
    window: Window,
    ctx: &'a Context,
}

impl<S: Store> Fetch<'_, S> {
    fn run(&self) -> Result<Fetched, SourceError> {
        let tasks = self.selection.datasets().map(Task::Dataset).collect();
        let work = |task, worker: &mut Worker, queue: &pool::Queue<'_, Task>| self.task(task, worker, queue);
        let workers = pool::run(
            tasks,
            self.ctx.concurrency,
            &self.ctx.cancel,
            Worker::default,
            work,
            || self.store.interrupt(),
        )?;
        let mut aggregator = Aggregator::new(self.window);
        let mut locators = Vec::new();
        let mut stats = FetchStats::default();
        for worker in workers {
            if let Some(a) = worker.aggregator {
                aggregator.merge(a);
            }
            locators.extend(worker.locators);
            stats.add(&worker.stats);
        }
        locators.sort_by(|a, b| (a.dataset, &a.object_key).cmp(&(b.dataset, &b.object_key)));
        stats.add(&self.parents(&mut aggregator)?);
        Ok(Fetched {
            aggregator,
            locators,
            stats,
        })
    }

    fn task(&self, task: Task, worker: &mut Worker, queue: &pool::Queue<'_, Task>) -> Result<(), SourceError> {
        queue.check()?;
        match task {
            Task::Dataset(dataset) => {
                for folder in self.listing.folders(dataset, self.window)? {
                    queue.push(Task::Folder(folder));
                }
            }
            Task::Folder(folder) => {
                let found = self.listing.objects(&folder, self.window)?;
                for object in found.objects {
                    queue.push(Task::Object(object));
                }
                let (Folder::Hour { dataset, .. } | Folder::All(dataset)) = folder;
                for key in found.unreadable {
                    worker.stats.unreadable += 1;
                    let aggregator = worker.aggregator(self.window);
                    aggregator.reject(dataset, RejectReason::UnreadableObject, &key);
                }
            }
            Task::Object(object) => self.read(&object, worker)?,
        }
        Ok(())
    }

    fn read(&self, object: &Object, worker: &mut Worker) -> Result<(), SourceError> {
        let aggregator = worker.aggregator(self.window);
        let cancel = &self.ctx.cancel;
        let got = read::records(self.store, object, self.selection, self.window, cancel, aggregator)?;
        worker.stats.files += 1;
        worker.stats.bytes += got.bytes;
        worker.stats.add_records(object.dataset, got.records);
        if got.records > 0 {
            worker.locators.push(self.locator(object, got.records));
        }
        Ok(())
    }

    /// Looks for parents outside the window, nearest first, until none is missing.
    fn parents(&self, aggregator: &mut Aggregator) -> Result<FetchStats, SourceError> {
        let mut stats = FetchStats::default();
        for step in margin::steps(
            self.window,
            self.selection.parent_margin_before_us,
            self.selection.parent_margin_after_us,
        ) {
            if aggregator.unresolved_parents() == 0 {
                break;
            }
            let sink = Mutex::new(&mut *aggregator);
            let read = |range, worker: &mut FetchStats, queue: &pool::Queue<'_, _>| {
                for folder in self.listing.folders(Dataset::Traces, range)? {
                    for object in self.listing.objects(&folder, range)?.objects {
                        queue.check()?;
                        // The lock is only poisoned by a panic, which ends the fetch.
                        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                        let mut sink = Parents(&mut sink);
                        worker.files += 1;
                        worker.bytes += read::parents(self.store, &object, range, &self.ctx.cancel, &mut sink)?;
                    }
                }
                Ok(())
            };
            // One thread: the aggregator can take parents from one object at a time only.
            for worker in pool::run(step, 1, &self.ctx.cancel, FetchStats::default, read, || {
                self.store.interrupt()
            })? {
                stats.add(&worker);
            }
        }
        Ok(stats)
    }

    fn locator(&self, object: &Object, records: u64) -> Locator {
        let mut attributes = json!({ "stream": object.stream, "records": records });
        if let Some(uri) = self.store.uri(&object.key)
            && let Some(members) = attributes.as_object_mut()
        {
            members.insert("uri".to_string(), uri.into());
        }
        Locator {
            dataset: object.dataset,
            bucket: self.server.to_string(),
            object_key: object.key.clone(),
            t_from: self.window.from,
            t_to: self.window.to,
            query_hint: None,
            attributes,
        }
    }
}

impl Worker {
    fn aggregator(&mut self, window: Window) -> &mut Aggregator {
        self.aggregator.get_or_insert_with(|| Aggregator::new(window))
    }
}
