//! Blanking comments, so that addresses in them are not taken for endpoints. Offsets stay as they are.

/// How comments look in a file, by the name it gets.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Style {
    /// `#` to the end of the line.
    hash: bool,
    /// `;` at the beginning of a line.
    semicolon: bool,
    /// `//` to the end of the line and `/* */`.
    slashes: bool,
    /// `<!-- -->`.
    xml: bool,
    /// `--` to the end of the line.
    dashes: bool,
}

fn style(name: &str) -> Style {
    let name = name
        .trim_end_matches(".j2")
        .trim_end_matches(".jinja2")
        .trim_end_matches(".erb");
    let ending = name.rsplit(['.', '/']).next().unwrap_or("").to_ascii_lowercase();
    let none = Style {
        hash: false,
        semicolon: false,
        slashes: false,
        xml: false,
        dashes: false,
    };
    match ending.as_str() {
        "xml" | "html" | "htm" | "xhtml" | "config" | "svg" => Style { xml: true, ..none },
        "php" => Style {
            hash: true,
            slashes: true,
            xml: true,
            ..none
        },
        "js" | "ts" | "java" | "go" | "c" | "h" | "cpp" | "cs" | "json" | "json5" | "scala" | "groovy" | "kt"
        | "css" => Style { slashes: true, ..none },
        "vcl" | "tf" | "hcl" | "proto" => Style {
            hash: true,
            slashes: true,
            ..none
        },
        "ini" | "cnf" | "cfg" | "inf" => Style {
            hash: true,
            semicolon: true,
            ..none
        },
        "sql" | "lua" | "hs" => Style {
            hash: false,
            dashes: true,
            slashes: true,
            ..none
        },
        "md" | "txt" | "rst" => none,
        _ => Style {
            hash: true,
            semicolon: true,
            xml: true,
            ..none
        },
    }
}

/// The text with comments blanked by spaces. Quoted text is not looked into: a comment sign inside of quotes that is
/// preceded by a blank costs what follows it on that line, never more.
pub(super) fn blank(text: &str, name: &str) -> String {
    let style = style(name);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut fresh = true;
    while let Some(c) = rest.chars().next() {
        let before = out.chars().next_back();
        let apart = before.is_none_or(|c| c.is_whitespace() || c == ';' || c == '{' || c == '}');
        let line = || rest.find('\n').unwrap_or(rest.len());
        let length = if style.xml && rest.starts_with("<!--") {
            rest.find("-->").map_or(rest.len(), |at| at + 3)
        } else if style.slashes && rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if (style.hash && c == '#' && apart)
            || (style.slashes && rest.starts_with("//") && apart)
            || (style.dashes && rest.starts_with("--") && apart)
            || (style.semicolon && c == ';' && fresh)
        {
            line()
        } else {
            0
        };
        if length > 0 {
            let (comment, after) = rest.split_at(length);
            for c in comment.chars() {
                // One space for each byte: offsets count bytes.
                out.extend(std::iter::repeat_n(
                    if c == '\n' { '\n' } else { ' ' },
                    if c == '\n' { 1 } else { c.len_utf8() },
                ));
            }
            rest = after;
            continue;
        }
        fresh = c == '\n' || (fresh && c.is_whitespace());
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or("");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_by_kind_of_file() {
        assert_eq!(blank("a #b\nc", "x.conf"), "a   \nc");
        assert_eq!(blank("a http://h#b", "x.conf"), "a http://h#b");
        assert_eq!(
            blank("<a><!-- http://x -->b", "web.xml.j2"),
            format!("<a>{}b", " ".repeat(17))
        );
        assert_eq!(
            blank("a // b\nx = 'http://h'; /* c */", "a.php"),
            format!("a {}\nx = 'http://h'; {}", "    ", " ".repeat(7))
        );
        assert_eq!(blank("; a\nb;c", "my.cnf"), "   \nb;c");
        assert_eq!(blank("# a", "x.xml"), "# a");
    }

    proptest! {
        #[test]
        fn offsets_stay(text in "[a#;/*<!> \n\u{f0001}é-]{0,60}", name in prop::sample::select(vec!["a.conf", "a.xml", "a.php", "a.sql"])) {
            let blanked = blank(&text, name);
            prop_assert_eq!(blanked.len(), text.len());
            prop_assert_eq!(blanked.matches('\n').count(), text.matches('\n').count());
        }
    }
}
