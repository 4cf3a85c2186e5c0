//! Answers of cloud APIs: tables say which field names the other end, one reader applies them.

use serde_json::Value;

use super::{Class, Edge, Evidence, Extracted, Reason, TopologyError, Unresolved, is_id, json};

/// Most edges of one answer.
const MAX_EDGES: usize = 500_000;

/// One kind of object in an answer.
pub struct Kind {
    /// Path to the objects, such as `Reservations[].Instances[]`; empty when the answer itself is the object.
    pub list: &'static str,
    /// Field with the identifier. An object without it is of another kind.
    pub id: &'static str,
    pub links: &'static [Link],
    /// The URN of an object, from all of its fields.
    pub urn: fn(&Value, &str) -> Option<String>,
}

/// A field that names the other end of an edge.
pub struct Link {
    pub path: &'static str,
    pub relation: &'static str,
    pub way: Way,
}

/// Which way an edge points, and how the field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the object to what the field names.
    Out,
    /// From what the field names to the object.
    In,
    /// Out; several, joined by commas.
    OutList,
    /// Out; an ARN whose last part is the identifier, or the identifier itself.
    OutName,
}

/// Shorthand for the tables.
pub const fn link(path: &'static str, relation: &'static str, way: Way) -> Link {
    Link { path, relation, way }
}

/// Applies a table to an answer, or to a list of answers.
///
/// `urn` names the far ends, from their identifiers alone.
///
/// # Errors
/// [`TopologyError::Syntax`], [`TopologyError::Limit`].
pub fn edges(
    text: &str,
    format: &'static str,
    kinds: &[Kind],
    urn: fn(&str) -> Option<String>,
) -> Result<Extracted, TopologyError> {
    let answer: Value = json::parse(text, format)?;
    let answers = answer.as_array().map_or(std::slice::from_ref(&answer), Vec::as_slice);
    let (mut edges, mut unresolved) = (Vec::new(), Vec::new());
    for answer in answers {
        let mut whole = false;
        for kind in kinds {
            // An answer that is itself the object is of one kind, the first that fits.
            if kind.list.is_empty() {
                if whole {
                    continue;
                }
                whole = json::str_at(answer, kind.id).is_some();
            }
            for object in at(answer, kind.list) {
                let Some(id) = json::str_at(object, kind.id).filter(|id| is_id(id)) else {
                    continue;
                };
                links(object, id, kind, urn, &mut edges);
                if edges.len() > MAX_EDGES {
                    return Err(TopologyError::Limit {
                        what: "edges",
                        limit: MAX_EDGES,
                    });
                }
            }
        }
        // Only the request of this call names the target group, so the answer alone says "who" but not "of whom".
        if answer.get("TargetHealthDescriptions").is_some() && json::str_at(answer, "TargetGroupArn").is_none() {
            unresolved.push(Unresolved {
                src: "TargetHealthDescriptions".to_owned(),
                reference: "TargetGroupArn".to_owned(),
                reason: Reason::Undefined,
                at: None,
            });
        }
    }
    Ok(Extracted::new(edges, unresolved))
}

fn links(object: &Value, id: &str, kind: &Kind, urn: fn(&str) -> Option<String>, edges: &mut Vec<Edge>) {
    let own = (kind.urn)(object, id);
    for link in kind.links {
        for other in at(object, link.path).into_iter().filter_map(Value::as_str) {
            let others = if link.way == Way::OutList {
                other.split(',')
            } else {
                other.split('\0')
            };
            for other in others.map(str::trim) {
                let other = if link.way == Way::OutName {
                    other.rsplit(':').next().unwrap_or(other)
                } else {
                    other
                };
                if !is_id(other) {
                    continue;
                }
                let mut edge = if link.way == Way::In {
                    let place = format!("{}.{}", kind.list, link.path);
                    Edge::new(
                        other,
                        link.relation,
                        id,
                        Evidence::at(Class::Field, place.trim_start_matches('.')),
                    )
                } else {
                    Edge::new(id, link.relation, other, Evidence::at(Class::Field, link.path))
                };
                let (near, far) = (own.clone(), urn(other));
                (edge.src_urn, edge.dst_urn) = if link.way == Way::In { (far, near) } else { (near, far) };
                edges.push(edge);
            }
        }
    }
}

/// The values at a path: names joined by dots, `[]` for every element of a list.
fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    let mut found = vec![value];
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, each) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let fields = found.into_iter().filter_map(|value| value.get(name));
        found = if each {
            fields.filter_map(Value::as_array).flatten().collect()
        } else {
            fields.collect()
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_step_into_lists() {
        let value = json!({"a": [{"b": {"c": ["x", "y"]}}, {"b": {}}, 3], "d": "z"});
        assert_eq!(at(&value, "a[].b.c[]"), [&json!("x"), &json!("y")]);
        assert_eq!(at(&value, "d"), [&json!("z")]);
        assert_eq!(at(&value, ""), [&value]);
        assert!(at(&value, "d[]").is_empty() && at(&value, "a.b").is_empty());
    }
}
