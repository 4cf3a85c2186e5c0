//! One cell of a record, whatever wrote it, and the lenient readings of it.

use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// A cell as the input has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Null and absent are the same.
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(Cow<'a, str>),
    /// JSON text of a number, a bool, an array or an object.
    Json(&'a str),
    /// There is something, but no type of ours can hold it.
    Unreadable,
}

/// What a cell is as the type that its role asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    Bad,
    Good(T),
}

impl<T> From<Option<T>> for Field<T> {
    /// `None` is a bad cell, not an absent one.
    fn from(read: Option<T>) -> Self {
        read.map_or(Field::Bad, Field::Good)
    }
}

/// Durations from here on are wrapped-around differences: OpenObserve stores `(end - start) / 1000` of nanoseconds as
/// u64, so a span that ends before its start has about 2^64 / 1000 microseconds.
const DURATION_LIMIT_US: u64 = (i64::MAX / 1000) as u64;

/// Integers up to here are exact as f64.
const EXACT_F64: f64 = 9_007_199_254_740_992.0;

impl<'a> Scalar<'a> {
    /// The text that a number may be read from.
    fn digits(&self) -> Option<&str> {
        match self {
            Scalar::Text(t) => Some(t),
            Scalar::Json(t) => Some(t),
            _ => None,
        }
    }

    /// As a timestamp: an integer in the int64 range, also as text or as a float without fraction.
    #[inline]
    pub(super) fn to_timestamp(&self) -> Field<i64> {
        let whole = |f: f64| (f.fract() == 0.0 && f.abs() <= EXACT_F64).then_some(f as i64);
        match self {
            Scalar::Null => Field::Absent,
            Scalar::Int(i) => Field::Good(*i),
            Scalar::UInt(u) => i64::try_from(*u).ok().into(),
            Scalar::Float(f) => whole(*f).into(),
            _ => match self.digits() {
                Some(t) => t.parse().ok().or_else(|| t.parse().ok().and_then(whole)).into(),
                None => Field::Bad,
            },
        }
    }

    /// As a sample's value: any finite number, also as text.
    pub(super) fn to_value(&self) -> Field<f64> {
        let read = match self {
            Scalar::Null => return Field::Absent,
            Scalar::Int(i) => Some(*i as f64),
            Scalar::UInt(u) => Some(*u as f64),
            Scalar::Float(f) => Some(*f),
            _ => self.digits().and_then(|t| t.parse().ok()),
        };
        read.filter(|f: &f64| f.is_finite()).into()
    }

    /// As a span's duration in microseconds: not negative and not wrapped around; fractions are rounded.
    pub(super) fn to_duration(&self) -> Field<u64> {
        let rounded = |f: f64| (f.is_finite() && f >= 0.0).then(|| f.round() as u64);
        let read = match self {
            Scalar::Null => return Field::Absent,
            Scalar::Int(i) => u64::try_from(*i).ok(),
            Scalar::UInt(u) => Some(*u),
            Scalar::Float(f) => rounded(*f),
            _ => self
                .digits()
                .and_then(|t| t.parse().ok().or_else(|| t.parse().ok().and_then(rounded))),
        };
        read.filter(|d| *d <= DURATION_LIMIT_US).into()
    }

    /// As the number of a series: an unsigned integer also where it is spelled as text or stored as signed, and the hash
    /// of any other text, so that one series has one number in every format.
    pub(super) fn to_series(&self) -> Field<u64> {
        let whole = |t: &str| t.parse().ok().or_else(|| t.parse().ok().map(i64::cast_unsigned));
        let number = match self {
            Scalar::UInt(u) => Some(*u),
            Scalar::Int(i) => Some(i.cast_unsigned()),
            Scalar::Text(t) if !t.is_empty() => Some(whole(t).unwrap_or_else(|| xxh3_64(t.as_bytes()))),
            Scalar::Json(t) => whole(t),
            _ => None,
        };
        number.map_or(Field::Absent, Field::Good)
    }

