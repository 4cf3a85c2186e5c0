//! Which objects of an OpenObserve folder count.
//!
//! OpenObserve merges the objects of an hour into larger ones. For two to three hours the folder then holds the sources
//! beside the product, and every row twice; deletes may also happen one by one, or fail and leave a source for ever; a
//! crash may leave an object whose rows were written again under another key. What is live is written down in its
//! metadata database only. Without that, one rule tells:
//!
//! > An object does not count when all its rows, as a multiset, are in a newer object of the same folder.
//!
//! The footers decide the usual case alone: a product has exactly the rows, the times and the original size of all the
//! sources before it. Where they leave it open (an object whose times lie within those of a newer one), its first and
//! last row are looked for in the newer one, then, if both are there, all its rows.
//!
//! Rows that a client sent twice in objects of their own count once if nothing else came with the second sending.

use super::object::Object;
use super::read;
use super::store::{Progress, Store};
use crate::source::error::SourceError;
use engine::decode::parquet::{self, Summary};
use engine::window::Window;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of an object whose hashes are compared; of a larger object every n-th hash value is.
const MAX_HASHES: u64 = 1_000_000;
/// Facts about objects that are remembered; beyond that all are forgotten.
const MAX_REMEMBERED: usize = 20_000;

/// Objects never change under one key: what was found out about them stays true.
static SUMMARIES: Memory<Summary> = Memory(Mutex::new(None));
/// Whether the first of two objects is among the rows of the second.
static COPIES: Memory<bool> = Memory(Mutex::new(None));

/// The objects of one folder and those in it, oldest first; products without their sources.
#[derive(Debug)]
pub struct Generations {
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    object: Object,
    /// `None` for an object that is alone.
    told: Option<Summary>,
}

impl Generations {
    /// Reads the footers where there is more than one object, and leaves out the sources of products.
    ///
    /// # Errors
    /// Those of [`Store`], `Cancelled`, `BadResponse` for a broken object: nobody knows whether others have its rows, and
    /// what cannot be read now may be read a moment later.
    pub fn new<S: Store>(store: &S, objects: Vec<Object>, cancel: &Arc<AtomicBool>) -> Result<Self, SourceError> {
        let mut folders: HashMap<String, Vec<Object>> = HashMap::new();
        for object in objects {
            folders.entry(parent(&object.key).to_string()).or_default().push(object);
        }
        let mut all = Vec::new();
        for (_, objects) in folders {
            let alone = objects.len() == 1;
            let mut members = Vec::with_capacity(objects.len());
            for object in objects {
                let told = match alone {
                    true => None,
                    false => Some(summary(store, &object, cancel)?),
                };
                members.push(Member { object, told });
            }
            members.sort_by(|a, b| a.age().cmp(&b.age()));
            all.extend(without_sources(members));
        }
        Ok(Generations { members: all })
    }

    /// The objects that count and may hold rows of `range`, in the order of their keys.
    ///
    /// # Errors
    /// As [`Generations::new`].
    pub fn of<S: Store>(&self, store: &S, range: Window, cancel: &Arc<AtomicBool>) -> Result<Vec<Object>, SourceError> {
        let mut out = Vec::new();
        for (at, member) in self.members.iter().enumerate() {
            let times = member.told.and_then(|t| t.times);
            if times.is_some_and(|(min, max)| max < range.from || min >= range.to) {
                continue;
            }
            let newer = self.members.get(at + 1..).unwrap_or_default();
            let mut counts = true;
            for other in newer.iter().filter(|other| member.may_be_in(other)) {
                if is_copy(store, member, other, cancel)? {
                    counts = false;
                    break;
                }
            }
            if counts {
                out.push(member.object.clone());
            }
        }
        out.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(out)
    }
}

impl Member {
    /// Orders by creation: ids are snowflakes, whose upper bits are the time (`id >> 22`, milliseconds).
    fn age(&self) -> (Option<u64>, &str) {
        (id(&self.object.key), &self.object.key)
    }

    /// Whether the footers allow that all rows are in `other`, a newer object.
    fn may_be_in(&self, other: &Member) -> bool {
        let (Some(mine), Some(theirs)) = (self.told, other.told) else {
            return false;
        };
        let (Some(own), Some(wide)) = (mine.times, theirs.times) else {
            return false;
        };
        parent(&self.object.key) == parent(&other.object.key)
            && mine.rows <= theirs.rows
            && wide.0 <= own.0
            && own.1 <= wide.1
    }
}

