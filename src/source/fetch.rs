//! A fetch: the records of all sources, then the parents around them, window by window.
//!
//! A window is the same whether it is fetched alone or in a range with others; [`Aggregator`] sees to that.

use super::count::Counts;
use super::doors::Doors;
use super::error::SourceError;
use super::rows::Each;
use super::{Context, FetchStats, Locator, Selection, Source, SourceConfig, file, margin, openobserve, s3, synthetic};
use engine::aggregate::{Aggregator, Margin, Output};
use engine::window::{Window, Windows};
use std::collections::BTreeSet;

/// Everything a fetch came to.
pub struct Fetched {
    /// Every window of the range, ascending; also those in which nothing happened.
    pub windows: Vec<FetchedWindow>,
    /// What the fetch as a whole cost and brought.
    pub stats: FetchStats,
}

/// Everything one window came to.
pub struct FetchedWindow {
    pub window: Window,
    pub output: Output,
    /// By source, dataset and object.
    pub locators: Vec<Locator>,
}

/// What is wanted of a source.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub server: &'a str,
    pub selection: &'a Selection,
    pub windows: Windows,
    pub ctx: &'a Context,
}

impl Request<'_> {
    /// An empty aggregator for the windows, with the tenant's masks.
    pub fn aggregator(&self) -> Aggregator {
        Aggregator::with_masker(self.windows, self.ctx.masker.clone())
    }
}

/// A source while it is being read.
pub trait Reader {
    /// Reads the records of the windows, metrics from where [`records_range`](engine::aggregate::records_range) says on.
    /// Locators come by dataset, object and window.
    fn records(&mut self) -> Result<(Aggregator, Vec<Locator>), SourceError>;

    /// Reads the spans that start in `ranges` as parents and callees. Called after `records`.
    fn parents(&mut self, ranges: &[Window], into: &mut Aggregator) -> Result<(), SourceError>;

    /// Counts the records of the windows, see [`super::count::count()`].
    fn counts(&mut self) -> Result<Counts, SourceError>;

