//! Streams too long to be kept: each row is made when it is asked for.

use super::http::Response;
use std::fmt::Write as _;
use std::sync::Arc;

/// A row every so many microseconds.
#[derive(Clone)]
pub struct Made {
    from: i64,
    to: i64,
    step: i64,
    row: Row,
}

/// The members of a row beside `_timestamp`, as JSON without braces, of its number.
type Row = Arc<dyn Fn(i64) -> String + Send + Sync>;

impl Made {
    /// `rows` rows, evenly spread over `[from, to)`, which must be a whole number of microseconds for each.
    pub fn new(from: i64, to: i64, rows: i64, row: impl Fn(i64) -> String + Send + Sync + 'static) -> Made {
        Made {
            from,
            to,
            step: (to - from) / rows,
            row: Arc::new(row),
        }
    }

    /// Numbers of the rows in `[from, to)`.
    fn numbers(&self, from: i64, to: i64) -> std::ops::Range<i64> {
        let first = |at: i64| (at.clamp(self.from, self.to) - self.from + self.step - 1) / self.step;
        first(from)..first(to)
    }

    /// The answer to a search: the newest rows first, or their number.
    pub fn answer(&self, from: i64, to: i64, size: usize, count: bool) -> Response {
        let numbers = self.numbers(from, to);
        let mut body = String::from("{\"took\":1,\"hits\":[");
        if count {
            let _ = write!(body, "{{\"zo_sql_num\":{}}}", numbers.end - numbers.start);
        } else {
            for (i, n) in numbers.rev().take(size).enumerate() {
                let comma = if i > 0 { "," } else { "" };
                let at = self.from + n * self.step;
                let _ = write!(body, "{comma}{{\"_timestamp\":{at},{}}}", (self.row)(n));
            }
        }
        body.push_str("],\"is_partial\":false}");
        Response {
            status: 200,
            headers: vec![("content-type", "application/json".to_string())],
            body: body.into_bytes(),
        }
    }
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a row every {} us", self.step)
    }
}
