//! Opening a Parquet file so that only the row groups, rows and columns that are needed get decoded.

use super::DecodeError;
use super::cells::{Cells, normalise};
use super::fields::TIMESTAMP;
use super::row::cut;
use super::scalar::Field;
use crate::window::Window;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Rows decoded at a time: small enough for the cache, large enough to spread the cost of a batch.
const BATCH_ROWS: usize = 4096;

/// The bytes of a Parquet file, wherever they are.
pub trait Source: ChunkReader + 'static {
    /// Told once the footer is known and before any row is read: the byte ranges of the columns that are needed, row
    /// group by row group, in the order of reading. `filter` is read before all of them, to tell which rows are wanted;
    /// it is empty if all are. For readers that pay by the request.
    fn will_read(&self, filter: Vec<Range<u64>>, groups: Vec<Vec<Range<u64>>>) {
        let _ = (filter, groups);
    }
}

impl Source for std::fs::File {}
impl Source for bytes::Bytes {}

/// The rows of a file that may be in a range, batch by batch.
pub(super) struct File {
    reader: ParquetRecordBatchReader,
    pub(super) row_groups_total: usize,
    pub(super) row_groups_read: usize,
    /// Rows of the row groups that are read.
    pub(super) rows: u64,
}

impl File {
    /// Opens a file for the rows in `range`; rows outside may come too. `select` picks the columns by name; it can ask
    /// whether every row is known to have a text in a column that is not empty.
    pub(super) fn open<R: Source>(
        reader: R,
        range: Window,
        select: impl FnOnce(&[&str], &dyn Fn(&str) -> bool) -> Vec<String>,
    ) -> Result<File, DecodeError> {
        let metadata = guard(|| metadata(&reader))?;
        let schema = metadata.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let Some(time_type) = schema.field_with_name(TIMESTAMP).ok().map(|f| f.data_type().clone()) else {
            return Err(DecodeError::new(format!(
                "the Parquet file has no column \"{TIMESTAMP}\""
            )));
        };
        let leaf = |name: &str| {
            let columns = metadata.parquet_schema().columns();
            columns.iter().position(|c| c.path().string() == name)
        };
        let groups = metadata.metadata().row_groups();
        let time_leaf = leaf(TIMESTAMP);
        let (mut read, mut rows, mut all_inside) = (Vec::new(), 0u64, true);
        for (i, group) in groups.iter().enumerate() {
            let bounds = time_leaf.and_then(|leaf| bounds(group, leaf, &time_type));
            if bounds.is_some_and(|(min, max)| max < range.from || min >= range.to) {
                continue;
            }
            all_inside &= bounds.is_some_and(|(min, max)| range.contains(min) && range.contains(max));
            rows = rows.saturating_add(u64::try_from(group.num_rows()).map_err(|_| damaged())?);
            read.push(i);
        }
        let needed = || read.iter().filter_map(|group| groups.get(*group));
        let is_text = |name: &str| {
            let field = schema.field_with_name(name);
            field.is_ok_and(|f| matches!(f.data_type(), DataType::Utf8 | DataType::Utf8View))
        };
        let is_filled =
            |name: &str| is_text(name) && leaf(name).is_some_and(|leaf| needed().all(|group| is_filled(group, leaf)));
        let selected = select(&names, &is_filled);
        let roots = |wanted: &dyn Fn(&str) -> bool| {
            let at: Vec<usize> = names
                .iter()
                .enumerate()
                .filter(|(_, n)| wanted(n))
                .map(|(i, _)| i)
                .collect();
            ProjectionMask::roots(metadata.parquet_schema(), at)
        };
        let projection = roots(&|name| selected.iter().any(|s| s == name));
        let time_only = roots(&|name| name == TIMESTAMP);

        let (row_groups_total, row_groups_read) = (groups.len(), read.len());
        guard(|| {
            let filter = match all_inside {
                true => Vec::new(),
                false => needed().flat_map(|group| needed_bytes(group, &time_only)).collect(),
            };
            reader.will_read(filter, needed().map(|group| needed_bytes(group, &projection)).collect());
            Ok(())
        })?;
        let reader = guard(|| {
            let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, metadata)
                .with_batch_size(BATCH_ROWS)
                .with_projection(projection)
                .with_row_groups(read);
            if !all_inside {
                // Decodes the timestamps first and the other columns only where they are in range.
                let predicate = ArrowPredicateFn::new(time_only, move |batch| in_range(&batch, range));
                builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
            }
            builder.build()
        })?;
        Ok(File {
            reader,
            row_groups_total,
            row_groups_read,
            rows,
        })
    }

    /// The next batch, its columns normalised for [`Cells`]. After an error the file must not be used again.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, DecodeError> {
        let batch = guard(|| Ok(self.reader.next().transpose()?))?;
        batch.map(|batch| guard(|| Ok(normalised(&batch)?))).transpose()
    }
}

