//! Python literals (`ast.literal_eval`): how values of an INI inventory get their types.

use std::sync::Arc;

use super::super::value::{Map, Value};

/// Deepest nesting of lists and mappings; deeper text stays text.
const MAX_DEPTH: usize = 64;

/// The value of an INI assignment: a Python literal where the text is one, else the text itself. Tuples and sets
/// become lists.
pub fn value(text: &str) -> Value {
    let mut reader = Reader {
        rest: text.trim_start_matches([' ', '\t']),
        depth: 0,
    };
    match reader.value() {
        Some(value) if reader.at_end() => value,
        _ => Value::str(text),
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Skips blanks, and a comment at the end: Python ignores it.
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('#') {
            self.rest = self.rest.find('\n').and_then(|at| self.rest.get(at..)).unwrap_or("");
            self.rest = self.rest.trim_start();
        }
    }

    fn at_end(&mut self) -> bool {
        self.skip();
        self.rest.is_empty()
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.skip();
        let first = self.rest.chars().next()?;
        match first {
            '[' => self.nested(|r| r.sequence(']').map(|list| Value::List(Arc::new(list)))),
            '(' => self.nested(Reader::tuple),
            '{' => self.nested(Reader::braces),
            '\'' | '"' => self.strings(),
            '+' | '-' => self.signed(),
            '0'..='9' | '.' => self.number(false),
            _ => self.word(),
        }
    }

    fn nested(&mut self, read: fn(&mut Reader<'a>) -> Option<Value>) -> Option<Value> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        self.rest = self.rest.get(1..)?;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn sequence(&mut self, close: char) -> Option<Vec<Value>> {
        let mut list = Vec::new();
        loop {
            if self.eat(close) {
                return Some(list);
            }
            list.push(self.value()?);
            if !self.eat(',') {
                return self.eat(close).then_some(list);
            }
        }
    }

    /// `(x)` is x, `(x,)` and `()` are tuples.
    fn tuple(&mut self) -> Option<Value> {
        if self.eat(')') {
            return Some(Value::List(Arc::default()));
        }
        let first = self.value()?;
        if self.eat(')') {
            return Some(first);
        }
        if !self.eat(',') {
            return None;
        }
        let mut list = vec![first];
        list.extend(self.sequence(')')?);
        Some(Value::List(Arc::new(list)))
    }

    /// A mapping or a set.
    fn braces(&mut self) -> Option<Value> {
        let mut map = Map::new();
        if self.eat('}') {
            return Some(Value::Map(Arc::new(map)));
        }
        let first = self.value()?;
        if !self.eat(':') {
            let mut set = vec![first];
            if self.eat(',') {
                set.extend(self.sequence('}')?);
            } else if !self.eat('}') {
                return None;
            }
            return Some(Value::List(Arc::new(set)));
        }
        let mut key = first;
        loop {
            let value = self.value()?;
            map.insert(key_text(&key)?, value);
            let more = self.eat(',');
            if self.eat('}') {
                return Some(Value::Map(Arc::new(map)));
            }
            if !more {
                return None;
            }
            key = self.value()?;
            if !self.eat(':') {
                return None;
            }
        }
    }

    /// One or more adjacent strings, which Python joins.
    fn strings(&mut self) -> Option<Value> {
        let mut text = String::new();
        while self.rest.starts_with(['\'', '"']) {
            self.string(&mut text)?;
            self.skip();
        }
        Some(Value::str(text))
    }

    fn string(&mut self, text: &mut String) -> Option<()> {
        let quote = self.rest.chars().next()?;
        self.rest = self.rest.get(1..)?;
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                c if c == quote => break,
                '\n' => return None,
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    '0' => text.push('\0'),
                    '\n' => {}
                    c @ ('\\' | '\'' | '"') => text.push(c),
                    'x' => text.push(code(&mut chars, 2)?),
                    'u' => text.push(code(&mut chars, 4)?),
                    other => text.extend(['\\', other]),
                },
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(())
    }

    fn signed(&mut self) -> Option<Value> {
        let negative = self.rest.starts_with('-');
        self.rest = self.rest.get(1..)?;
        self.skip();
        self.number(negative)
    }

    fn number(&mut self, negative: bool) -> Option<Value> {
        let mut end = 0;
        let bytes = self.rest.as_bytes();
        while let Some(&c) = bytes.get(end) {
            let exponent_sign = matches!(c, b'+' | b'-')
                && end > 0
                && matches!(bytes.get(end - 1), Some(b'e' | b'E'))
                && !self.rest.starts_with("0x");
            if !(c.is_ascii_alphanumeric() || c == b'.' || c == b'_' || exponent_sign) {
                break;
            }
            end += 1;
        }
        let text = self.rest.get(..end)?;
        self.rest = self.rest.get(end..)?;
        if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
            return None;
        }
        let digits: String = text.chars().filter(|c| *c != '_').collect();
        let lower = digits.to_ascii_lowercase();
        let radix = [("0x", 16), ("0o", 8), ("0b", 2)]
            .into_iter()
            .find(|(prefix, _)| lower.starts_with(prefix));
        if let Some((prefix, radix)) = radix {
            let number = i64::from_str_radix(lower.strip_prefix(prefix)?, radix).ok()?;
            return Some(Value::Int(if negative { number.checked_neg()? } else { number }));
        }
        if digits.bytes().all(|c| c.is_ascii_digit()) {
            // `0644` is no Python number, `00` is.
            if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|c| c != b'0') {
                return None;
            }
            let number: i64 = digits.parse().ok()?;
            return Some(Value::Int(if negative { -number } else { number }));
        }
        if !digits
            .bytes()
            .all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-'))
        {
            return None;
        }
        let number: f64 = digits.parse().ok().filter(|number: &f64| number.is_finite())?;
        Some(Value::Float(if negative { -number } else { number }))
    }

    fn word(&mut self) -> Option<Value> {
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let word = self.rest.get(..end)?;
        let rest = self.rest.get(end..)?;
        let value = match word {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            "u" | "b" | "U" | "B" if rest.starts_with(['\'', '"']) => {
                self.rest = rest;
                return self.strings();
            }
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let mut number = 0;
    for _ in 0..digits {
        number = number * 16 + chars.next()?.to_digit(16)?;
    }
    char::from_u32(number)
}

fn key_text(key: &Value) -> Option<Arc<str>> {
    match key {
        Value::Str(text) | Value::Unsafe(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string().into()),
        Value::Float(number) => Some(number.to_string().into()),
        Value::Bool(true) => Some("True".into()),
        Value::Bool(false) => Some("False".into()),
        Value::Null => Some("None".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn types_of_values() {
        assert_eq!(value("8080"), Value::Int(8080));
        assert_eq!(value("-5"), Value::Int(-5));
        assert_eq!(value("0x1F"), Value::Int(31));
        assert_eq!(value("1.50"), Value::Float(1.5));
        assert_eq!(value("1e3"), Value::Float(1000.0));
        assert_eq!(value("True"), Value::Bool(true));
        assert_eq!(value("None"), Value::Null);
        assert_eq!(value("23 # a comment"), Value::Int(23));
        assert_eq!(value("\"two words\""), Value::str("two words"));
        assert_eq!(value("'a' 'b'"), Value::str("ab"));
        for text in [
            "yes",
            "FALSE",
            "0644",
            "foo # kept",
            "1.2.3.4",
            "10.0.0.1:80",
            "[1, 2",
            "{a:1}",
            "",
            "1_",
            "08:00",
        ] {
            assert_eq!(value(text), Value::str(text), "{text}");
        }
    }

    #[test]
    fn lists_and_mappings() {
        let json = |text: &str| value(text).to_json().to_string();
        assert_eq!(json("[1, 'a', [True, None],]"), r#"[1,"a",[true,null]]"#);
        assert_eq!(json("{'a': 1, 'b': {'c': (1, 2)}}"), r#"{"a":1,"b":{"c":[1,2]}}"#);
        assert_eq!(json("(1)"), "1");
        assert_eq!(json("{1, 2}"), "[1,2]");
    }

    #[test]
    fn deep_nesting_stays_text() {
        let text = "[".repeat(100_000);
        assert_eq!(value(&text), Value::str(text.clone()));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            value(&text);
        }

        #[test]
        fn integers_read_back(number in any::<i32>()) {
            prop_assert_eq!(value(&number.to_string()), Value::Int(number.into()));
        }
    }
}
