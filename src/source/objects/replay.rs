//! From a locator back to the rows of its object.

use super::object::{Format, Object};
use super::read;
use super::store::Store;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::{Context, Locator, Sample};
use engine::window::Window;

/// The rows of the locator's object in its window; see [`crate::source::replay`].
pub fn replay<S: Store>(
    store: &S,
    locator: &Locator,
    sample: &Sample,
    ctx: &Context,
) -> Result<Vec<String>, SourceError> {
    let format = Format::of(&locator.object_key).filter(|_| locator.object_key.starts_with(store.root()));
    let Some(format) = format else {
        return Err(SourceError::config(
            format!("\"{}\" is no object this source could have read", locator.object_key),
            "Only locators written by a fetch can be replayed.",
        ));
    };
    let object = Object {
        key: locator.object_key.clone(),
        dataset: locator.dataset,
        stream: None,
        format,
        size: None,
    };
    let range = Window::new(locator.t_from, locator.t_to);
    let gone = |what: &str| {
        SourceError::new(ErrorKind::Gone, format!("the records are gone: {what}"))
            .detail(format!("Server \"{}\", object \"{}\".", locator.bucket, object.key))
            .hint("Compaction or retention took the object away; replay the window to get a new locator.")
    };
    match read::sample(store, &object, range, sample, &ctx.cancel) {
        Ok(picked) if !picked.any && sample.max > 0 => Err(gone("the object has none in this window")),
        Ok(picked) => Ok(picked.rows),
        Err(e) if e.kind == ErrorKind::Gone => Err(gone("the object no longer exists")),
        Err(e) => Err(e),
    }
}