/// The byte ranges of the projected columns of a row group. Panics on impossible offsets: call it guarded.
fn needed_bytes(group: &RowGroupMetaData, projection: &ProjectionMask) -> Vec<Range<u64>> {
    let columns = group.columns().iter().enumerate();
    columns
        .filter(|(leaf, _)| projection.leaf_included(*leaf))
        .map(|(_, column)| {
            let (start, length) = column.byte_range();
            start..start.saturating_add(length)
        })
        .collect()
}

/// What a file says of itself: its rows, their first and last timestamp (inclusive, microseconds; `None` if the
/// statistics do not tell) and, where OpenObserve wrote it, the size of its records before encoding.
///
/// # Errors
/// The bytes are no Parquet file, or are damaged.
pub fn summary<R: Source>(reader: &R) -> Result<Summary, DecodeError> {
    guard(|| {
        let metadata = metadata(reader)?;
        let time_type = metadata
            .schema()
            .field_with_name(TIMESTAMP)
            .map(|f| f.data_type().clone());
        let leaves = metadata.parquet_schema().columns();
        let leaf = leaves.iter().position(|c| c.path().string() == TIMESTAMP);
        let (mut rows, mut times) = (0u64, None);
        let mut known = true;
        for group in metadata.metadata().row_groups() {
            rows = rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or_default());
            let found = leaf
                .zip(time_type.as_ref().ok())
                .and_then(|(leaf, t)| bounds(group, leaf, t));
            known &= found.is_some();
            times = match (times, found) {
                (Some((a, b)), Some((c, d))) => Some((i64::min(a, c), i64::max(b, d))),
                (times, found) => times.or(found),
            };
        }
        let pairs = metadata.metadata().file_metadata().key_value_metadata();
        let original = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == "original_size"));
        Ok(Summary {
            rows,
            times: times.filter(|_| known),
            original_size: original.and_then(|pair| pair.value.as_ref()?.parse().ok()),
        })
    })
}

/// See [`summary`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub rows: u64,
    pub times: Option<(i64, i64)>,
    pub original_size: Option<u64>,
}

/// Reads the footer. The Arrow schema that writers embed is ignored: it is one more thing that can lie, and it would
/// ask for types (dictionaries) that cost more than they give. Texts become views, which need no copy.
fn metadata<R: ChunkReader>(reader: &R) -> Result<ArrowReaderMetadata, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::load(reader, options)?;
    let fields = plain.schema().fields().iter().map(|f| match f.data_type() {
        DataType::Utf8 => Arc::new(f.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => f.clone(),
    });
    let views = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
    Ok(ArrowReaderMetadata::try_new(plain.metadata().clone(), views).unwrap_or(plain))
}

fn normalised(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<_> = batch.columns().iter().map(normalise).collect::<Result<_, _>>()?;
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields: Vec<_> = fields
        .map(|(f, c)| f.as_ref().clone().with_data_type(c.data_type().clone()))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Rows whose timestamp is in the range, or is none: those are for the reject table.
fn in_range(batch: &RecordBatch, range: Window) -> Result<BooleanArray, ArrowError> {
    let batch = normalised(batch)?;
    let Some(column) = batch.columns().first() else {
        return Ok(BooleanArray::from(vec![true; batch.num_rows()]));
    };
    let cells = Cells::new(column);
    let keep = |i| !matches!(cells.get(i).to_timestamp(), Field::Good(ts) if !range.contains(ts));
    Ok((0..batch.num_rows()).map(|i| Some(keep(i))).collect())
}

/// Smallest and largest timestamp of a row group in microseconds, from its statistics; `None` if they do not say. A
/// group with null timestamps has none, since its rows have to be looked at.
fn bounds(group: &RowGroupMetaData, leaf: usize, time_type: &DataType) -> Option<(i64, i64)> {
    let stats = group.columns().get(leaf)?.statistics()?;
    if stats.null_count_opt().is_some_and(|n| n > 0) {
        return None;
    }
    let Statistics::Int64(stats) = stats else { return None };
    let us = |v: i64| match time_type {
        DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _) => Some(v),
        DataType::Timestamp(TimeUnit::Millisecond, _) => v.checked_mul(1000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(v / 1000),
        _ => None,
    };
    let (min, max) = (us(*stats.min_opt()?)?, us(*stats.max_opt()?)?);
    (min <= max).then_some((min, max))
}

/// Whether the statistics of a row group say that every row has a text in this column that is not empty.
fn is_filled(group: &RowGroupMetaData, leaf: usize) -> bool {
    match group.columns().get(leaf).and_then(|column| column.statistics()) {
        Some(Statistics::ByteArray(stats)) => {
            stats.null_count_opt() == Some(0) && stats.min_opt().is_some_and(|least| !least.is_empty())
        }
        _ => false,
    }
}

fn damaged() -> DecodeError {
    DecodeError::new("the Parquet file is damaged")
}

/// Runs the Parquet reader, which may panic on bytes that no writer made.
fn guard<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DecodeError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(DecodeError::new(format!(
            "cannot read the Parquet file: {}",
            cut(&e.to_string(), 200)
        ))),
        Err(_) => Err(damaged()),
    }
}
