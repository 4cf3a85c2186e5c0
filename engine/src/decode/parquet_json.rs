//! Whole rows of a Parquet file as JSON, for people who want to see the records behind an aggregate.

use super::DecodeError;
use super::cells::Cells;
use super::fields::TIMESTAMP;
use super::parquet_file::{File, Source};
use super::scalar::{Field, Scalar};
use crate::window::Window;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};
use std::ops::ControlFlow;

/// Hands the rows in `range` to `each` as JSON objects, in the file's order, until it breaks. Nulls are left out and
/// keys sorted, as OpenObserve answers.
///
/// # Errors
/// As [`parquet`](super::parquet::parquet).
pub fn json_rows<R: Source>(
    reader: R,
    range: Window,
    mut each: impl FnMut(String) -> ControlFlow<()>,
) -> Result<(), DecodeError> {
    let mut file = File::open(reader, range, |names, _| names.iter().map(|n| n.to_string()).collect())?;
    while let Some(batch) = file.next()? {
        let Some(times) = batch.column_by_name(TIMESTAMP) else {
            break;
        };
        let times = Cells::new(times);
        let wanted = |i: &usize| matches!(times.get(*i).to_timestamp(), Field::Good(ts) if range.contains(ts));
        for i in (0..batch.num_rows()).filter(wanted) {
            if each(row_json(&batch, i)).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Row `i` of a batch with normalised columns as a JSON object. Types that JSON lacks are spelled as text.
pub(super) fn row_json(batch: &RecordBatch, i: usize) -> String {
    let mut object = Map::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let value = match Cells::new(column).get(i) {
            Scalar::Null => continue,
            Scalar::Bool(b) => Value::from(b),
            Scalar::Int(n) => Value::from(n),
            Scalar::UInt(n) => Value::from(n),
            Scalar::Float(f) if f.is_finite() => Value::from(f),
            Scalar::Float(f) => Value::from(f.to_string()),
            Scalar::Text(t) => Value::from(t),
            Scalar::Json(t) => Value::from(t),
            Scalar::Unreadable => Value::from(display(column.as_ref(), i)),
        };
        object.insert(field.name().clone(), value);
    }
    Value::Object(object).to_string()
}

pub(super) fn display(column: &dyn Array, i: usize) -> String {
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(column, &options);
    formatter
        .ok()
        .and_then(|f| f.value(i).try_to_string().ok())
        .unwrap_or_default()
}
