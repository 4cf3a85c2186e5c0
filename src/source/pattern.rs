//! Which streams a source reads: lists of names with `*`, `?` and exclusions.

/// A list such as `["http_*", "!http_debug"]`. A name is in when any plain pattern matches it (or there are only
/// exclusions) and no exclusion does. The empty list matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    include: Vec<String>,
    exclude: Vec<String>,
}

impl Patterns {
    /// Splits the list into patterns and exclusions (`!`).
    pub fn new<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> Self {
        let mut patterns = Patterns::default();
        for p in list {
            match p.as_ref().strip_prefix('!') {
                Some(p) => patterns.exclude.push(p.to_string()),
                None => patterns.include.push(p.as_ref().to_string()),
            }
        }
        if patterns.include.is_empty() && !patterns.exclude.is_empty() {
            patterns.include.push("*".to_string());
        }
        patterns
    }

    /// Every name.
    pub fn all() -> Self {
        Patterns::new(["*"])
    }

    /// Whether no name can match: the dataset is not wanted.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty()
    }

    /// Whether every name matches.
    pub fn is_all(&self) -> bool {
        self.exclude.is_empty() && self.include.iter().any(|p| p == "*")
    }

    /// Whether `name` is wanted.
    pub fn matches(&self, name: &str) -> bool {
        self.include.iter().any(|p| glob(p, name)) && !self.exclude.iter().any(|p| glob(p, name))
    }

    /// Whether a file is wanted: a pattern is tried against its whole path, one without a slash also against its name.
    pub fn matches_path(&self, path: &str) -> bool {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let hits = |p: &String| glob(p, path) || !p.contains('/') && glob(p, name);
        self.include.iter().any(hits) && !self.exclude.iter().any(hits)
    }
}

/// `*` stands for any run of bytes, `?` for one. Remembers only the last star, so the cost is bounded by
/// pattern length times name length.
fn glob(pattern: &str, name: &str) -> bool {
    let (p, n) = (pattern.as_bytes(), name.as_bytes());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < n.len() {
        match p.get(i) {
            Some(b'*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(c) if *c == b'?' || n.get(j) == Some(c) => {
                i += 1;
                j += 1;
            }
            _ => match star {
                // Let the last star take one byte more, and go on behind it.
                Some((s, taken)) => {
                    star = Some((s, taken + 1));
                    i = s + 1;
                    j = taken + 1;
                }
                None => return false,
            },
        }
    }
    p.iter().skip(i).all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("*", "anything", true),
            ("default", "default", true),
            ("default", "default2", false),
            ("http_*", "http_requests", true),
            ("http_*", "ahttp_requests", false),
            ("*_total", "a_total_b_total", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("up?", "up1", true),
            ("up?", "up", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_is_not_exponential() {
        assert!(!glob(&"*a".repeat(200), &"a".repeat(199)));
        assert!(!glob(&format!("{}b", "*a".repeat(100)), &"a".repeat(10_000)));
    }

    #[test]
    fn exclusions() {
        let p = Patterns::new(["http_*", "!http_debug"]);
        assert!(p.matches("http_a") && !p.matches("http_debug") && !p.matches("up"));
        let p = Patterns::new(["!x"]);
        assert!(p.matches("y") && !p.matches("x") && !p.is_all());
        assert!(Patterns::all().is_all() && !Patterns::all().is_empty());
        assert!(Patterns::new(Vec::<String>::new()).is_empty() && !Patterns::default().matches("x"));
    }
}