    /// Hands the raw records of the windows to `each`, see [`super::rows::rows()`].
    fn rows(&mut self, each: &mut Each<'_>) -> Result<(), SourceError>;

    /// What was read so far.
    fn stats(&self) -> FetchStats;
}

/// Reads what `sources` have of `windows` and aggregates it, each window by itself. Call it with one window or with
/// hundreds: what comes out of a window is the same, only cheaper.
///
/// The sources together are one pool of spans: a span may have its parent in another source, and the widest margin of
/// any source holds for all. Records that cannot be told to belong to a window (a bad one without a good timestamp) are
/// among the rejects of the first.
///
/// Where objects have settled up to the middle of the range, it is read in two parts: what is settled from them,
/// the rest from what stands in for them.
///
/// Either everything the sources had is in the result, or there is an error: never a part. Memory: the aggregates of
/// all windows and 32 bytes a span, beside a page or row group for each thread.
///
/// # Errors
/// See [`SourceError`]; `Cancelled` soon after the context's flag was set.
pub fn fetch(sources: &[Source], windows: Windows, ctx: &Context) -> Result<Fetched, SourceError> {
    let range = windows.range();
    refuse_young(sources, range)?;
    let seams: BTreeSet<i64> = sources
        .iter()
        .filter_map(|source| seam(source, windows))
        .filter(|seam| range.from < *seam && *seam < range.to)
        .collect();
    let mut all = Fetched {
        windows: Vec::with_capacity(windows.count()),
        stats: FetchStats::default(),
    };
    let mut from = range.from;
    for to in seams.into_iter().chain([range.to]) {
        let part = fetch_part(sources, Windows::new(Window::new(from, to), windows.length()), ctx)?;
        all.windows.extend(part.windows);
        all.stats.add(&part.stats);
        from = to;
    }
    Ok(all)
}

/// Up to where the objects of a source have settled; `None` for what has none.
pub(super) fn seam(source: &Source, windows: Windows) -> Option<i64> {
    source.config.settled().map(|settle| settle.seam(windows))
}

/// Refuses a range of which objects may not have everything yet, before any of it is read.
fn refuse_young(sources: &[Source], range: Window) -> Result<(), SourceError> {
    for source in sources {
        let settled = source.config.settled();
        if let Some(settle) = settled.filter(|s| s.fallback.is_none() && range.to > s.until) {
            return Err(settle.too_young(&source.server, range));
        }
    }
    Ok(())
}

/// [`fetch()`] of windows that each source has behind one door.
fn fetch_part(sources: &[Source], windows: Windows, ctx: &Context) -> Result<Fetched, SourceError> {
    let mut all = Aggregator::with_masker(windows, ctx.masker.clone());
    let mut locators: Vec<Vec<Locator>> = vec![Vec::new(); windows.count()];
    let mut reach = Margin::default();
    let mut readers = Vec::with_capacity(sources.len());
    for source in sources {
        let mut reader = reader(source, windows, ctx)?;
        let (mut records, found) = reader.records()?;
        records.of_source(&source.server);
        all.merge(records);
        for locator in found {
            if let Some(list) = windows.index(locator.t_from).and_then(|i| locators.get_mut(i)) {
                list.push(locator);
            }
        }
        reach = reach.union(source.selection.parent_margin);
        readers.push(reader);
    }
    for step in margin::steps(windows.range(), reach) {
        let wanted: Vec<Window> = step
            .into_iter()
            .filter(|range| all.wants_parents(*range, reach))
            .collect();
        if !wanted.is_empty() {
            // A source whose spans nobody wants knows no parents either: else a window would see them only in margins.
            for (reader, source) in readers.iter_mut().zip(sources) {
                if !source.selection.traces.is_empty() {
                    reader.parents(&wanted, &mut all)?;
                }
            }
        }
    }
    let mut stats = FetchStats::default();
    readers.iter().for_each(|reader| stats.add(&reader.stats()));
    let parts = windows.iter().zip(all.finish(reach)).zip(locators);
    let windows = parts.map(|((window, output), locators)| FetchedWindow {
        window,
        output,
        locators,
    });
    Ok(Fetched {
        windows: windows.collect(),
        stats,
    })
}

/// What reads windows that the source has behind one door.
pub(super) fn reader<'a>(
    source: &'a Source,
    windows: Windows,
    ctx: &'a Context,
) -> Result<Box<dyn Reader + 'a>, SourceError> {
    let request = Request {
        server: &source.server,
        selection: &source.selection,
        windows,
        ctx,
    };
    let settled = source.config.settled();
    if let Some(young) = settled.filter(|settle| windows.range().to > settle.until) {
        return match &young.fallback {
            Some(fallback) => reader(fallback, windows, ctx),
            None => Err(young.too_young(&source.server, windows.range())),
        };
    }
    let objects: Box<dyn Reader + 'a> = match &source.config {
        SourceConfig::OpenObserve(c) => return Ok(Box::new(openobserve::Reader::new(c, request)?)),
        SourceConfig::Mock(c) => return Ok(Box::new(synthetic::Reader::new(c, request))),
        SourceConfig::Web(_) | SourceConfig::Git(_) => return Err(SourceError::no_records()),
        SourceConfig::File(c) => Box::new(file::reader(c, request)?),
        SourceConfig::S3(c) => Box::new(s3::reader(c, request)?),
    };
    let Some(settle) = settled else { return Ok(objects) };
    // Nothing but parents is asked of it: its windows are empty.
    let none = Windows::new(Window::new(settle.until, settle.until), windows.length());
    let open = |source: &'a Source| move || reader(source, none, ctx);
    let behind = settle.parents.as_deref().map(open);
    Ok(Box::new(Doors::new(objects, settle.until, behind)))
}