/// Leaves out what an object was merged from: together, all older objects within its times have exactly its rows, its
/// first and last time and its original size. Oldest products first, since products are merged again.
fn without_sources(members: Vec<Member>) -> Vec<Member> {
    let mut alive: Vec<Member> = Vec::with_capacity(members.len());
    for product in members {
        let sources: Vec<Summary> = alive
            .iter()
            .filter(|older| older.may_be_in(&product))
            .filter_map(|older| older.told)
            .collect();
        if sources.len() > 1 && product.told.is_some_and(|told| told == merged(&sources)) {
            alive.retain(|older| !older.may_be_in(&product));
        }
        alive.push(product);
    }
    alive
}

/// What a product of these would say of itself. Nothing equals it when a size is not known.
fn merged(sources: &[Summary]) -> Summary {
    let mut all = Summary {
        original_size: Some(0),
        ..Summary::default()
    };
    for one in sources {
        all.rows = all.rows.saturating_add(one.rows);
        all.original_size = all
            .original_size
            .zip(one.original_size)
            .map(|(a, b)| a.saturating_add(b));
        all.times = match (all.times, one.times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
    }
    if all.original_size.is_none() {
        all.rows = u64::MAX;
    }
    all
}

/// Whether all rows of `member` are in `other`.
fn is_copy<S: Store>(
    store: &S,
    member: &Member,
    other: &Member,
    cancel: &Arc<AtomicBool>,
) -> Result<bool, SourceError> {
    let name = remembered(store, &member.object)
        .zip(remembered(store, &other.object))
        .map(|(a, b)| format!("{a} {b}"));
    COPIES.get_or(name, || {
        let Some((rows, (min, max))) = member.told.and_then(|t| Some((t.rows, t.times?))) else {
            return Ok(false);
        };
        let range = Window::new(min, max.saturating_add(1));
        let (mut first, mut last) = (false, false);
        read::columns(store, &other.object, &Progress::new(cancel), |reader| {
            parquet::timestamps(reader, range, |ts| {
                first |= ts == min;
                last |= ts == max;
            })
        })?;
        if !(first && last) {
            return Ok(false);
        }
        // Of every n-th hash value, not of every n-th row: both objects must choose the same.
        let nth = rows / MAX_HASHES + 1;
        let mut missing: HashMap<u64, u64> = HashMap::new();
        read::columns(store, &member.object, &Progress::new(cancel), |reader| {
            parquet::row_hashes(reader, range, |hash| {
                if hash % nth == 0 {
                    *missing.entry(hash).or_default() += 1;
                }
            })
        })?;
        read::columns(store, &other.object, &Progress::new(cancel), |reader| {
            parquet::row_hashes(reader, range, |hash| {
                if let Some(left) = missing.get_mut(&hash) {
                    *left -= 1;
                    if *left == 0 {
                        missing.remove(&hash);
                    }
                }
            })
        })?;
        Ok(missing.is_empty())
    })
}

/// What an object says of itself.
fn summary<S: Store>(store: &S, object: &Object, cancel: &Arc<AtomicBool>) -> Result<Summary, SourceError> {
    SUMMARIES.get_or(remembered(store, object), || read::summary(store, object, cancel))
}

/// The name under which facts about an object are kept; none where its size is not known, since reading is cheap then.
fn remembered<S: Store>(store: &S, object: &Object) -> Option<String> {
    object
        .size
        .map(|size| format!("{}/{}={size}", store.identity(), object.key))
}

/// The folder of a key.
fn parent(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The snowflake a name carries: 19 digits, behind the prefixes of other arrangements of rows and before 4 hex digits.
fn id(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next().unwrap_or(key);
    let name = name.rsplit('-').next().unwrap_or(name);
    name.get(..19)?.parse().ok()
}

/// A bounded memory of facts by name.
struct Memory<V>(Mutex<Option<HashMap<String, V>>>);

impl<V: Clone> Memory<V> {
    fn get_or(&self, name: Option<String>, find: impl FnOnce() -> Result<V, SourceError>) -> Result<V, SourceError> {
        let Some(name) = name else { return find() };
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().as_ref().and_then(|map| map.get(&name).cloned()) {
            return Ok(known);
        }
        // Not under the lock: other threads look for other objects.
        let found = find()?;
        let mut memory = lock();
        let map = memory.get_or_insert_default();
        if map.len() >= MAX_REMEMBERED {
            map.clear();
        }
        map.insert(name, found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
