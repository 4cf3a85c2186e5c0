//! Filters on lists and mappings.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, State, Value};

use super::super::super::value::{Map, Value as Written, combine as lay};
use super::super::frame::missing;
use super::super::objects::scope_of;
use super::{text_of, unsupported, whole};

/// Deepest nesting of lists that `flatten` goes into.
const MAX_DEPTH: usize = 64;

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("combine", combine);
    environment.add_filter("extract", extract);
    environment.add_filter("flatten", flatten);
    environment.add_filter("dict2items", dict2items);
    environment.add_filter("items2dict", items2dict);
    environment.add_filter("count", |value: &Value| value.len().ok_or_else(|| unsupported("count")));
    environment.add_filter("union", |a: &Value, b: &Value| {
        let (mut all, more) = (items(a)?, items(b)?);
        all.extend(more);
        Ok::<_, Error>(unique(all))
    });
    environment.add_filter("intersect", |a: &Value, b: &Value| {
        let other = items(b)?;
        Ok::<_, Error>(unique(
            items(a)?.into_iter().filter(|item| other.contains(item)).collect(),
        ))
    });
    environment.add_filter("difference", |a: &Value, b: &Value| {
        let other = items(b)?;
        Ok::<_, Error>(unique(
            items(a)?.into_iter().filter(|item| !other.contains(item)).collect(),
        ))
    });
    environment.add_filter("symmetric_difference", |a: &Value, b: &Value| {
        let (a, b) = (items(a)?, items(b)?);
        let mut found: Vec<Value> = a.iter().filter(|item| !b.contains(item)).cloned().collect();
        found.extend(b.into_iter().filter(|item| !a.contains(item)));
        Ok::<_, Error>(unique(found))
    });
    for name in ["contains", "subset", "superset"] {
        environment.add_test(name, move |a: &Value, b: &Value| {
            let (a, b) = match name {
                "contains" => return Ok::<_, Error>(items(a)?.contains(b)),
                "subset" => (items(a)?, items(b)?),
                _ => (items(b)?, items(a)?),
            };
            Ok(a.iter().all(|item| b.contains(item)))
        });
    }
}

fn items(value: &Value) -> Result<Vec<Value>, Error> {
    if value.as_str().is_some() || missing(value).is_some() {
        return Err(unsupported("list"));
    }
    Ok(value.try_iter()?.collect())
}

fn unique(values: Vec<Value>) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::with_capacity(values.len());
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// A finished value back in the engine.
pub(super) fn engine(value: &Written) -> Value {
    match value {
        Written::Null | Written::Vault => Value::from(()),
        Written::Bool(flag) => Value::from(*flag),
        Written::Int(number) => Value::from(*number),
        Written::Float(number) => Value::from(*number),
        Written::Str(text) | Written::Unsafe(text) => Value::from(text.as_ref()),
        Written::List(list) => list.iter().map(engine).collect(),
        Written::Map(map) => Value::from_pairs(
            map.iter()
                .map(|(key, value)| (Value::from(key.as_ref()), engine(value))),
        ),
    }
}

/// Mappings laid over each other. `list_merge` other than `replace` is not evaluated.
fn combine(first: &Value, more: Rest<Value>) -> Result<Value, Error> {
    let mut recursive = false;
    let mut maps = vec![whole(first)?];
    for arg in more.iter() {
        if arg.is_kwargs() {
            recursive = arg.get_attr("recursive")?.is_true();
            if arg
                .get_attr("list_merge")?
                .as_str()
                .is_some_and(|merge| merge != "replace")
            {
                return Err(unsupported("combine"));
            }
        } else {
            maps.push(whole(arg)?);
        }
    }
    let mut all = Map::new();
    while let Some(next) = (!maps.is_empty()).then(|| maps.remove(0)) {
        match next {
            Written::Map(map) => lay(&mut all, &map, recursive),
            Written::List(list) => maps.splice(0..0, list.iter().cloned()).for_each(drop),
            _ => return Err(unsupported("combine")),
        }
    }
    Ok(engine(&Written::Map(Arc::new(all))))
}

/// `key | extract(container, 'attr')`, also as `map('extract', hostvars, 'ansible_host')`.
fn extract(state: &State, key: &Value, container: &Value, more: Option<Value>) -> Result<Value, Error> {
    let mut found = item(container, key)?;
    let path: Vec<Value> = match more {
        None => Vec::new(),
        Some(more) if matches!(more.kind(), ValueKind::Seq | ValueKind::Iterable) => more.try_iter()?.collect(),
        Some(one) => vec![one],
    };
    for key in &path {
        found = item(&found, key)?;
    }
    if found.is_undefined()
        && let Some(scope) = scope_of(state)
    {
        let name = path.last().unwrap_or(key).to_string();
        return Ok(scope.absent(&name).unwrap_or(Value::UNDEFINED));
    }
    Ok(found)
}

fn item(container: &Value, key: &Value) -> Result<Value, Error> {
    match key.as_str() {
        Some(name) if container.kind() != ValueKind::Seq => container.get_attr(name),
        _ => container.get_item(key),
    }
}

fn flatten(value: &Value, levels: Option<usize>, options: Kwargs) -> Result<Vec<Value>, Error> {
    let levels = levels.or(options.get("levels")?).unwrap_or(MAX_DEPTH).min(MAX_DEPTH);
    let skip_nulls: Option<bool> = options.get("skip_nulls")?;
    let mut found = Vec::new();
    flat(value, levels, skip_nulls.unwrap_or(true), &mut found)?;
    Ok(found)
}

fn flat(value: &Value, levels: usize, skip_nulls: bool, found: &mut Vec<Value>) -> Result<(), Error> {
    for item in items(value)? {
        if item.is_none() && skip_nulls {
            continue;
        }
        if levels > 0 && matches!(item.kind(), ValueKind::Seq | ValueKind::Iterable) {
            flat(&item, levels - 1, skip_nulls, found)?;
        } else {
            found.push(item);
        }
    }
    Ok(())
}

fn dict2items(value: &Value, options: Kwargs) -> Result<Vec<Value>, Error> {
    let key_name: Option<String> = options.get("key_name")?;
    let value_name: Option<String> = options.get("value_name")?;
    options.assert_all_used()?;
    if value.kind() != ValueKind::Map {
        return Err(unsupported("dict2items"));
    }
    let (key_name, value_name) = (key_name.unwrap_or("key".into()), value_name.unwrap_or("value".into()));
    let keys: Vec<Value> = value.try_iter()?.collect();
    keys.into_iter()
        .map(|key| {
            let item = value.get_item(&key)?;
            Ok(Value::from_pairs([
                (Value::from(key_name.as_str()), key),
                (Value::from(value_name.as_str()), item),
            ]))
        })
        .collect()
}

fn items2dict(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let key_name: Option<String> = options.get("key_name")?;
    let value_name: Option<String> = options.get("value_name")?;
    options.assert_all_used()?;
    let (key_name, value_name) = (key_name.unwrap_or("key".into()), value_name.unwrap_or("value".into()));
    let mut pairs = Vec::new();
    for item in items(value)? {
        let key = text_of(&item.get_attr(&key_name)?)?;
        pairs.push((Value::from(key.as_ref()), item.get_attr(&value_name)?));
    }
    Ok(Value::from_pairs(pairs))
}
