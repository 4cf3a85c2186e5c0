//! Host patterns of an inventory: `web[01:10].example.net:2222` as names and a port.

use std::net::Ipv6Addr;

/// Why a host pattern is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// Not `begin:end` or `begin:end:step`, or begin and end do not fit each other.
    Malformed,
    /// Stands for more hosts than allowed.
    TooMany,
}

/// The hosts that a pattern of an inventory stands for, and the port after it. At most `limit` hosts.
pub fn expand(pattern: &str, limit: usize) -> Result<(Vec<String>, Option<u16>), RangeError> {
    let (host, port) = split_port(pattern);
    if host.is_empty() || (port.is_none() && pattern.trim_end().ends_with(':')) {
        return Err(RangeError::Malformed);
    }
    let mut done: Vec<String> = vec![String::new()];
    let mut rest = host;
    while let Some(open) = rest.find('[') {
        let inside = rest.get(open + 1..).unwrap_or("");
        let close = inside.find(']').ok_or(RangeError::Malformed)?;
        let names = range(inside.get(..close).unwrap_or(""), limit)?;
        let head = rest.get(..open).unwrap_or("");
        if done.len().saturating_mul(names.len()) > limit {
            return Err(RangeError::TooMany);
        }
        done = done
            .iter()
            .flat_map(|begun| names.iter().map(move |name| format!("{begun}{head}{name}")))
            .collect();
        rest = inside.get(close + 1..).unwrap_or("");
    }
    for name in &mut done {
        name.push_str(rest);
    }
    Ok((done, port))
}

/// `begin:end[:step]`: numbers, zero-padded where begin is, or ASCII letters. The end is included.
fn range(bounds: &str, limit: usize) -> Result<Vec<String>, RangeError> {
    let parts: Vec<&str> = bounds.split(':').collect();
    let (begin, end, step) = match parts.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err(RangeError::Malformed),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    let step: u64 = step
        .parse()
        .ok()
        .filter(|step| *step > 0)
        .ok_or(RangeError::Malformed)?;
    let width = if begin.len() > 1 && begin.starts_with('0') {
        begin.len()
    } else {
        0
    };
    if end.is_empty() || (width > 0 && width != end.len()) {
        return Err(RangeError::Malformed);
    }
    if let (Some(first), Some(last)) = (letter(begin), letter(end)) {
        if first > last {
            return Err(RangeError::Malformed);
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        return Ok((first..=last)
            .step_by(step)
            .filter_map(|at| LETTERS.get(at..=at))
            .map(str::to_owned)
            .collect());
    }
    let number = |text: &str| text.parse::<u64>().map_err(|_| RangeError::Malformed);
    let (first, last) = (number(begin)?, number(end)?);
    let count = last
        .checked_sub(first)
        .map_or(0, |span| (span / step).saturating_add(1));
    if count > limit as u64 {
        return Err(RangeError::TooMany);
    }
    Ok((0..count).map(|at| format!("{:0width$}", first + at * step)).collect())
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn letter(text: &str) -> Option<usize> {
    (text.len() == 1).then(|| LETTERS.find(text)).flatten()
}

/// Separates `:port`. Where what is before it is no host name or address, nothing is separated.
fn split_port(pattern: &str) -> (&str, Option<u16>) {
    let number = |text: &str| {
        text.bytes()
            .all(|c| c.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    };
    if let Some((head, port)) = pattern.rsplit_once(':')
        && let Some(port) = number(port)
    {
        let bracketed = head.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let host = bracketed.unwrap_or(head);
        let plain = bracketed.is_some() || !has_bare_colon(head);
        if plain && is_address(host) {
            return (host, Some(port));
        }
    }
    (pattern, None)
}

/// A colon outside of brackets.
fn has_bare_colon(text: &str) -> bool {
    let mut depth = 0_u32;
    text.chars().any(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ':' && depth == 0
    })
}

/// Whether Ansible takes this for a host: an address, or labels of letters, digits, `_` and `-`, each part of which may
/// be a range.
pub fn is_address(text: &str) -> bool {
    let Some(flat) = without_ranges(text) else {
        return false;
    };
    if flat.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    flat.split('.').all(|label| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
            && !label.starts_with('-')
            && !label.ends_with(['-', '_'])
    })
}

/// The text with `0` for every range; `None` where a bracket holds something else.
fn without_ranges(text: &str) -> Option<String> {
    let mut flat = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        flat.push_str(rest.get(..open)?);
        let inside = rest.get(open + 1..)?;
        let close = inside.find(']')?;
        let bounds = inside.get(..close)?;
        let parts = bounds.split(':').count();
        if !(2..=3).contains(&parts) || !bounds.chars().all(|c| c.is_ascii_alphanumeric() || c == ':') {
            return None;
        }
        flat.push('0');
        rest = inside.get(close + 1..)?;
    }
    flat.push_str(rest);
    (!flat.contains(']')).then_some(flat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hosts(pattern: &str) -> Vec<String> {
        expand(pattern, 1000).unwrap().0
    }

    #[test]
    fn numbers_letters_steps_and_products() {
        assert_eq!(hosts("a[1:3]"), ["a1", "a2", "a3"]);
        assert_eq!(hosts("a[08:10].x"), ["a08.x", "a09.x", "a10.x"]);
        assert_eq!(hosts("[a:c]"), ["a", "b", "c"]);
        assert_eq!(hosts("a[1:9:4]"), ["a1", "a5", "a9"]);
        assert_eq!(hosts("a[:2]"), ["a0", "a1", "a2"]);
        assert_eq!(hosts("r[1:2]-[a:b]"), ["r1-a", "r1-b", "r2-a", "r2-b"]);
        assert_eq!(hosts("a[3:1]"), Vec::<String>::new());
        for bad in [
            "a[01:100]",
            "a[1]",
            "a[1:2",
            "a[x:1]",
            "a[1:5:0]",
            "a[c:a]",
            "a[1:]",
            "a:",
            "",
        ] {
            assert_eq!(expand(bad, 1000), Err(RangeError::Malformed), "{bad}");
        }
    }

    #[test]
    fn ports_are_separated_from_hosts_only() {
        assert_eq!(expand("web:22", 9), Ok((vec!["web".into()], Some(22))));
        assert_eq!(
            expand("[2001:db8::1]:2022", 9),
            Ok((vec!["2001:db8::1".into()], Some(2022)))
        );
        assert_eq!(expand("2001:db8::1", 9), Ok((vec!["2001:db8::1".into()], None)));
        assert_eq!(expand("a[1:2]:22", 9), Ok((vec!["a1".into(), "a2".into()], Some(22))));
    }

    #[test]
    fn huge_ranges_are_refused_before_they_are_built() {
        assert_eq!(expand("a[1:999999999]", 100_000), Err(RangeError::TooMany));
        assert_eq!(expand("[1:99999][1:99999][1:99999]", 100_000), Err(RangeError::TooMany));
        assert_eq!(expand("a[0:18446744073709551615]", 100_000), Err(RangeError::TooMany));
    }

    proptest! {
        #[test]
        fn never_panics(pattern in "[a-c0-9\\[\\]:.\\-é]{0,24}") {
            let _ = expand(&pattern, 100);
        }

        #[test]
        fn a_range_has_as_many_hosts_as_numbers(first in 0_u64..50, count in 1_u64..50, step in 1_u64..5) {
            let (names, _) = expand(&format!("h[{first}:{}:{step}]", first + count - 1), 1000).unwrap();
            prop_assert_eq!(names.len() as u64, count.div_ceil(step));
        }
    }
}
