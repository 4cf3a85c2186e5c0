//! Rows of Parquet files as hashes, to tell whether the rows of one file are among those of another.

use super::DecodeError;
use super::cells::Cells;
use super::fields::TIMESTAMP;
use super::parquet_file::{File, Source};
use super::parquet_json::display;
use super::scalar::{Field, Scalar};
use crate::window::Window;
use std::borrow::Cow;
use xxhash_rust::xxh3::Xxh3;

/// Hands the timestamp of every row in `range` to `each`, in the file's order.
///
/// # Errors
/// As [`parquet`](super::parquet::parquet).
pub fn timestamps<R: Source>(reader: R, range: Window, mut each: impl FnMut(i64)) -> Result<(), DecodeError> {
    let mut file = File::open(reader, range, |_, _| vec![TIMESTAMP.to_string()])?;
    while let Some(batch) = file.next()? {
        let Some(times) = batch.column_by_name(TIMESTAMP) else {
            break;
        };
        let cells = Cells::new(times);
        (0..batch.num_rows())
            .filter_map(|i| in_range(&cells, i, range))
            .for_each(&mut each);
    }
    Ok(())
}

fn in_range(times: &Cells<'_>, row: usize, range: Window) -> Option<i64> {
    match times.get(row).to_timestamp() {
        Field::Good(ts) if range.contains(ts) => Some(ts),
        _ => None,
    }
}

/// Hands the hash of every row in `range` to `each`, in the file's order.
///
/// Rows that differ only in how a cell is typed have the same hash (`7`, `7.0` and `"7"`): a file that was merged from
/// others has the widest type of each column. Nulls do not count, since it also has the columns of all of them.
///
/// # Errors
/// As [`parquet`](super::parquet::parquet).
pub fn row_hashes<R: Source>(reader: R, range: Window, mut each: impl FnMut(u64)) -> Result<(), DecodeError> {
    let mut file = File::open(reader, range, |names, _| names.iter().map(|n| n.to_string()).collect())?;
    while let Some(batch) = file.next()? {
        let schema = batch.schema_ref().clone();
        let fields = schema.fields().iter().map(|f| f.name().as_str());
        let mut cells: Vec<_> = fields
            .zip(batch.columns())
            .map(|(name, column)| (name, column, Cells::new(column)))
            .collect();
        cells.sort_by_key(|(name, ..)| *name);
        let Some(times) = batch.column_by_name(TIMESTAMP).map(Cells::new) else {
            break;
        };
        for i in (0..batch.num_rows()).filter(|i| in_range(&times, *i, range).is_some()) {
            let mut hash = Xxh3::new();
            for (name, column, cell) in &cells {
                let text = match cell.get(i) {
                    Scalar::Null => continue,
                    Scalar::Unreadable => Cow::Owned(display(column.as_ref(), i)),
                    other => match other.into_text(true) {
                        Field::Good(text) => text,
                        Field::Absent | Field::Bad => continue,
                    },
                };
                let text = text.strip_suffix(".0").unwrap_or(&text);
                for part in [name.as_bytes(), text.as_bytes()] {
                    hash.update(&(part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
            }
            each(hash.digest());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::parquet::summary;
    use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    fn file(columns: Vec<(&str, ArrayRef)>) -> Bytes {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut out = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        out.into()
    }

    const ALL: Window = Window {
        from: i64::MIN,
        to: i64::MAX,
    };

    fn hashes(file: Bytes, range: Window) -> Vec<u64> {
        let mut out = Vec::new();
        row_hashes(file, range, |hash| out.push(hash)).unwrap();
        out
    }

    fn ints(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn types_nulls_and_the_order_of_columns_do_not_count() {
        let narrow = file(vec![("_timestamp", ints(&[1, 2])), ("n", ints(&[7, 8]))]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![7.0, 8.0]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["7", "8"]));
        let nulls: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>, None]));
        let wide = file(vec![("x", nulls), ("n", texts), ("_timestamp", ints(&[1, 2]))]);
        let float = file(vec![("_timestamp", ints(&[1, 2])), ("n", floats)]);
        let all = hashes(narrow.clone(), ALL);
        assert_eq!(all, hashes(wide, ALL));
        assert_eq!(all, hashes(float, ALL));
        assert_ne!(all[0], all[1]);
        let other = file(vec![("_timestamp", ints(&[1, 2])), ("m", ints(&[7, 8]))]);
        assert_ne!(all, hashes(other, ALL), "the name counts");
        assert_eq!(hashes(narrow, Window::new(2, 3)), all[1..]);
    }

    #[test]
    fn a_summary_and_the_times_of_a_range() {
        let three = file(vec![("_timestamp", ints(&[30, 10, 20]))]);
        let told = summary(&three).unwrap();
        assert_eq!((told.rows, told.times, told.original_size), (3, Some((10, 30)), None));
        let mut seen = Vec::new();
        timestamps(three, Window::new(10, 30), |ts| seen.push(ts)).unwrap();
        assert_eq!(seen, [10, 20]);
        assert!(summary(&Bytes::from_static(b"no such thing")).is_err());
    }
}
