//! What the fuzz targets share. Each target is a program in `targets/` that libFuzzer drives: `scripts/fuzz.sh`.

use engine::decode::fields::LabelChoice;
use engine::decode::{Options, ParentSink};
use engine::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanLink, SpanRecord};
use engine::window::Window;
use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// Every timestamp but the last one there is.
pub const ALL: Window = Window {
    from: i64::MIN,
    to: i64::MAX,
};

/// The calls of a sink, written out, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub records: Vec<String>,
    /// Spans that are told beside their rejects.
    pub links: Vec<String>,
}

impl RecordSink for Calls {
    fn log(&mut self, r: LogRecord<'_>) {
        self.records.push(format!("{r:?}"));
    }
    fn metric(&mut self, p: MetricPoint<'_>) {
        self.records.push(format!("{p:?}"));
    }
    fn span(&mut self, s: SpanRecord<'_>) {
        self.records.push(format!("{s:?}"));
    }
    fn link_only(&mut self, link: SpanLink<'_>) {
        self.links.push(format!("{link:?}"));
    }
    fn reject(&mut self, dataset: Dataset, reason: RejectReason, ts: Option<i64>, sample: &str) {
        self.records.push(format!("{dataset:?} {reason:?} {ts:?} {sample:?}"));
    }
}

impl ParentSink for Calls {
    fn parent(&mut self, link: SpanLink<'_>) {
        self.links.push(format!("{link:?}"));
    }
}

/// Any options of a decoder.
///
/// # Errors
/// Never in practice: used up bytes read as zeros.
pub fn options(u: &mut Unstructured<'_>) -> Result<Options> {
    let dataset = *u.choose(&Dataset::ALL)?;
    let labels = match u.int_in_range(0..=2)? {
        0 => LabelChoice::None,
        1 => LabelChoice::All,
        _ => LabelChoice::Some(vec!["le".to_owned(), "code".to_owned()]),
    };
    let shortened: &[&str] = match u.arbitrary::<bool>()? {
        true => &["body", "service_name", "value", "trace_id", "le"],
        false => &[],
    };
    let options = match u.arbitrary::<bool>()? {
        true => Options::stream(dataset, "requests", labels),
        false => Options {
            labels,
            ..Options::new(dataset)
        },
    };
    Ok(Options {
        shortened: shortened.iter().map(|column| column.to_string()).collect(),
        ..options
    })
}
