//! Which part of a template fails.

use std::sync::Arc;

use super::super::super::jinja::{Scope, Session};

/// The text without the first expression that fails when evaluated alone; `None` where no single one does.
pub(super) fn without_failing(session: &Arc<Session>, scope: &Arc<Scope>, text: &str) -> Option<String> {
    let line = session.failing_line(scope, text)?;
    let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
    let end = text.get(start..)?.find('\n').map_or(text.len(), |at| start + at);
    let found = text.get(start..end)?;
    let mut kept = String::with_capacity(found.len());
    let mut rest = found;
    while let Some((head, tail)) = rest.split_once("{{") {
        kept.push_str(head);
        let (code, after) = tail.split_once("}}").unwrap_or((tail, ""));
        // An address fact that cannot be named still says whose it is.
        if let Some(host) = fact_of(code) {
            kept.push_str(&format!("{{{{{host}}}}}"));
        }
        rest = after;
    }
    kept.push_str(rest);
    (kept.len() < found.len()).then(|| format!("{}{kept}{}", &text[..start], &text[end..]))
}

/// `x` in `hostvars[x]['ansible_' ...`.
fn fact_of(code: &str) -> Option<&str> {
    let (_, inner) = code.split_once("hostvars[")?;
    let (host, rest) = inner.split_once(']')?;
    let plain = host.chars().all(|c| c.is_alphanumeric() || c == '_');
    (plain && rest.contains("ansible_")).then_some(host)
}
