//! Parquet: OpenObserve's objects, and any file with columns of those names.
//!
//! OpenObserve's objects hold the columns that their rows have, sorted by name, newest row first; a column's type may
//! differ between objects of one stream.

use super::cells::Cells;
use super::fields::{self, needed, parent_columns, role};
use super::parquet_file::File;
pub use super::parquet_file::{Source, Summary, summary};
pub use super::parquet_json::json_rows;
use super::parquet_json::row_json;
pub use super::parquet_rows::{row_hashes, timestamps};
use super::row::{Parents, Records, Row, RowSink};
use super::{DecodeError, Options, ParentSink};
use crate::record::{Dataset, RecordSink};
use crate::window::Window;
use std::borrow::Cow;

/// What reading a file took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParquetStats {
    /// Rows of the row groups that were read.
    pub rows_read: u64,
    /// Rows with a timestamp in the range, good or bad.
    pub rows_in_range: u64,
    /// Row groups that may hold rows in the range, by their statistics.
    pub row_groups_read: usize,
    pub row_groups_total: usize,
}

/// Decodes the rows in `range` into `sink`. Rows outside are no calls; rows without a good timestamp are rejects.
///
/// # Errors
/// The bytes are no Parquet file, are damaged or have no column `_timestamp`. The sink may have got some of the
/// records by then.
pub fn parquet<S: RecordSink + ?Sized, R: Source>(
    options: &Options,
    reader: R,
    range: Window,
    sink: &mut S,
) -> Result<ParquetStats, DecodeError> {
    let name = options.metric.is_none();
    let select = |names: &[&str], is_filled: &dyn Fn(&str) -> bool| {
        let columns = needed(options.dataset, names, &options.labels, name);
        let mut services = columns.iter().filter(|c| fields::is_service(options.dataset, c));
        match services.any(|c| is_filled(c)) {
            true => fields::without_hosts(options.dataset, &columns, &options.labels).unwrap_or(columns),
            false => columns,
        }
    };
    let file = File::open(reader, range, select)?;
    rows(options, file, range, &mut Records { options, sink })
}

/// Reads spans in `range` as parents; those that cannot be used are left out.
///
/// # Errors
/// As [`parquet`].
pub fn parents_from_parquet<S: ParentSink + ?Sized, R: Source>(
    reader: R,
    range: Window,
    sink: &mut S,
) -> Result<ParquetStats, DecodeError> {
    let file = File::open(reader, range, |names, _| parent_columns(names))?;
    rows(
        &Options::new(Dataset::Traces),
        file,
        range,
        &mut Parents { range, sink },
    )
}

fn rows(options: &Options, mut file: File, range: Window, out: &mut impl RowSink) -> Result<ParquetStats, DecodeError> {
    let mut rows_in_range = 0;
    while let Some(batch) = file.next()? {
        let schema = batch.schema_ref().clone();
        let columns: Vec<_> = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| {
                let name = field.name().as_str();
                let label = (options.dataset == Dataset::Metrics).then(|| fields::label(&options.labels, name));
                let label = label.flatten().map(|label| (name, label));
                (role(options.dataset, name), label, Cells::new(column))
            })
            .collect();
        let mut row = Row::default();
        for i in 0..batch.num_rows() {
            row.reset();
            for (role, label, cells) in &columns {
                if let Some((role, rank)) = role {
                    row.put(*role, *rank, cells.get(i));
                }
                if let Some((name, label)) = label.filter(|(_, label)| row.wants(*label)) {
                    row.put_label(Cow::Borrowed(name), label, cells.get(i));
                }
            }
            match row.timestamp() {
                Some(ts) if !range.contains(ts) => continue,
                Some(_) => rows_in_range += 1,
                None => {}
            }
            row.sort_labels();
            if let Err(reason) = out.row(&row) {
                out.reject(reason, row.timestamp(), &row_json(&batch, i));
            }
        }
    }
    Ok(ParquetStats {
        rows_read: file.rows,
        rows_in_range,
        row_groups_read: file.row_groups_read,
        row_groups_total: file.row_groups_total,
    })
}

#[cfg(test)]
mod tests;
