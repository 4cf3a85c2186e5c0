//! A walk over the attributes of an instance: every string with its path. Nothing is kept, so a state of any size
//! needs no tree of values.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::topology::json::Text;

/// Where a string stands.
pub struct Place<'p> {
    /// As Terraform writes it: `ingress[0].security_groups[1]`.
    pub path: &'p str,
    /// The same without indices, and without the `value` that wraps dynamic attributes: `ingress.security_groups`.
    pub plain: &'p str,
    /// The last name on the path.
    pub name: &'p str,
    /// A direct attribute, not inside of another.
    pub top: bool,
}

/// Calls `found` with every string in `attributes`. Attributes that cannot be read (deeper than serde_json's limit of
/// 128) end the walk early; what was found until then stands.
pub fn walk(attributes: &RawValue, found: &mut dyn FnMut(&Place<'_>, &str)) {
    let mut walker = Walker {
        path: String::new(),
        plain: String::new(),
        name: 0,
        depth: 0,
        found,
    };
    let mut deserializer = serde_json::Deserializer::from_str(attributes.get());
    // The text was parsed once already, as part of the state: it can only be too deep.
    let _ = Step(&mut walker).deserialize(&mut deserializer);
}

struct Walker<'f> {
    path: String,
    plain: String,
    /// Where the last name begins in `plain`.
    name: usize,
    depth: usize,
    found: &'f mut dyn FnMut(&Place<'_>, &str),
}

struct Step<'w, 'f>(&'w mut Walker<'f>);

impl<'de> DeserializeSeed<'de> for Step<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let walker = self.0;
        let place = Place {
            path: &walker.path,
            plain: &walker.plain,
            name: walker.plain.get(walker.name..).unwrap_or_default(),
            top: walker.depth == 1,
        };
        (walker.found)(&place, text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let walker = self.0;
        let length = walker.path.len();
        let mut index = 0usize;
        walker.depth += 1;
        loop {
            let _ = write!(walker.path, "[{index}]");
            if seq.next_element_seed(Step(walker))?.is_none() {
                break;
            }
            walker.path.truncate(length);
            index += 1;
        }
        walker.path.truncate(length);
        walker.depth -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let walker = self.0;
        let (path, plain, name) = (walker.path.len(), walker.plain.len(), walker.name);
        walker.depth += 1;
        while let Some(Text(key)) = map.next_key()? {
            if path > 0 {
                walker.path.push('.');
            }
            walker.path.push_str(&key);
            let wraps = walker.depth == 2 && key == "value";
            if !wraps {
                if plain > 0 {
                    walker.plain.push('.');
                }
                walker.name = walker.plain.len();
                walker.plain.push_str(&key);
            }
            map.next_value_seed(Step(walker))?;
            walker.path.truncate(path);
            walker.plain.truncate(plain);
            walker.name = name;
        }
        walker.depth -= 1;
        Ok(())
    }
}

/// The direct string attributes of these names, `None` where absent.
pub fn pick<'a, const N: usize>(attributes: Option<&'a RawValue>, names: [&str; N]) -> [Option<Cow<'a, str>>; N] {
    let mut picked = [const { None }; N];
    if let Some(raw) = attributes {
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        let _ = deserializer.deserialize_map(Pick {
            names: &names,
            picked: &mut picked,
        });
    }
    picked
}

struct Pick<'p, 'a, const N: usize> {
    names: &'p [&'p str; N],
    picked: &'p mut [Option<Cow<'a, str>>; N],
}

impl<'de: 'a, 'a, const N: usize> Visitor<'de> for Pick<'_, 'a, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(key), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            let Some(index) = self.names.iter().position(|name| *name == key) else {
                continue;
            };
            if let (Some(slot), Ok(Text(text))) = (self.picked.get_mut(index), serde_json::from_str(value.get())) {
                *slot = Some(text).filter(|text| !text.is_empty());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_has_its_path() {
        let raw = RawValue::from_string(
            r#"{"id":"i","in":{"value":{"p":"s"},"type":["object"]},"l":[{"k":["a","b"]}],"n":1,"z":null}"#.to_owned(),
        )
        .unwrap();
        let mut seen = Vec::new();
        walk(&raw, &mut |place, text| {
            seen.push(format!(
                "{} {} {} {} {text}",
                place.path, place.plain, place.name, place.top
            ))
        });
        assert_eq!(
            seen,
            [
                "id id id true i",
                "in.value.p in.p p false s",
                "in.type[0] in.type type false object",
                "l[0].k[0] l.k k false a",
                "l[0].k[1] l.k k false b",
            ]
        );
        assert_eq!(pick(Some(&raw), ["id", "n", "x"]), [Some("i".into()), None, None]);
    }
}
