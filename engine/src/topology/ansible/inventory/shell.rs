//! Splitting a host line into words as Python's `shlex.split(line, comments=True)` does.

/// The words of a line, or `None` where a quotation is not closed. Quotes are removed, a backslash takes the next
/// character as it is, and `#` begins a comment even inside a word.
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut open = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' => break,
            '\'' => {
                open = true;
                loop {
                    match chars.next()? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            '"' => {
                open = true;
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        inner => word.push(inner),
                    }
                }
            }
            '\\' => {
                open = true;
                word.push(chars.next()?);
            }
            ' ' | '\t' | '\r' | '\n' => {
                if open {
                    words.push(std::mem::take(&mut word));
                    open = false;
                }
            }
            other => {
                open = true;
                word.push(other);
            }
        }
    }
    if open {
        words.push(word);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_quotes_escapes_and_comments() {
        let words = |line: &str| split(line).unwrap();
        assert_eq!(words("a  b=\"c d\" e='f\"g' # h"), ["a", "b=c d", "e=f\"g"]);
        assert_eq!(words("k=abc#cut more"), ["k=abc"]);
        assert_eq!(words(r#"p=a\ b q="x\"y\z""#), ["p=a b", r#"q=x"y\z"#]);
        assert_eq!(words("o={'a':1}"), ["o={a:1}"]);
        assert_eq!(words("e=''"), ["e="]);
        assert_eq!(split("a 'open"), None);
    }
}
