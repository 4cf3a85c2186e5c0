//! libyaml accepts quoted text whose next lines are not indented, YAML 1.2 does not; Ansible files have it often.

/// The text with the lines of a quoted scalar padded, from the line (counted from 1) at which the parser gave up to
/// the closing quote. Folding ignores the padding. `None` where no scalar is open there.
pub(super) fn pad_quoted(text: &str, line: usize) -> Option<String> {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    // The parser reports the line of the scalar's beginning or of the offending line: look at both.
    for first in [line, line + 1] {
        let index = first.checked_sub(1)?;
        let (Some(&start), Some(before)) = (starts.get(index), index.checked_sub(1)) else {
            continue;
        };
        let Some((opened, quote)) = open_quote(text, *starts.get(before)?, start) else {
            continue;
        };
        let close = closing(text, opened + 1, quote)?;
        let pad = " ".repeat(indent(text, opened) + 1);
        let mut fixed = String::with_capacity(text.len() + 64);
        let mut at = 0;
        for &begin in starts.iter().filter(|begin| **begin > opened && **begin <= close) {
            fixed.push_str(text.get(at..begin)?);
            fixed.push_str(&pad);
            at = begin;
        }
        fixed.push_str(text.get(at..)?);
        return Some(fixed);
    }
    None
}

/// The quote that is open at `end`, where it begins after `from` or in the lines before it.
fn open_quote(text: &str, from: usize, end: usize) -> Option<(usize, u8)> {
    let bytes = text.as_bytes();
    let mut open: Option<(usize, u8)> = None;
    let mut at = from;
    while at < end {
        let c = *bytes.get(at)?;
        match open {
            None if (c == b'"' || c == b'\'') && begins_value(bytes, at) => open = Some((at, c)),
            None if c == b'#' && at > 0 && matches!(bytes.get(at - 1), Some(b' ' | b'\n')) => {
                at = text.get(at..end)?.find('\n').map_or(end, |newline| at + newline);
            }
            None => {}
            Some((_, b'"')) if c == b'\\' => at += 1,
            Some((_, quote)) if c == quote => open = None,
            Some(_) => {}
        }
        at += 1;
    }
    open
}

/// A quote opens a scalar only where a value may begin.
fn begins_value(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).and_then(|head| head.iter().rev().find(|c| **c != b' '));
    before.is_none_or(|c| matches!(c, b':' | b'-' | b'\n' | b'[' | b'{' | b',' | b'?'))
}

fn closing(text: &str, from: usize, quote: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => at += 1,
            c if c == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// Leading blanks and dashes of the line that holds this place.
fn indent(text: &str, at: usize) -> usize {
    let line = text
        .get(..at)
        .and_then(|head| head.rfind('\n'))
        .map_or(0, |newline| newline + 1);
    text.get(line..at)
        .map_or(0, |head| head.len() - head.trim_start_matches([' ', '-']).len())
}
