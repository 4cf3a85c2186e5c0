//! Arrow columns read cell by cell, strings borrowed.

use super::scalar::Scalar;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringViewArray};
use arrow_array::{TimestampMicrosecondArray, UInt64Array};
use arrow_schema::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
use arrow_schema::{ArrowError, DataType};
use std::borrow::Cow;

/// Brings a column to one of the few types that [`Cells`] knows, where there is a lossless way. Objects of one stream
/// differ in their types, and files from elsewhere more so.
pub(super) fn normalise(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    use DataType::*;
    let target = match column.data_type() {
        Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 => Int64,
        Float16 | Float32 | Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Float64,
        Utf8 | LargeUtf8 => Utf8View,
        Dictionary(_, value) if matches!(**value, Utf8 | LargeUtf8 | Utf8View) => Utf8View,
        Timestamp(Second | Millisecond | Nanosecond, zone) => Timestamp(Microsecond, zone.clone()),
        _ => return Ok(column.clone()),
    };
    arrow_cast::cast(column, &target)
}

/// A normalised column.
pub(super) enum Cells<'a> {
    Bool(&'a BooleanArray),
    Int(&'a Int64Array),
    UInt(&'a UInt64Array),
    Float(&'a Float64Array),
    Time(&'a TimestampMicrosecondArray),
    Text(&'a StringViewArray),
    Bytes(&'a BinaryArray),
    /// A type that no role can use.
    Other(&'a dyn Array),
}

impl<'a> Cells<'a> {
    pub(super) fn new(column: &'a ArrayRef) -> Self {
        let any = column.as_ref();
        match column.data_type() {
            DataType::Boolean => any.as_boolean_opt().map(Cells::Bool),
            DataType::Int64 => any.as_primitive_opt::<Int64Type>().map(Cells::Int),
            DataType::UInt64 => any.as_primitive_opt::<UInt64Type>().map(Cells::UInt),
            DataType::Float64 => any.as_primitive_opt::<Float64Type>().map(Cells::Float),
            DataType::Timestamp(Microsecond, _) => any.as_primitive_opt::<TimestampMicrosecondType>().map(Cells::Time),
            DataType::Utf8View => any.as_string_view_opt().map(Cells::Text),
            DataType::Binary => any.as_binary_opt::<i32>().map(Cells::Bytes),
            _ => None,
        }
        .unwrap_or(Cells::Other(any))
    }

    /// The cell of row `i`, which must be within the column. Timestamps are UTC microseconds.
    #[inline]
    pub(super) fn get(&self, i: usize) -> Scalar<'a> {
        fn cell<'a, A: Array>(column: &'a A, i: usize, read: impl FnOnce(&'a A) -> Scalar<'a>) -> Scalar<'a> {
            if column.is_null(i) { Scalar::Null } else { read(column) }
        }
        match *self {
            Cells::Bool(c) => cell(c, i, |c| Scalar::Bool(c.value(i))),
            Cells::Int(c) => cell(c, i, |c| Scalar::Int(c.value(i))),
            Cells::UInt(c) => cell(c, i, |c| Scalar::UInt(c.value(i))),
            Cells::Float(c) => cell(c, i, |c| Scalar::Float(c.value(i))),
            Cells::Time(c) => cell(c, i, |c| Scalar::Int(c.value(i))),
            Cells::Text(c) => cell(c, i, |c| Scalar::Text(Cow::Borrowed(c.value(i)))),
            Cells::Bytes(c) => cell(c, i, |c| match std::str::from_utf8(c.value(i)) {
                Ok(text) => Scalar::Text(Cow::Borrowed(text)),
                Err(_) => Scalar::Unreadable,
            }),
            Cells::Other(c) if c.is_null(i) => Scalar::Null,
            Cells::Other(_) => Scalar::Unreadable,
        }
    }
}