    /// As text. Numbers and bools are spelled as in JSON; arrays and objects likewise if `nested` allows them.
    pub(super) fn into_text(self, nested: bool) -> Field<Cow<'a, str>> {
        match self {
            Scalar::Null => Field::Absent,
            Scalar::Text(t) => Field::Good(t),
            Scalar::Json(t) if !nested && t.starts_with(['{', '[']) => Field::Bad,
            Scalar::Json(t) => Field::Good(Cow::Borrowed(t)),
            Scalar::Bool(b) => Field::Good(Cow::Borrowed(if b { "true" } else { "false" })),
            Scalar::Int(i) => Field::Good(Cow::Owned(i.to_string())),
            Scalar::UInt(u) => Field::Good(Cow::Owned(u.to_string())),
            // The debug form keeps the ".0" of whole numbers, as JSON writers do.
            Scalar::Float(f) => Field::Good(Cow::Owned(format!("{f:?}"))),
            Scalar::Unreadable => Field::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Field::{Absent, Bad, Good};

    fn text(t: &str) -> Scalar<'_> {
        Scalar::Text(Cow::Borrowed(t))
    }

    #[test]
    fn timestamps_are_whole_numbers_of_any_spelling() {
        assert_eq!(Scalar::UInt(u64::MAX).to_timestamp(), Bad);
        assert_eq!(
            Scalar::UInt(9_007_199_254_740_993).to_timestamp(),
            Good(9_007_199_254_740_993)
        );
        assert_eq!(text("9007199254740993").to_timestamp(), Good(9_007_199_254_740_993));
        assert_eq!(Scalar::Float(1.5).to_timestamp(), Bad);
        assert_eq!(Scalar::Float(1e15).to_timestamp(), Good(1_000_000_000_000_000));
        assert_eq!(Scalar::Float(1e300).to_timestamp(), Bad);
        assert_eq!(Scalar::Float(f64::NAN).to_timestamp(), Bad);
        for t in ["", " 1", "1 ", "1x", "inf", "NaN", "2026-01-05T10:00:00Z"] {
            assert_eq!(text(t).to_timestamp(), Bad, "{t:?}");
        }
        assert_eq!(Scalar::Bool(true).to_timestamp(), Bad);
        assert_eq!(Scalar::Null.to_timestamp(), Absent);
    }

    #[test]
    fn a_series_has_one_number_in_every_spelling() {
        let number = Good(10_637_318_091_909_875_712);
        assert_eq!(Scalar::UInt(10_637_318_091_909_875_712).to_series(), number);
        assert_eq!(text("10637318091909875712").to_series(), number);
        assert_eq!(Scalar::Json("10637318091909875712").to_series(), number);
        assert_eq!(
            Scalar::Int(10_637_318_091_909_875_712_u64.cast_signed()).to_series(),
            number
        );
        assert_ne!(text("a").to_series(), text("b").to_series());
        for none in [Scalar::Null, text(""), Scalar::Unreadable] {
            assert_eq!(none.to_series(), Absent);
        }
    }

    #[test]
    fn values_are_finite() {
        assert_eq!(text("12.5").to_value(), Good(12.5));
        assert_eq!(Scalar::Json("-3e2").to_value(), Good(-300.0));
        for s in [
            text("NaN"),
            text("inf"),
            text("12.5 "),
            text("1e999"),
            Scalar::Json("1e999"),
            Scalar::Json("[1]"),
        ] {
            assert_eq!(s.to_value(), Bad, "{s:?}");
        }
        assert_eq!(Scalar::Float(f64::INFINITY).to_value(), Bad);
    }

    #[test]
    fn wrapped_durations_are_bad() {
        assert_eq!(Scalar::UInt(18_446_744_073_704_551).to_duration(), Bad);
        assert_eq!(Scalar::Int(18_446_744_073_704_551).to_duration(), Bad);
        assert_eq!(Scalar::UInt(DURATION_LIMIT_US).to_duration(), Good(DURATION_LIMIT_US));
        assert_eq!(Scalar::Int(-1).to_duration(), Bad);
        assert_eq!(text("12.5").to_duration(), Good(13));
        assert_eq!(Scalar::Float(-0.1).to_duration(), Bad);
    }

    #[test]
    fn text_is_spelled_as_in_json() {
        assert_eq!(Scalar::Float(2.0).into_text(false), Good(Cow::Borrowed("2.0")));
        assert_eq!(
            Scalar::Json("{\"a\":1}").into_text(true),
            Good(Cow::Borrowed("{\"a\":1}"))
        );
        assert_eq!(Scalar::Json("[]").into_text(false), Bad);
        assert_eq!(Scalar::Json("17").into_text(false), Good(Cow::Borrowed("17")));
    }
}
