//! OpenObserve's small answers: counts and errors.

use super::DecodeError;
use super::cursor::{Cursor, string};
use super::row::cut;
use super::scalar::{Field, Scalar};

/// The number of matches from the answer to a search with `track_total_hits`, whose only hit is
/// `{"zo_sql_num": n}`. No hit means that nothing matched.
///
/// # Errors
/// The body is not JSON, or its hit has no such number.
pub fn count_response(body: &[u8]) -> Result<u64, DecodeError> {
    let (mut found, mut count, mut hits) = (false, None, 0);
    let mut cursor = Cursor::from_bytes(body)?;
    cursor.object(|c, key| {
        if key != "hits" {
            return c.raw().map(|_| ());
        }
        found = true;
        c.array(|c| {
            hits += 1;
            let hit = c.raw()?;
            if !hit.starts_with('{') {
                return Ok(());
            }
            Cursor::new(hit).object(|c, key| {
                let raw = c.raw()?;
                if key == "zo_sql_num" {
                    let cell = string(raw).map_or(Scalar::Json(raw), Scalar::Text);
                    if let Field::Good(n) = cell.to_timestamp() {
                        count = u64::try_from(n).ok();
                    }
                }
                Ok(())
            })
        })
    })?;
    cursor.end()?;
    match (found, hits, count) {
        (_, _, Some(n)) => Ok(n),
        (true, 0, None) => Ok(0),
        _ => Err(DecodeError::new("the answer has no count (\"zo_sql_num\")")),
    }
}

/// What a server said when it refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// OpenObserve's own code (20002 = no such stream), which is not the HTTP status. Absent in plain text.
    pub code: Option<i64>,
    /// One line of text of at most 1 kB; empty if the server said nothing.
    pub message: String,
}

/// Messages are kept up to here.
const MESSAGE_BYTES: usize = 1024;

/// Reads the body of an answer that is not 200: OpenObserve's `{"code":..,"message":..}`, Prometheus'
/// `{"status":"error","error":..}`, or, as for a wrong password, plain text.
pub fn search_error(body: &[u8]) -> ServerError {
    let text = String::from_utf8_lossy(body.get(..MAX_ERROR_BODY).unwrap_or(body));
    let mut error = ServerError::default();
    let mut other = None;
    let mut cursor = Cursor::new(&text);
    let read = cursor.object(|c, key| {
        let raw = c.raw()?;
        match key.as_ref() {
            "code" => error.code = raw.parse().ok(),
            "message" => error.message = string(raw).map_or_else(|| raw.to_owned(), |t| t.into_owned()),
            "error" => other = string(raw).map(|t| t.into_owned()),
            _ => {}
        }
        Ok(())
    });
    if error.message.is_empty() {
        error.message = match (read, other) {
            (_, Some(other)) => other,
            (Ok(()), None) if error.code.is_some() => String::new(),
            _ => text.into_owned(),
        };
    }
    let line: String = error
        .message
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    error.message = cut(&line, MESSAGE_BYTES).to_owned();
    error
}

/// No more of an error's body is looked at.
const MAX_ERROR_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let count = |body: &str| count_response(body.as_bytes());
        assert_eq!(
            count(r#"{"took":1,"hits":[{"zo_sql_num":15000}],"total":15000}"#),
            Ok(15000)
        );
        assert_eq!(count(r#"{"hits":[{"zo_sql_num":"15000"}]}"#), Ok(15000));
        assert_eq!(count(r#"{"hits":[]}"#), Ok(0));
        for bad in [
            r#"{"hits":[{"n":1}]}"#,
            r#"{"hits":[7]}"#,
            "{}",
            r#"{"hits":[{"zo_sql_num":-1}]}"#,
            "{\"hits\":[",
        ] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_of_every_shape() {
        let error = |body: &str| search_error(body.as_bytes());
        let oo = error(r#"{"code":20002,"message":"Search stream not found: x","error_detail":"","trace_id":"1"}"#);
        assert_eq!(
            (oo.code, oo.message.as_str()),
            (Some(20002), "Search stream not found: x")
        );
        assert_eq!(error("Unauthorized Access\n").message, "Unauthorized Access");
        assert_eq!(
            error(r#"{"status":"error","errorType":"bad_data","error":"no\nway"}"#).message,
            "no way"
        );
        assert_eq!(error(""), ServerError::default());
        assert_eq!(
            error(r#"{"code":500}"#),
            ServerError {
                code: Some(500),
                message: String::new()
            }
        );
        assert_eq!(
            error(r#"{"code":5,"message":"cut"#),
            ServerError {
                code: Some(5),
                message: r#"{"code":5,"message":"cut"#.into()
            }
        );
        assert!(search_error(&[0xff; 100_000]).message.len() <= MESSAGE_BYTES);
        assert!(error(&"é".repeat(5000)).message.len() <= MESSAGE_BYTES);
    }
}
