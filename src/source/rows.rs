//! The raw records of a range, one after the other, for whoever wants to see them.

use super::error::SourceError;
use super::fetch::{reader, seam};
use super::{Context, Source};
use engine::decode::fields::LabelChoice;
use engine::decode::{Options, normal};
use engine::record::{Dataset, RejectReason};
use engine::window::{MINUTE_US, Window, Windows};
use serde_json::{Map, Value};

/// A record as the source has it.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    pub dataset: Dataset,
    /// Where the source tells its streams apart.
    pub stream: Option<&'a str>,
    /// A JSON object.
    pub json: &'a str,
}

/// Takes records; an error stops the reading and is what comes of it.
pub type Each<'a> = dyn FnMut(&Raw<'_>) -> Result<(), SourceError> + Send + 'a;

/// Hands the records of `range` that the source's selection wants to `each`. Memory: a page, a row group or a block of
/// lines, however long the range. Records come dataset by dataset and stream by stream, in no order that counts.
///
/// A bucket with a fallback is read by the door by which each part of the range would be fetched now, whole minutes on
/// either side.
///
/// # Errors
/// As [`fetch()`](super::fetch()), with hints for whoever asks, and those of `each`. Some records may have been handed on
/// by then.
pub fn rows(source: &Source, range: Window, ctx: &Context, each: &mut Each<'_>) -> Result<(), SourceError> {
    let middle = seam(source, Windows::new(range, MINUTE_US)).unwrap_or(range.from);
    let parts = [Window::new(range.from, middle), Window::new(middle, range.to)];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    // All doors first: what cannot be read is said before the first record.
    let readers: Vec<_> = parts
        .map(|part| reader(source, part.into(), ctx).map_err(SourceError::for_asker))
        .collect::<Result<_, _>>()?;
    for mut reader in readers {
        reader.rows(each).map_err(SourceError::for_asker)?;
    }
    Ok(())
}

/// The record in the form of [`normal::normalise`], with the name of the `stream` where that is known. `None` for a metric
/// that the selection leaves out.
///
/// # Errors
/// Why it is no record.
pub fn normalised(source: &Source, raw: &Raw<'_>) -> Result<Option<Map<String, Value>>, RejectReason> {
    let options = match raw.stream {
        Some(stream) => Options::stream(raw.dataset, stream, LabelChoice::None),
        None => Options::new(raw.dataset),
    };
    let mut record = normal::normalise(&options, raw.json)?;
    let wanted = match (raw.dataset, raw.stream, record.get("metric").and_then(Value::as_str)) {
        (Dataset::Metrics, None, Some(metric)) => source.selection.metrics.matches(metric),
        _ => true,
    };
    record.insert("server".to_string(), source.server.as_str().into());
    record.extend(raw.stream.map(|stream| ("stream".to_string(), stream.into())));
    Ok(wanted.then_some(record))
}
