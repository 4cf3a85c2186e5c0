//! Answers of cloud APIs: tables say which field names the other end, one reader applies them.

use hashbrown::HashMap;
use serde_json::Value;

use super::{
    Class, Edge, Evidence, Extracted, Identity, Reason, Role, TopologyError, Unresolved, identity, is_id, json,
};

/// Most edges of one answer.
const MAX_EDGES: usize = 500_000;

/// One kind of object in an answer.
pub struct Kind {
    /// Path to the objects, such as `Reservations[].Instances[]`; empty when the answer itself is the object. A list may
    /// be narrowed by a field: `SecurityGroupRules[IsEgress=true]`.
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
    /// [`Kind::list`] of what the field names, where its identifier alone does not tell its URN; else empty.
    pub to: &'static str,
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

/// What else the objects of a list are known as.
pub struct Known {
    /// As [`Kind::list`] and [`Kind::id`].
    pub list: &'static str,
    pub id: &'static str,
    pub role: Role,
    /// Fields with addresses.
    pub addresses: &'static [&'static str],
    /// Fields with the name that the machine has of itself.
    pub names: &'static [&'static str],
}

/// Shorthand for the tables.
pub const fn link(path: &'static str, relation: &'static str, way: Way) -> Link {
    link_to(path, relation, way, "")
}

/// A link to objects of another list: they have the URN that their own fields tell.
pub const fn link_to(path: &'static str, relation: &'static str, way: Way, to: &'static str) -> Link {
    Link {
        path,
        relation,
        way,
        to,
    }
}

/// Applies a table to an answer, or to a list of answers.
///
/// `urn` names the far ends that the input does not contain, from their identifiers alone. An answer that has objects and
/// names no other with them is reported.
///
/// # Errors
/// [`TopologyError::Syntax`], [`TopologyError::Limit`].
pub fn edges(
    text: &str,
    format: &'static str,
    kinds: &[Kind],
    known: &[Known],
    urn: fn(&str) -> Option<String>,
) -> Result<Extracted, TopologyError> {
    let answer: Value = json::parse(text, format)?;
    let answers = answer.as_array().map_or(std::slice::from_ref(&answer), Vec::as_slice);
    let names = Names::of(answers, kinds, urn);
    let (mut edges, mut unresolved) = (Vec::new(), Vec::new());
    for answer in answers {
        let before = edges.len();
        let mut whole = false;
        for kind in kinds {
            // An answer that is itself the object is of one kind, the first that fits.
            if kind.list.is_empty() {
                if whole {
                    continue;
                }
                whole = json::str_at(answer, kind.id).is_some();
            }
            for (object, id) in objects(answer, kind.list, kind.id) {
                links(object, id, kind, &names, &mut edges);
                if edges.len() > MAX_EDGES {
                    return Err(TopologyError::Limit {
                        what: "edges",
                        limit: MAX_EDGES,
                    });
                }
            }
        }
        if edges.len() == before {
            silent(answer, kinds, &mut unresolved);
        }
    }
    Ok(Extracted::new(edges, unresolved).known_as(identities(answers, known, urn)))
}

/// What else the objects of the answers are known as.
fn identities(answers: &[Value], known: &[Known], urn: fn(&str) -> Option<String>) -> Vec<Identity> {
    let mut found = Vec::new();
    for (answer, known) in answers
        .iter()
        .flat_map(|answer| known.iter().map(move |known| (answer, known)))
    {
        for (object, id) in objects(answer, known.list, known.id) {
            let texts = |paths: &'static [&'static str]| {
                paths.iter().flat_map(|path| at(object, path)).filter_map(Value::as_str)
            };
            let addresses = texts(known.addresses).filter_map(match known.role {
                Role::Balancer => identity::balancer_at,
                _ => identity::machine_at,
            });
            found.extend(
                addresses
                    .chain(texts(known.names).flat_map(identity::machine_called))
                    .map(|known_as| Identity {
                        thing: id.to_owned(),
                        urn: urn(id),
                        role: known.role,
                        known_as,
                    }),
            );
        }
    }
    found
}

/// The objects of a list with their identifiers.
fn objects<'v>(answer: &'v Value, list: &str, id: &'static str) -> impl Iterator<Item = (&'v Value, &'v str)> {
    at(answer, list)
        .into_iter()
        .filter_map(move |object| Some((object, json::str_at(object, id).filter(|id| is_id(id))?)))
}

