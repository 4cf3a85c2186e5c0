//! Objects in a folder of this machine.

mod columns;
mod folder;
mod roots;

use super::error::SourceError;
use super::fetch::{self, Request};
use super::objects::{self, Arrangement};
use super::{Context, Locator, Replayed, Sample, Settle};
pub use roots::Place;
use std::path::PathBuf;

/// Options of a server of kind `file`.
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// A folder, or one file in the plain layout.
    pub path: PathBuf,
    /// `observe_bridge.file_roots`: files are read below these only; none allows nothing.
    pub roots: Vec<PathBuf>,
    pub arrangement: Arrangement,
    /// Which windows are whole; all of them where nothing is said.
    pub settle: Option<Settle>,
}

/// The file or folder of a source of documents, whatever its layout.
///
/// # Errors
/// Those of [`Place::new`].
pub fn place(config: &FileConfig) -> Result<Place, SourceError> {
    let mut config = config.clone();
    config.arrangement.layout = objects::Layout::Plain;
    Place::new(&config)
}

/// Reads files; see [`fetch::Reader`].
///
/// # Errors
/// Those of [`Place::new`] and of [`objects::Reader::new`].
pub fn reader<'a>(config: &'a FileConfig, request: Request<'a>) -> Result<impl fetch::Reader + use<'a>, SourceError> {
    objects::Reader::new(|| Place::new(config), &config.arrangement, request)
}

/// The rows of the locators' objects in their window; see [`super::replay()`].
pub fn replay(
    config: &FileConfig,
    locators: &[Locator],
    sample: &Sample,
    ctx: &Context,
) -> Result<Replayed, SourceError> {
    objects::replay(&Place::new(config)?, &config.arrangement, locators, sample, ctx)
}

/// For tests of what reads objects: the simplest place there is.
#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::source::objects::Layout;

    pub fn config(path: PathBuf, roots: Vec<PathBuf>, layout: Layout) -> FileConfig {
        FileConfig {
            path,
            roots,
            arrangement: Arrangement::plain(layout, "default"),
            settle: None,
        }
    }

    pub fn place(path: PathBuf, roots: Vec<PathBuf>, layout: Layout) -> Result<Place, SourceError> {
        Place::new(&config(path, roots, layout))
    }
}

#[cfg(test)]
mod tests;
