//! How many records there are, from footers and times.

use super::{Reader, Task};
use crate::source::count::Counts;
use crate::source::error::SourceError;
use crate::source::objects::object::foreign;
use crate::source::objects::read;
use crate::source::objects::store::Store;
use crate::source::pool;

impl<S: Store, O: Fn() -> Result<S, SourceError>> Reader<'_, S, O> {
    /// The records of the windows; see [`crate::source::count::count()`]. An object whose records cannot be counted is an
    /// error: without them records that came by another door would seem to have vanished.
    pub(super) fn count_windows(&mut self) -> Result<Counts, SourceError> {
        let request = self.request;
        let (selection, windows, ctx) = (request.selection, request.windows, request.ctx);
        let workers = self.until_nothing_vanishes(|listing| {
            let work = |task, counts: &mut Counts, queue: &pool::Queue<'_, Task>| {
                queue.check()?;
                match task {
                    Task::Dataset(dataset) => {
                        let folders = listing.folders(dataset, windows.range())?;
                        folders.into_iter().for_each(|folder| queue.push(Task::Folder(folder)));
                    }
                    Task::Folder(folder) => {
                        let found = listing.objects(&folder, windows.range())?;
                        if let Some(key) = found.unreadable.first() {
                            return Err(foreign(key, request.server));
                        }
                        found
                            .objects
                            .into_iter()
                            .for_each(|object| queue.push(Task::Object(object)));
                    }
                    Task::Object(object) => {
                        let found = read::counts(listing.store(), &object, selection, windows, &ctx.cancel)?;
                        let stream = object.stream.as_deref().unwrap_or_default();
                        counts.add_all(windows, object.dataset, stream, &found);
                    }
                }
                Ok(())
            };
            let tasks = selection.datasets().map(Task::Dataset).collect();
            pool::run(tasks, ctx.concurrency, &ctx.cancel, Counts::default, work, || {
                listing.interrupt()
            })
        })?;
        let mut counts = Counts::default();
        workers.into_iter().for_each(|part| counts.merge(part));
        Ok(counts)
    }
}
