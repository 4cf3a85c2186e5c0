//! Raw records, object by object.

use super::Reader;
use crate::source::error::SourceError;
use crate::source::objects::object::foreign;
use crate::source::objects::read;
use crate::source::objects::store::Store;
use crate::source::pool;
use crate::source::rows::{Each, Raw};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

impl<S: Store, O: Fn() -> Result<S, SourceError>> Reader<'_, S, O> {
    /// The records of the range; see [`crate::source::rows::rows()`]. An object that vanishes is an error: what was handed
    /// on cannot be taken back. So is one that cannot be read: whoever asks would take the rest for all.
    pub(super) fn hand_rows(&mut self, each: &mut Each<'_>) -> Result<(), SourceError> {
        let (range, cancel) = (self.request.windows.range(), &self.request.ctx.cancel);
        let listing = &self.listing;
        let each = Mutex::new(each);
        let read = |dataset, (): &mut (), queue: &pool::Queue<'_, _>| {
            // One thread takes it, dataset by dataset.
            let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
            for folder in listing.folders(dataset, range)? {
                let found = listing.objects(&folder, range)?;
                if let Some(key) = found.unreadable.first() {
                    return Err(foreign(key, self.request.server));
                }
                for object in found.objects {
                    queue.check()?;
                    let mut outcome = Ok(());
                    read::rows(listing.store(), &object, range, cancel, |json| {
                        let stream = object.stream.as_deref();
                        outcome = each(&Raw {
                            dataset,
                            stream,
                            json: &json,
                        });
                        if outcome.is_ok() {
                            ControlFlow::Continue(())
                        } else {
                            ControlFlow::Break(())
                        }
                    })?;
                    outcome?;
                }
            }
            Ok(())
        };
        let datasets = self.request.selection.datasets().collect();
        pool::run(datasets, 1, cancel, || (), read, || listing.interrupt())?;
        Ok(())
    }
}
