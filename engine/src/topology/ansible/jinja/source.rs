//! Small changes to template text before it is compiled.

use std::borrow::Cow;

/// Name of the function that makes a list which `append` changes.
pub(super) const NEW_LIST: &str = "__list";
/// The same for mappings and `update`.
pub(super) const NEW_MAP: &str = "__map";

/// Lists and mappings of the engine cannot be changed, but `{% set l = [] %}` followed by `l.append(x)` is a common idiom:
/// such lists become ones that can. Linear in the text.
pub(super) fn with_mutable_lists(text: &str) -> Cow<'_, str> {
    if !text.contains(".append(") && !text.contains(".extend(") && !text.contains(".update(") {
        return Cow::Borrowed(text);
    }
    let mut changed = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(open) = rest.find("{%") {
        let (before, tag) = rest.split_at(open);
        changed.push_str(before);
        let Some(close) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(close);
        match empty_set(tag) {
            Some((head, function)) => {
                changed.push_str(head);
                changed.push_str(function);
                changed.push_str("() ");
                if tag.ends_with('-') {
                    changed.push('-');
                }
            }
            None => changed.push_str(tag),
        }
        rest = after;
    }
    changed.push_str(rest);
    Cow::Owned(changed)
}

/// Ansible keeps backslashes of texts inside of `{{ }}` in variables: `'\\1'` has two characters. The engine takes them for
/// escapes, so they are doubled. An escaped quote stays.
pub(super) fn with_backslashes(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut changed = String::with_capacity(text.len() + 8);
    let mut inside = false;
    let mut quote: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        changed.push(c);
        match (c, quote) {
            ('{', None) if next == Some('{') => inside = true,
            ('}', None) if next == Some('}') => inside = false,
            ('\'' | '"', None) if inside => quote = Some(c),
            ('\\', Some(_)) => match next {
                Some('\'' | '"') => changed.extend(chars.next()),
                Some('\\') => {
                    chars.next();
                    changed.push_str("\\\\\\");
                }
                _ => changed.push('\\'),
            },
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    Cow::Owned(changed)
}

/// For symbolic reading: text in quotes that names a host becomes the host's character, so that comparisons hold, and
/// what `set` builds is shown to `trace` at once: a loop that builds a list of endpoints keeps only its last round.
pub(super) fn symbolic(text: &str, trace: &str, host: impl Fn(&str) -> Option<String>) -> String {
    let mut changed = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, tag) = rest.split_at(open);
        changed.push_str(before);
        let sign = match tag.get(..2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            _ => {
                changed.push('{');
                rest = tag.get(1..).unwrap_or("");
                continue;
            }
        };
        let Some(close) = tag.find(sign) else {
            // Nothing closes any more: the engine will say so.
            rest = tag;
            break;
        };
        let (code, after) = tag.split_at(close);
        hosts_in(code, &host, &mut changed);
        rest = after.get(2..).unwrap_or("");
        changed.push_str(after.get(..2).unwrap_or(""));
        if let Some(name) = assigned(code) {
            changed.push_str(&format!("{{{{ {trace}({name}) }}}}"));
        }
    }
    changed.push_str(rest);
    changed
}

/// Copies code, with the names of hosts in quotes replaced.
fn hosts_in(code: &str, host: impl Fn(&str) -> Option<String>, out: &mut String) {
    let mut rest = code;
    while let Some(open) = rest.find(['\'', '"']) {
        let (before, quoted) = rest.split_at(open);
        out.push_str(before);
        let quote = quoted.get(..1).unwrap_or("");
        let inner = quoted.get(1..).unwrap_or("");
        let Some(close) = inner.find(quote) else {
            rest = quoted;
            break;
        };
        let (name, after) = inner.split_at(close);
        out.push_str(quote);
        out.push_str(host(name).as_deref().unwrap_or(name));
        out.push_str(quote);
        rest = after.get(1..).unwrap_or("");
    }
    out.push_str(rest);
}

/// The name in `{% set name = ...`.
fn assigned(code: &str) -> Option<&str> {
    let rest = code
        .strip_prefix("{%")?
        .trim_start_matches(['-', '+'])
        .trim_start()
        .strip_prefix("set ")?;
    let (name, _) = rest.split_once('=')?;
    let name = name.trim();
    name.chars().all(|c| c.is_alphanumeric() || c == '_').then_some(name)
}

/// `{% set name = [] ` or `{}`: what is before the value, and the function to call instead.
fn empty_set(tag: &str) -> Option<(&str, &'static str)> {
    let (head, value) = tag.split_once('=')?;
    if !head
        .trim_start_matches("{%")
        .trim_start_matches('-')
        .trim_start()
        .starts_with("set ")
    {
        return None;
    }
    let value: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let function = match value.trim_end_matches('-') {
        "[]" => NEW_LIST,
        "{}" => NEW_MAP,
        _ => return None,
    };
    tag.get(..head.len() + 1).map(|head| (head, function))
}

/// The settings line that a template file may begin with (`#jinja2: lstrip_blocks: True`), and the text after it.
pub(super) fn header(text: &str) -> (bool, bool, &str) {
    let Some(rest) = text.strip_prefix("#jinja2:") else {
        return (true, false, text);
    };
    let (line, body) = rest.split_once('\n').unwrap_or((rest, ""));
    let mut trim = true;
    let mut lstrip = false;
    for setting in line.split(',') {
        if let Some((key, value)) = setting.split_once(':') {
            let on = value.trim().trim_matches(['\'', '"']).eq_ignore_ascii_case("true");
            match key.trim() {
                "trim_blocks" => trim = on,
                "lstrip_blocks" => lstrip = on,
                _ => {}
            }
        }
    }
    (trim, lstrip, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lists_become_changeable() {
        let text = "{% set a = [] %}{%- set b={} -%}{% set c = [1] %}{{ a.append(1) }}{{ b.update({}) }}";
        assert_eq!(
            with_mutable_lists(text),
            "{% set a =__list() %}{%- set b=__map() -%}{% set c = [1] %}{{ a.append(1) }}{{ b.update({}) }}"
        );
        assert_eq!(with_mutable_lists("{% set a = [] %}"), "{% set a = [] %}");
    }

    #[test]
    fn backslashes_are_kept_in_expressions() {
        assert_eq!(
            with_backslashes(r"\1 {{ '\1' ~ 'a\'b' ~ '\\' }} {% set x = '\n' %}"),
            r"\1 {{ '\\1' ~ 'a\'b' ~ '\\\\' }} {% set x = '\n' %}"
        );
        assert_eq!(with_backslashes("{{ x }}"), "{{ x }}");
    }

    #[test]
    fn symbolic_reading_sees_names_and_assignments() {
        let host = |name: &str| (name == "db1").then(|| "@".to_owned());
        let text = "a 'db1' { {% set x = 'db1' ~ \"web\" -%}{{ 'db1' == y }}{% set z %}b{% endset %}{{ 'open";
        assert_eq!(
            symbolic(text, "t", host),
            "a 'db1' { {% set x = '@' ~ \"web\" -%}{{ t(x) }}{{ '@' == y }}{% set z %}b{% endset %}{{ 'open"
        );
    }

    #[test]
    fn settings_line() {
        assert_eq!(
            header("#jinja2: lstrip_blocks: True, trim_blocks:False\nx"),
            (false, true, "x")
        );
        assert_eq!(header("x"), (true, false, "x"));
    }
}
