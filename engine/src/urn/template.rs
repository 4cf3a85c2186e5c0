//! Templates of URNs: `urn:db:{db.system}:{db.cluster:label}/{db.name}`.

use super::attributes::Attributes;
use super::part;

/// Longest template in bytes.
const MAX_TEMPLATE_BYTES: usize = 500;
/// Most placeholders. Each may grow to three times [`super::MAX_NAME_BYTES`].
const MAX_PLACEHOLDERS: usize = 6;
/// Longest URN in bytes: what `topo_load` takes, and a B-tree page.
const MAX_URN_BYTES: usize = 2000;

/// What a placeholder does with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Whole,
    /// The first label of a DNS name.
    Label,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Value { attribute: String, filter: Filter },
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    /// Reads a template. The error is a clause that says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("is longer than {MAX_TEMPLATE_BYTES} bytes"));
        }
        if !text.starts_with("urn:") {
            return Err("does not begin with urn:".to_owned());
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if let Some(odd) = literal.chars().find(|&c| !is_literal(c)) {
                return Err(format!(
                    "has '{odd}' outside of braces, where A-Z a-z 0-9 . _ - / : may stand"
                ));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let Some(after) = after.strip_prefix('{') else { break };
            let Some((inner, after)) = after.split_once('}') else {
                return Err("has a { without }".to_owned());
            };
            pieces.push(placeholder(inner)?);
            rest = after;
        }
        let template = Template(pieces);
        match template.attributes().count() {
            0 => Err("has no placeholder, so everything would have this one name".to_owned()),
            n if n > MAX_PLACEHOLDERS => Err(format!("has more than {MAX_PLACEHOLDERS} placeholders")),
            _ => Ok(template),
        }
    }

    /// The attributes that the placeholders name.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Value { attribute, .. } => Some(attribute.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// Whether the name of the thing is the whole last part, which keeps different names apart whatever the rest says:
    /// the attribute, and the text before it.
    pub(super) fn last_part(&self) -> Option<(&str, &str)> {
        match self.0.as_slice() {
            [
                Piece::Literal(before),
                Piece::Value {
                    attribute,
                    filter: Filter::Whole,
                },
            ] if before.ends_with([':', '/']) => Some((attribute, before)),
            _ => None,
        }
    }

    /// The URN, or `None` where an attribute is missing or the URN would be too long.
    pub(super) fn fill(&self, of: &Attributes) -> Option<String> {
        let mut urn = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => urn.push_str(text),
                Piece::Value { attribute, filter } => {
                    let value = of.get(attribute)?;
                    urn.push_str(&part(match filter {
                        Filter::Whole => value,
                        Filter::Label => value.split('.').next().filter(|label| !label.is_empty())?,
                    }));
                }
            }
        }
        (urn.len() <= MAX_URN_BYTES).then_some(urn)
    }
}

fn placeholder(inner: &str) -> Result<Piece, String> {
    let (attribute, filter) = match inner.split_once(':') {
        None => (inner, Filter::Whole),
        Some((attribute, "label")) => (attribute, Filter::Label),
        Some((_, other)) => return Err(format!("has the filter \"{other}\"; there is only label")),
    };
    Ok(Piece::Value {
        attribute: attribute.to_owned(),
        filter,
    })
}

fn is_literal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_encoded() {
        let of = Attributes::of_urn("urn:db:postgres:pg.shop.example.com/my%2Fdb");
        let fill = |text: &str| Template::parse(text).unwrap().fill(&of);
        assert_eq!(
            fill("urn:db:{db.system}:{db_cluster:label}/{db.name}").as_deref(),
            Some("urn:db:postgres:pg/my%2Fdb")
        );
        assert_eq!(fill("urn:svc:{service.name}"), None);
    }

    #[test]
    fn bad_templates_are_explained() {
        for (text, what) in [
            ("svc:{service.name}", "urn:"),
            ("urn:svc:x", "no placeholder"),
            ("urn:svc:{service.name", "without }"),
            ("urn:svc:}{service.name}", "'}'"),
            ("urn:svc:é{service.name}", "'é'"),
            ("urn:svc:{service.name:upper}", "upper"),
            (&format!("urn:{}", "{db.name}".repeat(7)), "placeholders"),
            (&format!("urn:{}{{db.name}}", "x".repeat(500)), "500"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn a_urn_that_is_too_long_is_none() {
        let mut of = Attributes::default();
        of.push("db.name", &"é".repeat(120));
        let many = "urn:x:".to_owned() + &"{db.name}".repeat(3);
        assert_eq!(Template::parse(&many).unwrap().fill(&of), None);
        assert!(Template::parse("urn:x:{db.name}").unwrap().fill(&of).is_some());
    }
}
