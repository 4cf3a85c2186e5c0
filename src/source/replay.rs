//! From locators back to the raw records behind them.

use super::error::{ErrorKind, SourceError};
use super::{Context, Locator, Sample, SourceConfig, file, openobserve, s3, synthetic};
use serde_json::Value;

/// What a replay brings back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// JSON texts.
    pub rows: Vec<String>,
    /// Records that were there when the window was read and are not any more: at least so many.
    pub gone: u64,
}

impl Replayed {
    /// Of which none is gone.
    pub fn whole(rows: Vec<String>) -> Self {
        Replayed { rows, gone: 0 }
    }
}

/// The raw records behind locators of one dataset, window and server, as the sample says; those of the first locator
/// come first. None may be of the sample where others are.
///
/// # Errors
/// `Gone` when the source no longer has any record of the window; else as for [`fetch()`](super::fetch()), with hints for
/// whoever waits for the answer.
pub fn replay(
    config: &SourceConfig,
    locators: &[Locator],
    sample: &Sample,
    ctx: &Context,
) -> Result<Replayed, SourceError> {
    let parts = || locators.iter().map(|locator| (locator.records(), locator));
    let replayed = match config {
        SourceConfig::OpenObserve(c) => through(parts(), sample, |l, sample| openobserve::replay(c, l, sample, ctx)),
        SourceConfig::File(c) => file::replay(c, locators, sample, ctx),
        SourceConfig::Mock(c) => through(parts(), sample, |l, sample| {
            Ok(Replayed::whole(synthetic::replay(c, l, sample)))
        }),
        SourceConfig::S3(c) => s3::replay(c, locators, sample, ctx),
        SourceConfig::Web(_) | SourceConfig::Git(_) => Err(SourceError::no_records()),
    };
    replayed.map_err(SourceError::for_asker)
}

/// Asks one part after the other until the sample is full. With each part comes how many records it had: they are
/// counted as gone when it is.
///
/// # Errors
/// `Gone` when all parts are; the first of any other kind.
pub fn through<T>(
    parts: impl IntoIterator<Item = (u64, T)>,
    sample: &Sample,
    mut ask: impl FnMut(T, &Sample) -> Result<Replayed, SourceError>,
) -> Result<Replayed, SourceError> {
    let (mut all, mut found, mut lost) = (Replayed::default(), false, None);
    for (records, part) in parts {
        let room = sample.max.saturating_sub(all.rows.len());
        if room == 0 {
            break;
        }
        match ask(part, &sample.up_to(room)) {
            Ok(more) => {
                found = true;
                all.rows.extend(more.rows);
                all.gone = all.gone.saturating_add(more.gone);
            }
            Err(e) if e.kind == ErrorKind::Gone => {
                all.gone = all.gone.saturating_add(records);
                lost.get_or_insert(e);
            }
            Err(e) => return Err(e),
        }
    }
    match lost {
        Some(e) if !found => Err(e),
        _ => Ok(all),
    }
}

impl Locator {
    /// How many usable records it led to: `records`, or the sum over `streams`.
    pub fn records(&self) -> u64 {
        match self.attributes.get("streams").and_then(Value::as_object) {
            Some(streams) => streams.values().filter_map(Value::as_u64).sum(),
            None => self.attributes.get("records").and_then(Value::as_u64).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_gone_are_counted_and_are_an_error_when_all_are() {
        let gone = || SourceError::new(ErrorKind::Gone, "gone");
        let rows = |n: usize| Ok(Replayed::whole(vec!["{}".to_string(); n]));
        let ask = |parts: &[(u64, Option<usize>)], max: usize| {
            through(parts.iter().copied(), &Sample::first(max), |part, sample| match part {
                Some(n) => rows(n.min(sample.max)),
                None => Err(gone()),
            })
        };
        let told = |parts: &[(u64, Option<usize>)], max| ask(parts, max).map(|r| (r.rows.len(), r.gone));
        assert_eq!(told(&[(3, Some(3)), (4, Some(4))], 100), Ok((7, 0)));
        assert_eq!(told(&[(3, None), (4, Some(4)), (5, None)], 100), Ok((4, 8)));
        assert_eq!(
            told(&[(3, Some(3)), (4, None)], 3),
            Ok((3, 0)),
            "it is not asked for more"
        );
        assert_eq!(told(&[(3, None), (4, Some(0))], 9), Ok((0, 3)), "none of the sample");
        assert_eq!(told(&[(3, None), (4, None)], 9), Err(gone()));
        assert_eq!(told(&[(3, None)], 0), Ok((0, 0)));
    }
}
