//! Terraform addresses: `module.a["x"].module.b[0].data.aws_ami.web["k.1"]`. Keys may hold dots, brackets and quotes,
//! so addresses are read by a small scanner.

use std::fmt::Write;

use serde_json::Value;

/// An address taken apart. Offsets point into the text it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The address without instance keys.
    pub config: String,
    /// Of each module call on the way: its name, and where its text (with the key) ends.
    pub modules: Vec<(String, usize)>,
}

impl Address {
    /// Reads an address of a resource or of a module. `None` when it is neither.
    pub fn parse(text: &str) -> Option<Address> {
        let mut address = Address::default();
        let mut rest = Scanner { text, at: 0 };
        loop {
            let word = rest.word()?;
            if word == "module" && rest.dot() {
                let name = rest.word()?;
                rest.key()?;
                address.push("module");
                address.push(name);
                address.modules.push((name.to_owned(), rest.at));
                if rest.done() {
                    return Some(address);
                }
                if !rest.dot() {
                    return None;
                }
                continue;
            }
            address.push(word);
            if word == "data" {
                if !rest.dot() {
                    return None;
                }
                address.push(rest.word()?);
            }
            if !rest.dot() {
                return None;
            }
            address.push(rest.word()?);
            rest.key()?;
            return rest.done().then_some(address);
        }
    }

    fn push(&mut self, word: &str) {
        if !self.config.is_empty() {
            self.config.push('.');
        }
        self.config.push_str(word);
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn done(&self) -> bool {
        self.at >= self.text.len()
    }

    fn dot(&mut self) -> bool {
        let found = self.rest().starts_with('.');
        self.at += usize::from(found);
        found
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).filter(|word| !word.is_empty())
    }

    /// Steps over `[0]` or `["text"]` if there is one; `None` when it does not end.
    fn key(&mut self) -> Option<()> {
        let rest = self.rest();
        let Some(inside) = rest.strip_prefix('[') else {
            return Some(());
        };
        let length = match inside.strip_prefix('"') {
            None => inside.find(']')?,
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.find(|c| match c {
                    _ if escaped => {
                        escaped = false;
                        false
                    }
                    '\\' => {
                        escaped = true;
                        false
                    }
                    _ => c == '"',
                })?;
                let close = quoted.get(end + 1..)?;
                if !close.starts_with(']') {
                    return None;
                }
                end + 2
            }
        };
        self.at += length + 2;
        Some(())
    }
}

/// Appends the instance key as Terraform prints it: `[0]`, `["a\"b"]`; nothing for a single instance.
///
/// Quoting follows HCL: `\n \r \t \" \\`, and `$${`, `%%{` for what would begin a template.
pub fn push_key(address: &mut String, key: Option<&Value>) {
    match key {
        Some(Value::Number(number)) => {
            let _ = write!(address, "[{number}]");
        }
        Some(Value::String(text)) => {
            address.push_str("[\"");
            let mut chars = text.chars().peekable();
            while let Some(c) = chars.next() {
                match c {
                    '\n' => address.push_str("\\n"),
                    '\r' => address.push_str("\\r"),
                    '\t' => address.push_str("\\t"),
                    '"' | '\\' => {
                        address.push('\\');
                        address.push(c);
                    }
                    '$' | '%' if chars.peek() == Some(&'{') => {
                        address.push(c);
                        address.push(c);
                    }
                    _ => address.push(c),
                }
            }
            address.push_str("\"]");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_may_hold_anything() {
        let text = r#"module.a["x.y"].module.b[0].data.aws_ami.web["jobs[\"0\"].n"]"#;
        let address = Address::parse(text).unwrap();
        assert_eq!(address.config, "module.a.module.b.data.aws_ami.web");
        let ends: Vec<_> = address
            .modules
            .iter()
            .map(|(name, end)| (name.as_str(), &text[..*end]))
            .collect();
        assert_eq!(
            ends,
            [("a", r#"module.a["x.y"]"#), ("b", r#"module.a["x.y"].module.b[0]"#)]
        );
        assert_eq!(Address::parse("module.m").unwrap().config, "module.m");
    }

    #[test]
    fn broken_addresses_are_refused() {
        for bad in [
            "",
            "x",
            "a.b[",
            "a.b[\"c",
            "a.b[0].c",
            "module.",
            "a..b",
            "data.x",
            "a.b[\"c\"",
            "module.a[0]b.c",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printed_keys_read_back(key in ".{0,20}", number in any::<u32>()) {
            for key in [json!(key), json!(number)] {
                let mut text = "module.m.t.n".to_owned();
                push_key(&mut text, Some(&key));
                let config = Address::parse(&text).map(|address| address.config);
                prop_assert_eq!(config.as_deref(), Some("module.m.t.n"));
            }
        }

        #[test]
        fn never_panics(text in ".{0,40}", odd in r#"[module.\[\]"\\0a]{0,30}"#) {
            let _ = (Address::parse(&text), Address::parse(&odd));
        }
    }
}
