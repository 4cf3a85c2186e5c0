//! Host patterns of plays: `web:&prod:!db`, `web[0:2]`, `*.example.net`, `~regex`.
//! After ansible-core's `inventory/manager.py`.

use std::fmt::Write as _;
use std::sync::Arc;

use indexmap::IndexSet;
use regex::{Regex, RegexBuilder};

use super::model::{Inventory, Members};
use super::range::is_address;

/// Compiled size of one pattern, in bytes.
const MAX_REGEX_SIZE: usize = 1 << 20;
/// Most parts of one pattern.
const MAX_PARTS: usize = 10_000;

/// Why a pattern selects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Not a regular expression, or one with look-around, which is not evaluated.
    Regex,
    /// `group[9]` where the group is smaller.
    Subscript,
    /// More parts than are read.
    TooLong,
}

/// The hosts that a pattern selects, in Ansible's order, each once. A pattern that matches nothing selects nothing;
/// `localhost` is always there.
pub fn select(inventory: &Inventory, members: &Members, pattern: &str) -> Result<Vec<Arc<str>>, PatternError> {
    let mut parts = split(pattern);
    if parts.len() > MAX_PARTS {
        return Err(PatternError::TooLong);
    }
    let rank = |part: &String| match part.chars().next() {
        Some('!') => 2,
        Some('&') => 1,
        _ => 0,
    };
    parts.retain(|part| !part.is_empty());
    parts.sort_by_key(rank);
    if parts.first().is_none_or(|part| rank(part) > 0) {
        parts.insert(0, "all".to_owned());
    }
    let mut hosts: IndexSet<Arc<str>> = IndexSet::new();
    for part in &parts {
        if let Some((name, _)) = inventory.hosts.get_key_value(part.as_str()) {
            hosts.insert(name.clone());
            continue;
        }
        match part.chars().next() {
            Some('!') => {
                let out: IndexSet<_> = matches(inventory, members, part.get(1..).unwrap_or(""))?
                    .into_iter()
                    .collect();
                hosts.retain(|host| !out.contains(host));
            }
            Some('&') => {
                let keep: IndexSet<_> = matches(inventory, members, part.get(1..).unwrap_or(""))?
                    .into_iter()
                    .collect();
                hosts.retain(|host| keep.contains(host));
            }
            _ => hosts.extend(matches(inventory, members, part)?),
        }
    }
    Ok(hosts.into_iter().collect())
}

/// Separates by commas, else by colons unless the whole is one host.
fn split(pattern: &str) -> Vec<String> {
    if pattern.contains(',') {
        return pattern.split(',').map(|part| part.trim().to_owned()).collect();
    }
    let host = pattern
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|c| c.is_ascii_digit()));
    if is_address(pattern) || host.is_some_and(|(host, _)| !host.contains(':') && is_address(host)) {
        return vec![pattern.to_owned()];
    }
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let bracket = rest.strip_prefix('[').and_then(|inner| inner.find(']'));
        let width = match (c, bracket) {
            ('[', Some(close)) => close + 2,
            _ => c.len_utf8(),
        };
        let (head, tail) = rest.split_at(width);
        match c {
            ':' | ']' => parts.push(std::mem::take(&mut part)),
            c if c.is_whitespace() => parts.push(std::mem::take(&mut part)),
            '[' if bracket.is_none() => parts.push(std::mem::take(&mut part)),
            _ => part.push_str(head),
        }
        rest = tail;
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

fn matches(inventory: &Inventory, members: &Members, pattern: &str) -> Result<Vec<Arc<str>>, PatternError> {
    let (name, subscript) = subscript(pattern);
    let hosts = enumerate(inventory, members, name)?;
    let Some(subscript) = subscript.filter(|_| !hosts.is_empty()) else {
        return Ok(hosts);
    };
    let count = hosts.len() as i64;
    match subscript {
        Subscript::At(at) => {
            let at = if at < 0 { at + count } else { at };
            let host = usize::try_from(at)
                .ok()
                .and_then(|at| hosts.get(at))
                .ok_or(PatternError::Subscript)?;
            Ok(vec![host.clone()])
        }
        // The end is included, and 0 counts as "no end", so `[0:0]` is the first host: Ansible's rule.
        Subscript::From(start, Some(0)) => Ok(vec![hosts.get(start).ok_or(PatternError::Subscript)?.clone()]),
        Subscript::From(start, end) => {
            let end = end.map_or(hosts.len(), |end| end.saturating_add(1).min(hosts.len()));
            Ok(hosts.get(start..end.max(start)).unwrap_or_default().to_vec())
        }
    }
}

