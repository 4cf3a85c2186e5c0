//! How deep a template is nested, before the engine's parser follows it: parser, compiler and the tree they build recurse,
//! and a stack that overflows cannot be caught.

/// Deepest nesting of an expression: brackets, and operators in a row.
const MAX_EXPRESSION: usize = 250;
/// Deepest nesting of blocks; every `elif` counts.
const MAX_BLOCKS: usize = 100;
/// Words that nest like operators.
const WORDS: &[&str] = &["not", "and", "or", "if", "else", "is", "in"];
/// Blocks that have an end.
const BLOCKS: &[&str] = &[
    "if",
    "for",
    "macro",
    "call",
    "filter",
    "with",
    "block",
    "set",
    "autoescape",
];

/// Whether the engine can be given this text. Linear in its length.
pub(super) fn is_bounded(text: &str) -> bool {
    let mut rest = text;
    let mut blocks: Vec<usize> = Vec::new();
    let mut open = 0_usize;
    while let Some(at) = rest.find('{') {
        let tag = rest.get(at..).unwrap_or("");
        let code = tag.get(2..).unwrap_or("");
        let close = match tag.get(..2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            Some("{#") => {
                rest = code.find("#}").and_then(|end| code.get(end..)).unwrap_or("");
                continue;
            }
            _ => {
                rest = tag.get(1..).unwrap_or("");
                continue;
            }
        };
        let end = end_of(code, close);
        let (code, after) = code.split_at(end);
        rest = after;
        if depth(code) > MAX_EXPRESSION {
            return false;
        }
        if close == "%}" {
            match code
                .trim_start_matches(['-', '+'])
                .split_whitespace()
                .next()
                .unwrap_or("")
            {
                "raw" => rest = rest.find("endraw").and_then(|end| rest.get(end..)).unwrap_or(""),
                word if word.starts_with("end") => open = open.saturating_sub(blocks.pop().unwrap_or(0)),
                "elif" => {
                    open += 1;
                    if let Some(last) = blocks.last_mut() {
                        *last += 1;
                    }
                }
                "set" if code.contains('=') => {}
                word if BLOCKS.contains(&word) => {
                    open += 1;
                    blocks.push(1);
                }
                _ => {}
            }
            if open > MAX_BLOCKS {
                return false;
            }
        }
    }
    true
}

/// Where code ends: at the closing sign outside of quotes and braces, else with the text.
fn end_of(code: &str, close: &str) -> usize {
    let mut quote: Option<char> = None;
    let mut escaped = false;
    let mut braces = 0_usize;
    for (at, c) in code.char_indices() {
        if let Some(open) = quote {
            if c == open && !escaped {
                quote = None;
            }
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '\'' | '"' => quote = Some(c),
            _ if braces == 0 && code.get(at..).is_some_and(|rest| rest.starts_with(close)) => return at,
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

/// The deepest tree that an expression can have: operators in a row count, a comma ends a row.
fn depth(code: &str) -> usize {
    let mut levels = vec![0_usize];
    let mut sum = 0_usize;
    let mut deepest = 0_usize;
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for c in code.chars().chain([' ']) {
        if let Some(open) = quote {
            let ends = c == open && !escaped;
            escaped = c == '\\' && !escaped;
            if ends {
                quote = None;
            }
            continue;
        }
        if c.is_alphanumeric() || c == '_' {
            if word.len() < 8 {
                word.push(c);
            }
            continue;
        }
        let mut more = usize::from(WORDS.contains(&word.as_str()));
        word.clear();
        match c {
            '\'' | '"' => quote = Some(c),
            '(' | '[' | '{' => {
                levels.push(0);
                more += 1;
            }
            ')' | ']' | '}' => {
                let inner = if levels.len() > 1 { levels.pop().unwrap_or(0) } else { 0 };
                sum = sum.saturating_sub(inner);
                more += 1;
            }
            ',' => {
                if let Some(level) = levels.last_mut() {
                    sum = sum.saturating_sub(*level);
                    *level = 0;
                }
            }
            '+' | '-' | '*' | '/' | '%' | '~' | '|' | '.' | '<' | '>' | '=' | '!' => more += 1,
            _ => {}
        }
        if let Some(level) = levels.last_mut() {
            *level += more;
        }
        sum += more;
        deepest = deepest.max(sum);
        if deepest > MAX_EXPRESSION {
            break;
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deep_is_refused() {
        for deep in [
            format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000)),
            format!("{{{{ {}1 }}}}", "not ".repeat(20_000)),
            format!("{{{{ 1{} }}}}", " + 1".repeat(20_000)),
            format!("{{{{ a{} }}}}", ".a".repeat(20_000)),
            format!("{{{{ a{} }}}}", "[0]".repeat(20_000)),
            format!("{{{{ a{} }}}}", " | d".repeat(20_000)),
            format!("{{{{ {}1 }}}}", "1 if 1 else ".repeat(20_000)),
            format!("{{{{ '}}}}' ~ {}1 }}}}", "not ".repeat(20_000)),
            format!("{{# {{{{ ' #}}{{{{ {}1 }}}}", "not ".repeat(20_000)),
            format!("{{% raw %}}{{{{ ' {{% endraw %}}{{{{ {}1 }}}}", "not ".repeat(20_000)),
            format!("{{{{ {{'a': {{'b': 1}}}} }}}}{{{{ {}1 }}}}", "not ".repeat(20_000)),
            "{% if a %}".repeat(20_000),
            format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(20_000)),
        ] {
            assert!(!is_bounded(&deep), "{}", &deep[..40]);
        }
    }

    #[test]
    fn what_is_long_is_not() {
        let list = (0..20_000)
            .map(|at| format!("{{'a': b.c | d, 'e': {at} + 1}}"))
            .collect::<Vec<_>>()
            .join(", ");
        assert!(is_bounded(&format!("{{{{ [{list}] }}}}")));
        assert!(is_bounded(
            &"{% if a %}{{ b.c[0] | d('x') }}{% else %}y{% endif %}\n".repeat(20_000)
        ));
        assert!(is_bounded(&"{% set a = 1 %}{ {# x #}".repeat(20_000)));
        // One pass, whatever is open.
        assert!(is_bounded(&"{{".repeat(100)));
        is_bounded(&"{{ ' {% \" {#".repeat(200_000));
    }
}
