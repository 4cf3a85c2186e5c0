//! The columns of one record that matter, gathered in any order, then handed on as a record.

use super::attributes::Attributes;
use super::cursor::Cursor;
use super::fields::{Label, Role, TEXTS};
use super::scalar::{Field, Scalar};
use super::series::{self, Labels};
use super::{Options, ParentSink};
use crate::record::{Dataset, Identity, LogRecord, MetricPoint, RecordSink, RejectReason, SpanLink, SpanRecord};
use crate::window::Window;
use std::borrow::Cow;

/// A text role and the rank of the column that filled it.
#[derive(Debug, Default)]
pub(super) struct Text<'a> {
    rank: u8,
    field: Field<Cow<'a, str>>,
}

impl<'a> Text<'a> {
    /// Takes the cell if nothing of a better rank is there. False if a column of this very rank was there before.
    pub(super) fn offer(&mut self, rank: u8, field: Field<Cow<'a, str>>) -> bool {
        let taken = !self.is_absent();
        if taken && self.rank == rank {
            return false;
        }
        if !matches!(field, Field::Absent) && (!taken || rank < self.rank) {
            *self = Text { rank, field };
        }
        true
    }

    #[inline]
    fn is_absent(&self) -> bool {
        matches!(self.field, Field::Absent)
    }

    pub(super) fn get(&self) -> Result<Option<&str>, RejectReason> {
        match &self.field {
            Field::Absent => Ok(None),
            Field::Bad => Err(RejectReason::WrongType),
            Field::Good(t) => Ok(Some(t)),
        }
    }
}

/// One record being read. Reused from record to record, so that its buffers stay warm.
#[derive(Debug, Default)]
pub(super) struct Row<'a> {
    ts: Field<i64>,
    value: Field<f64>,
    duration: Field<u64>,
    series: Field<u64>,
    /// By [`Role::text`].
    texts: [Text<'a>; TEXTS],
    labels: Labels<'a>,
    attributes: Attributes<'a>,
}

impl<'a> Row<'a> {
    /// Empties the row for the next record.
    pub(super) fn reset(&mut self) {
        (self.ts, self.value, self.duration, self.series) =
            (Field::Absent, Field::Absent, Field::Absent, Field::Absent);
        for text in self.texts.iter_mut().filter(|t| !t.is_absent()) {
            text.field = Field::Absent;
        }
        self.labels.clear();
        self.attributes.clear();
    }

    /// The timestamp, if there is a good one.
    pub(super) fn timestamp(&self) -> Option<i64> {
        match self.ts {
            Field::Good(ts) => Some(ts),
            _ => None,
        }
    }

    /// Takes the cell of a column with a role. False if the same column was there before: then the whole record has
    /// to be read again by someone who knows which of the two came last.
    #[inline]
    pub(super) fn put(&mut self, role: Role, rank: u8, cell: Scalar<'a>) -> bool {
        match (role.text().and_then(|i| self.texts.get_mut(i)), cell) {
            // The usual case, in a few steps.
            (Some(slot), Scalar::Text(Cow::Borrowed(text))) if !text.is_empty() && slot.is_absent() => {
                slot.rank = rank;
                slot.field = Field::Good(Cow::Borrowed(text));
                true
            }
            (Some(slot), cell) => put_text(slot, role, rank, cell),
            (None, cell) => self.put_other(role, rank, cell),
        }
    }

    #[inline]
    fn put_other(&mut self, role: Role, rank: u8, cell: Scalar<'a>) -> bool {
        fn number<T>(slot: &mut Field<T>, read: Field<T>) -> bool {
            let first = matches!(slot, Field::Absent);
            if first {
                *slot = read;
            }
            first
        }
        match role {
            Role::Timestamp => number(&mut self.ts, cell.to_timestamp()),
            Role::Value => number(&mut self.value, cell.to_value()),
            Role::Duration => number(&mut self.duration, cell.to_duration()),
            Role::Series => number(&mut self.series, cell.to_series()),
            _ => self.attributes.offer(role, rank, text_of(role, cell)),
        }
    }