/// Reports what an answer holds if it names nothing: objects of another call, or such that only the request tells of
/// what they are (`describe-target-health`).
fn silent(answer: &Value, kinds: &[Kind], unresolved: &mut Vec<Unresolved>) {
    for (field, value) in answer.as_object().into_iter().flatten() {
        let lists = value.as_object().into_iter().flatten().map(|(_, inner)| inner);
        let filled = std::iter::once(value).chain(lists).any(|list| {
            let items = list.as_array().map_or(&[] as &[Value], Vec::as_slice);
            items.iter().any(Value::is_object)
        });
        // Some kinds name nothing by their nature.
        let names_none = |kind: &Kind| {
            let same = kind
                .list
                .strip_prefix(field.as_str())
                .is_some_and(|rest| rest.starts_with(['[', '.']));
            same && kind.links.is_empty() && objects(answer, kind.list, kind.id).next().is_some()
        };
        if filled && is_id(field) && !kinds.iter().any(names_none) {
            let health = field == "TargetHealthDescriptions";
            unresolved.push(Unresolved {
                src: field.clone(),
                reference: if health { "TargetGroupArn" } else { "identifiers" }.to_owned(),
                reason: Reason::Undefined,
                at: None,
            });
        }
    }
}

/// What objects are called, wherever another one names them.
struct Names<'v> {
    /// By list and identifier; ARNs say enough without the list. `None`: two objects of several regions or accounts.
    known: HashMap<(&'static str, &'v str), Option<String>>,
    by_id: fn(&str) -> Option<String>,
}

impl<'v> Names<'v> {
    fn of(answers: &'v [Value], kinds: &[Kind], by_id: fn(&str) -> Option<String>) -> Names<'v> {
        let mut known = HashMap::new();
        let targets: Vec<&str> = kinds.iter().flat_map(|kind| kind.links).map(|link| link.to).collect();
        let targets = kinds
            .iter()
            .filter(|kind| !kind.list.is_empty() && targets.contains(&kind.list));
        for kind in targets {
            for (object, id) in answers.iter().flat_map(|answer| objects(answer, kind.list, kind.id)) {
                let Some(urn) = (kind.urn)(object, id) else { continue };
                let fields = object.as_object().into_iter().flatten();
                let arn = fields
                    .filter_map(|(_, value)| value.as_str())
                    .find(|arn| arn.starts_with("arn:") && last_part(arn) == id);
                for key in std::iter::once((kind.list, id)).chain(arn.map(|arn| ("", arn))) {
                    let one = known.entry(key).or_insert_with(|| Some(urn.clone()));
                    if one.as_ref() != Some(&urn) {
                        *one = None;
                    }
                }
            }
        }
        Names { known, by_id }
    }

    /// The URN of what `text` names: an identifier of the list `to`, or an ARN.
    fn get(&self, to: &'static str, text: &str) -> Option<String> {
        let list = if text.starts_with("arn:") { "" } else { to };
        let known = self.known.get(&(list, text)).cloned().flatten();
        known.or_else(|| (self.by_id)(text))
    }
}

fn links(object: &Value, id: &str, kind: &Kind, names: &Names<'_>, edges: &mut Vec<Edge>) {
    let own = (kind.urn)(object, id);
    for link in kind.links {
        for other in at(object, link.path).into_iter().filter_map(Value::as_str) {
            let others = if link.way == Way::OutList {
                other.split(',')
            } else {
                other.split('\0')
            };
            for written in others.map(str::trim) {
                let other = if link.way == Way::OutName {
                    last_part(written)
                } else {
                    written
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
                let (near, far) = (own.clone(), names.get(link.to, written));
                (edge.src_urn, edge.dst_urn) = if link.way == Way::In { (far, near) } else { (near, far) };
                edges.push(edge);
            }
        }
    }
}

/// The name at the end of an ARN of RDS; a name as it is.
fn last_part(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

/// The values at a path: names joined by dots, `[]` for every element of a list, `[field=value]` for those that have it.
fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    let mut found = vec![value];
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, each) = step
            .split_once('[')
            .map_or((step, None), |(name, each)| (name, Some(each)));
        let fields = found.into_iter().filter_map(|value| value.get(name));
        found = match each.map(|each| each.trim_end_matches(']').split_once('=')) {
            None => fields.collect(),
            Some(wanted) => fields
                .filter_map(Value::as_array)
                .flatten()
                .filter(|element| wanted.is_none_or(|(field, text)| has(element, field, text)))
                .collect(),
        };
    }
    found
}

fn has(element: &Value, field: &str, text: &str) -> bool {
    match element.get(field) {
        Some(Value::Bool(flag)) => text == if *flag { "true" } else { "false" },
        Some(Value::String(found)) => text == found,
        _ => false,
    }
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
        let rules = json!({"r": [{"out": true, "n": 1}, {"out": false, "n": 2}, {"n": 3}, {"out": "x", "n": 4}]});
        for (path, n) in [("r[out=true].n", 1), ("r[out=false].n", 2), ("r[out=x].n", 4)] {
            assert_eq!(at(&rules, path), [&json!(n)]);
        }
    }
}