#[derive(Clone, Copy)]
enum Subscript {
    At(i64),
    From(usize, Option<usize>),
}

/// Separates `[n]`, `[x:y]`, `[x:]`.
fn subscript(pattern: &str) -> (&str, Option<Subscript>) {
    let none = (pattern, None);
    if pattern.starts_with('~') {
        return none;
    }
    let Some((name, inner)) = pattern.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) else {
        return none;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if name.is_empty() {
        return none;
    }
    if digits(inner.strip_prefix('-').unwrap_or(inner)) {
        return inner.parse().map_or(none, |at| (name, Some(Subscript::At(at))));
    }
    let Some((start, end)) = inner.split_once([':', '-']).filter(|(start, _)| digits(start)) else {
        return none;
    };
    let end = match end {
        "" => None,
        end if digits(end) => end.parse().ok(),
        _ => return none,
    };
    start
        .parse()
        .map_or(none, |start| (name, Some(Subscript::From(start, end))))
}

fn enumerate(inventory: &Inventory, members: &Members, name: &str) -> Result<Vec<Arc<str>>, PatternError> {
    let regex = compile(name)?;
    let is_match = |text: &str| match &regex {
        Some(regex) => regex.is_match(text),
        None => text == name,
    };
    let mut found: Vec<Arc<str>> = Vec::new();
    let mut any_group = false;
    for (_, hosts) in members.iter().filter(|(group, _)| is_match(group)) {
        any_group = true;
        found.extend(hosts.iter().cloned());
    }
    if !any_group || name.starts_with('~') || name.contains(['.', '?', '*', '[']) {
        found.extend(inventory.hosts.keys().filter(|host| is_match(host)).cloned());
    }
    if found.is_empty() && matches!(name, "localhost" | "127.0.0.1" | "::1") {
        found.push(Arc::from(name));
    }
    let unique: IndexSet<Arc<str>> = found.into_iter().collect();
    Ok(unique.into_iter().collect())
}

/// A regular expression for `~...` and for globs; `None` for a plain word.
fn compile(name: &str) -> Result<Option<Regex>, PatternError> {
    let source = match name.strip_prefix('~') {
        Some(regex) => format!("^(?:{regex})"),
        None if name.contains(['*', '?', '[']) => glob(name),
        None => return Ok(None),
    };
    RegexBuilder::new(&source)
        .size_limit(MAX_REGEX_SIZE)
        .build()
        .map(Some)
        .map_err(|_| PatternError::Regex)
}

/// Python's `fnmatch.translate`.
fn glob(pattern: &str) -> String {
    let mut regex = String::from("^(?s:");
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or("");
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                // A `]` right after the opening (or after `!`) is part of the set.
                let skip = usize::from(rest.starts_with('!'));
                let first = skip + usize::from(rest.get(skip..).is_some_and(|rest| rest.starts_with(']')));
                match rest.get(first..).and_then(|tail| tail.find(']')) {
                    Some(close) => {
                        let inner = rest.get(skip..first + close).unwrap_or("");
                        regex.push_str(if skip == 1 { "[^" } else { "[" });
                        for c in inner.chars() {
                            if !(c.is_alphanumeric() || c == '-') {
                                regex.push('\\');
                            }
                            regex.push(c);
                        }
                        regex.push(']');
                        rest = rest.get(first + close + 1..).unwrap_or("");
                    }
                    None => regex.push_str("\\["),
                }
            }
            other => {
                let _ = write!(regex, "{}", regex::escape(other.encode_utf8(&mut [0; 4])));
            }
        }
    }
    regex.push_str(")$");
    regex
}

#[cfg(test)]
mod tests;