    /// Takes the cell of a label. An unreadable one is left out, as is an absent or empty one, which is the same for
    /// labels.
    pub(super) fn put_label(&mut self, name: Cow<'a, str>, label: Label, cell: Scalar<'a>) {
        let value = match cell.into_text(true) {
            Field::Good(text) => text,
            Field::Absent | Field::Bad => Cow::Borrowed(""),
        };
        self.labels.push(name, label, value);
    }

    /// Whether a label matters: those that only tell series apart do not once the number of the series is there.
    pub(super) fn wants(&self, label: Label) -> bool {
        label != Label::Identifying || !matches!(self.series, Field::Good(_))
    }

    /// Puts the labels into the order of their names and settles which series they make. False if a name was there
    /// twice.
    pub(super) fn sort_labels(&mut self) -> bool {
        let unique = self.labels.sort();
        if !matches!(self.series, Field::Good(_)) {
            self.series = Field::Good(self.labels.hash());
        }
        self.labels.keep_wanted();
        unique
    }

    /// The text of a role.
    fn get(&self, role: Role) -> Result<Option<&str>, RejectReason> {
        role.text().and_then(|i| self.texts.get(i)).map_or(Ok(None), Text::get)
    }

    /// The text of a role, where an empty one means absent.
    fn filled(&self, role: Role) -> Result<Option<&str>, RejectReason> {
        Ok(self.get(role)?.filter(|t| !t.is_empty()))
    }

    fn required_timestamp(&self) -> Result<i64, RejectReason> {
        match self.ts {
            Field::Good(ts) => Ok(ts),
            Field::Absent => Err(RejectReason::MissingTimestamp),
            Field::Bad => Err(RejectReason::BadTimestamp),
        }
    }

    fn identity(&self) -> Result<Identity<'_>, RejectReason> {
        Ok(Identity {
            service: self.get(Role::Service)?,
            host: self.get(Role::Host)?,
        })
    }

    fn log(&self) -> Result<LogRecord<'_>, RejectReason> {
        Ok(LogRecord {
            ts: self.required_timestamp()?,
            identity: self.identity()?,
            body: self.get(Role::Body)?.ok_or(RejectReason::MissingBody)?,
            severity: self.get(Role::Severity)?,
        })
    }

    /// A point without its labels, which need a buffer of their own.
    fn point<'r>(&'r self, metric: Option<&'r str>) -> Result<MetricPoint<'r>, RejectReason> {
        let ts = self.required_timestamp()?;
        let Field::Good(value) = self.value else {
            return Err(RejectReason::BadValue);
        };
        let metric = match metric {
            Some(name) => name,
            None => self.filled(Role::Name)?.ok_or(RejectReason::WrongType)?,
        };
        Ok(MetricPoint {
            ts,
            identity: self.identity()?,
            metric,
            value,
            labels: &[],
            series: match self.series {
                Field::Good(series) => series,
                Field::Absent | Field::Bad => 0,
            },
            counts: series::counts(
                metric,
                self.attributes.get(Role::Monotonic),
                self.attributes.get(Role::Temporality),
            ),
            le: self.labels.bound(),
        })
    }

    fn span(&self) -> Result<SpanRecord<'_>, RejectReason> {
        let ts = self.required_timestamp()?;
        let (trace_id, span_id) = self.ids()?;
        let Field::Good(duration_us) = self.duration else {
            return Err(RejectReason::BadDuration);
        };
        let kind = self.attributes.kind();
        Ok(SpanRecord {
            ts,
            trace_id,
            span_id,
            parent_span_id: self.filled(Role::Parent)?,
            service: self.get(Role::Service)?,
            duration_us,
            error: match self.get(Role::Status)? {
                Some(status) => status.eq_ignore_ascii_case("ERROR"),
                None => self.attributes.code_is_error(kind),
            },
            kind,
            peer: self.attributes.peer(kind),
        })
    }

    /// What the span is as the parent or child of others.
    fn link(&self) -> Result<SpanLink<'_>, RejectReason> {
        let start = self.required_timestamp()?;
        let (trace_id, span_id) = self.ids()?;
        Ok(SpanLink {
            start,
            trace_id,
            span_id,
            parent_span_id: self.filled(Role::Parent)?,
            service: self.get(Role::Service)?,
        })
    }

    fn ids(&self) -> Result<(&str, &str), RejectReason> {
        let id = |role| self.filled(role)?.ok_or(RejectReason::MissingSpanId);
        Ok((id(Role::TraceId)?, id(Role::SpanId)?))
    }
}

