//! Words that belong to values: switches, units, currencies, dates and zones.

use super::list::WordList;

/// Words for "no value" or a switch, variables only where they are the value of a key.
static NO_VALUES: WordList = WordList::new(&[
    "NULL",
    "NaN",
    "None",
    "nil",
    "no",
    "none",
    "null",
    "off",
    "on",
    "undefined",
    "yes",
]);

/// Sizes written apart from their number: `18.4 KB`.
static SIZES: WordList = WordList::new(&[
    "B", "GB", "GiB", "KB", "KiB", "MB", "MiB", "PB", "PiB", "TB", "TiB", "kB",
]);

/// The most traded currencies by their ISO 4217 code: `12.50 EUR`.
static CURRENCIES: WordList = WordList::new(&[
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "ILS", "INR", "JPY", "KRW", "MXN", "NOK",
    "NZD", "PLN", "SEK", "SGD", "THB", "TRY", "TWD", "USD", "ZAR",
]);

/// English month names, short or long, with their usual capital.
static MONTHS: WordList = WordList::new(&[
    "Apr",
    "April",
    "Aug",
    "August",
    "Dec",
    "December",
    "Feb",
    "February",
    "Jan",
    "January",
    "Jul",
    "July",
    "Jun",
    "June",
    "Mar",
    "March",
    "May",
    "Nov",
    "November",
    "Oct",
    "October",
    "Sep",
    "September",
]);

/// English names of week days, short or long.
static WEEK_DAYS: WordList = WordList::new(&[
    "Fri",
    "Friday",
    "Mon",
    "Monday",
    "Sat",
    "Saturday",
    "Sun",
    "Sunday",
    "Thu",
    "Thursday",
    "Tue",
    "Tuesday",
    "Wed",
    "Wednesday",
]);

/// `true` and `false` as the usual languages print them.
#[inline]
pub(super) fn is_bool(word: &[u8]) -> bool {
    matches!(word, b"true" | b"false" | b"True" | b"False" | b"TRUE" | b"FALSE")
}

/// Whether a word is a variable where it is the value of a key.
pub(super) fn is_value_word(word: &[u8]) -> bool {
    is_bool(word) || NO_VALUES.has(word)
}

/// Whether a word after a number is its unit and varies with it.
pub(super) fn is_unit(word: &[u8]) -> bool {
    word.len() <= 3 && (SIZES.has(word) || CURRENCIES.has(word))
}

/// Units of time written apart from their number.
pub(super) fn is_time_unit(word: &[u8]) -> bool {
    matches!(
        word,
        b"ns" | b"us" | b"ms" | b"s" | b"sec" | b"secs" | b"second" | b"seconds" | b"min" | b"minute" | b"minutes"
    )
}

/// A switch: what a group of them says varies.
pub(super) fn is_switch(word: &[u8]) -> bool {
    matches!(word, b"on" | b"off" | b"yes" | b"no")
}

/// The name of a month.
pub(super) fn is_month(word: &[u8]) -> bool {
    MONTHS.has(word)
}

/// The name of a week day.
pub(super) fn is_week_day(word: &[u8]) -> bool {
    WEEK_DAYS.has(word)
}

/// False if a word is neither the name of a month nor that of a week day.
#[inline]
pub(super) fn may_be_date_word(word: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_uppercase) && (MONTHS.may_have(word) || WEEK_DAYS.may_have(word))
}

/// What may follow a time of day: half of the day or a zone.
pub(super) fn is_zone(word: &[u8]) -> bool {
    matches!(
        word,
        b"AM" | b"PM" | b"am" | b"pm" | b"UTC" | b"GMT" | b"Z" | b"CET" | b"EET" | b"WET"
    ) || matches!(word, [b'A'..=b'Z', b'S' | b'D', b'T'] | [b'A'..=b'Z', b'E', b'S', b'T'])
}
