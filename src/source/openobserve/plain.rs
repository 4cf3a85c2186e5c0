//! Which SQL may be asked page by page: where the rows of a range are those of its parts.

/// Words after which the parts of a range have not the same rows as the range, or in another order.
const WHOLE_ONLY: &[&str] = &[
    "distinct",
    "except",
    "fetch",
    "group",
    "having",
    "intersect",
    "join",
    "lateral",
    "limit",
    "offset",
    "order",
    "over",
    "qualify",
    "union",
    "unnest",
    "window",
    "with",
];

/// Whether this is `SELECT columns FROM stream [WHERE ..]` and nothing else: plain columns, one stream, no grouping,
/// order or limit, no second SELECT. In doubt it is not; then it is asked at once, which any SQL may be.
pub fn is_plain(sql: &str) -> bool {
    let Some(tokens) = tokens(sql) else {
        return false;
    };
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|t| t == word);
    let Some(from) = tokens.iter().position(|t| t == "from") else {
        return false;
    };
    let columns = tokens.get(1..from).unwrap_or_default();
    let stream_is_alone = tokens.len() == from + 2 || is(from + 2, "where");
    is(0, "select")
        && stream_is_alone
        && !columns.iter().any(|t| t == "(" || t == "case")
        && tokens.iter().filter(|t| *t == "select").count() == 1
        && !tokens.iter().any(|t| WHOLE_ONLY.contains(&t.as_str()))
}

/// Words in lower case, and signs; a quoted name or text is one token that is no word. `None` for comments, for more
/// than one statement and for quotes that do not end.
fn tokens(sql: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = sql.trim().chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            _ if c.is_whitespace() => {}
            ';' => return None,
            '-' if rest.peek() == Some(&'-') => return None,
            '/' if rest.peek() == Some(&'*') => return None,
            // A doubled quote ends one token and begins the next, which comes to the same.
            '\'' | '"' | '`' => {
                rest.by_ref().find(|end| *end == c)?;
                out.push(c.to_string());
            }
            _ if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_lowercase().to_string();
                while let Some(more) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.extend(more.to_lowercase());
                }
                out.push(word);
            }
            other => out.push(other.to_string()),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_of_one_stream_as_they_are() {
        for plain in [
            "SELECT * FROM \"default\"",
            "select body, _timestamp as t from default where code >= 500 and match_all('select count(*); --')",
            " SELECT \"a b\" FROM x WHERE a IN (1, 2) ",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "",
            "SELECT",
            "SELECT count(*) FROM x",
            "SELECT a FROM x, y",
            "SELECT a FROM x y",
            "SELECT a FROM (SELECT a FROM x)",
            "SELECT a FROM x WHERE a IN (SELECT b FROM y)",
            "SELECT a FROM x ORDER BY a",
            "SELECT a FROM x WHERE b = 1 LIMIT 5",
            "SELECT DISTINCT a FROM x",
            "SELECT a FROM x GROUP BY a",
            "SELECT a FROM x UNION SELECT a FROM y",
            "SELECT a FROM x JOIN y ON true",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "SELECT a FROM x; SELECT a FROM y",
            "SELECT a FROM x -- all",
            "SELECT a FROM x /* LIMIT 5 */",
            "SELECT a FROM x WHERE b = 'open",
            "SELECT case when a then b end FROM x",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