fn put_text<'a>(slot: &mut Text<'a>, role: Role, rank: u8, cell: Scalar<'a>) -> bool {
    slot.offer(rank, text_of(role, cell))
}

fn text_of<'a>(role: Role, cell: Scalar<'a>) -> Field<Cow<'a, str>> {
    let field = cell.into_text(role == Role::Body);
    // One that is empty or no text says nothing: the next column of the role may know, and the record is good without
    // it.
    if role.is_optional() && (matches!(&field, Field::Bad) || matches!(&field, Field::Good(t) if t.is_empty())) {
        return Field::Absent;
    }
    field
}

/// Where finished rows go.
pub(super) trait RowSink {
    /// Hands the record on, or says why it is none.
    fn row(&mut self, row: &Row<'_>) -> Result<(), RejectReason>;
    /// Counts a record that is none; `ts` is its timestamp, if it has a good one, `raw` its text.
    fn reject(&mut self, reason: RejectReason, ts: Option<i64>, raw: &str);
}

/// Rows become records.
pub(super) struct Records<'s, S: ?Sized> {
    pub(super) options: &'s Options,
    pub(super) sink: &'s mut S,
}

/// Points with more labels than this cost an allocation each.
const LABELS_ON_STACK: usize = 16;

impl<S: RecordSink + ?Sized> RowSink for Records<'_, S> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), RejectReason> {
        match self.options.dataset {
            Dataset::Logs => self.sink.log(row.log()?),
            Dataset::Traces => match row.span() {
                Ok(span) => self.sink.span(span),
                Err(reason) => {
                    // No call of its own, but still the parent of its children.
                    if let Ok(link) = row.link() {
                        self.sink.link_only(link);
                    }
                    return Err(reason);
                }
            },
            Dataset::Metrics => {
                let point = row.point(self.options.metric.as_deref())?;
                let pairs = row.labels.kept();
                let mut few = [("", ""); LABELS_ON_STACK];
                match few.get_mut(..row.labels.kept().count()) {
                    Some(few) => {
                        few.iter_mut().zip(pairs).for_each(|(slot, pair)| *slot = pair);
                        self.sink.metric(MetricPoint { labels: few, ..point });
                    }
                    None => self.sink.metric(MetricPoint {
                        labels: &pairs.collect::<Vec<_>>(),
                        ..point
                    }),
                }
            }
        }
        Ok(())
    }

    fn reject(&mut self, reason: RejectReason, ts: Option<i64>, raw: &str) {
        let raw = spelled_out(self.options, raw);
        self.sink
            .reject(self.options.dataset, reason, ts, cut(&raw, SAMPLE_BYTES));
    }
}

/// A JSON object with the names that its columns have where it comes from.
fn spelled_out<'a>(options: &Options, raw: &'a str) -> Cow<'a, str> {
    if options.shortened.is_empty() || !raw.starts_with('{') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::from("{");
    let read = Cursor::new(raw).object(|c, key| {
        let value = c.raw()?;
        let comma = if out.len() > 1 { "," } else { "" };
        let name = serde_json::Value::from(options.column(&key));
        out.push_str(&format!("{comma}{name}:{value}"));
        Ok(())
    });
    match read {
        Ok(()) => Cow::Owned(out + "}"),
        Err(_) => Cow::Borrowed(raw),
    }
}

/// Rows in the range become parents; what is none is left out, since whoever owns its window counts it.
pub(super) struct Parents<'s, S: ?Sized> {
    pub(super) range: Window,
    pub(super) sink: &'s mut S,
}

impl<S: ParentSink + ?Sized> RowSink for Parents<'_, S> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), RejectReason> {
        let start = row.required_timestamp()?;
        if self.range.contains(start) {
            self.sink.parent(row.link()?);
        }
        Ok(())
    }

    fn reject(&mut self, _: RejectReason, _: Option<i64>, _: &str) {}
}

/// Rejected records are kept up to here.
pub(super) const SAMPLE_BYTES: usize = 2048;

/// The longest prefix of at most `max` bytes that ends between two characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
