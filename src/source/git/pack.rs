//! A pack in memory: with the index that lies beside it, or with one that is made by reading it once.

use super::objects::{MAX_OBJECT, Objects, broken, id_of, missing};
use crate::source::documents::{MAX_ENTRIES, MAX_UNPACKED, unfit};
use crate::source::error::SourceError;
use gix_hash::{Kind as Hash, ObjectId, oid};
use gix_object::Kind;
use gix_pack::cache::Never;
use gix_pack::data::{self, File, decode::entry::ResolvedBase};
use gix_pack::index;
use gix_zlib::Inflate;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of the checksum at the end of a pack.
const TRAILER: usize = 20;
/// How often one goes through the differences that wait for others. Servers name a base by its place, which needs one.
const MAX_ROUNDS: usize = 64;

/// Where the objects of a pack are.
enum Index {
    Made(HashMap<ObjectId, u64>),
    Found(Box<index::File<Vec<u8>>>),
}

/// A pack of objects.
pub struct Pack {
    file: File<Vec<u8>>,
    index: Index,
    inflate: Inflate,
}

impl Pack {
    /// A pack with its index, as repositories have them.
    ///
    /// # Errors
    /// `Document` for one that is not a pack or an index.
    pub fn indexed(pack: Vec<u8>, index: Vec<u8>) -> Result<Pack, SourceError> {
        let index = index::File::from_data(index, PathBuf::new(), Hash::Sha1).map_err(|e| broken(e.to_string()))?;
        Ok(Pack {
            file: open(pack)?,
            index: Index::Found(Box::new(index)),
            inflate: Inflate::default(),
        })
    }

    /// A pack as it comes over the wire: complete, which its checksum proves, and without an index.
    ///
    /// # Errors
    /// `Document` for one that is broken, cut off, or has more than is taken in; `Cancelled`.
    pub fn unindexed(bytes: Vec<u8>, cancel: &AtomicBool) -> Result<Pack, SourceError> {
        check(&bytes)?;
        let mut pack = Pack {
            file: open(bytes)?,
            index: Index::Made(HashMap::new()),
            inflate: Inflate::default(),
        };
        let offsets = pack.offsets(cancel)?;
        pack.index = Index::Made(offsets);
        Ok(pack)
    }

    /// Where every object is: first those that are whole, then those that are told as differences to others.
    fn offsets(&mut self, cancel: &AtomicBool) -> Result<HashMap<ObjectId, u64>, SourceError> {
        let count = self.file.num_objects() as usize;
        if count > MAX_ENTRIES {
            return Err(unfit(format!("the git repository has more than {MAX_ENTRIES} objects"))
                .hint("A smaller repository, or an archive of the folder that matters, will do."));
        }
        let mut budget = Budget(MAX_UNPACKED);
        let mut found = HashMap::with_capacity(count);
        let mut differences = Vec::new();
        let mut out = Vec::new();
        let mut offset = data::header::SIZE as u64;
        for _ in 0..count {
            if cancel.load(Ordering::Relaxed) {
                return Err(SourceError::cancelled());
            }
            let entry = self.file.entry(offset).map_err(|e| broken(e.to_string()))?;
            let size = budget.take(entry.decompressed_size)?;
            out.clear();
            out.resize(size, 0);
            let packed = self
                .file
                .decompress_entry(&entry, &mut self.inflate, &mut out)
                .map_err(|e| broken(e.to_string()))?;
            match entry.header.as_kind() {
                Some(kind) => {
                    found.insert(id_of(kind, &out)?, offset);
                }
                None => differences.push(offset),
            }
            offset = entry.data_offset + packed as u64;
        }
        // One whose base is told as a difference itself may have to wait for it.
        let mut rounds = 0..MAX_ROUNDS;
        while !differences.is_empty() {
            let mut waiting = Vec::new();
            for &offset in &differences {
                if cancel.load(Ordering::Relaxed) {
                    return Err(SourceError::cancelled());
                }
                match decode(&self.file, &found, offset, &mut out, &mut self.inflate) {
                    Ok((kind, unpacked)) => {
                        budget.spend(unpacked)?;
                        found.insert(id_of(kind, &out)?, offset);
                    }
                    Err(_) => waiting.push(offset),
                }
            }
            if waiting.len() == differences.len() || rounds.next().is_none() {
                return Err(broken("Objects are told as differences to others that are not there."));
            }
            differences = waiting;
        }
        Ok(found)
    }

    /// Whether the pack has this object.
    pub fn has(&self, id: &oid) -> bool {
        self.offset(id).is_some()
    }

    fn offset(&self, id: &oid) -> Option<u64> {
        match &self.index {
            Index::Made(offsets) => offsets.get(id).copied(),
            Index::Found(index) => index.lookup(id).map(|at| index.pack_offset_at_index(at)),
        }
    }
}

impl Objects for Pack {
    fn read(&mut self, id: &oid, out: &mut Vec<u8>) -> Result<Kind, SourceError> {
        let offset = self.offset(id).ok_or_else(|| missing(id))?;
        let none = HashMap::new();
        let bases = match &self.index {
            Index::Made(offsets) => offsets,
            // Packs that are kept refer to no base by its id.
            Index::Found(_) => &none,
        };
        decode(&self.file, bases, offset, out, &mut self.inflate).map(|(kind, _)| kind)
    }
}

/// Bytes that may still be unpacked.
struct Budget(u64);

impl Budget {
    /// Takes `size` bytes, of one object.
    fn take(&mut self, size: u64) -> Result<usize, SourceError> {
        self.spend(size)?;
        usize::try_from(size)
            .ok()
            .filter(|size| *size <= MAX_OBJECT)
            .ok_or_else(|| {
                unfit(format!(
                    "the git repository has a file of more than {} MB",
                    MAX_OBJECT >> 20
                ))
            })
    }

    /// Takes `size` bytes, of however many objects.
    fn spend(&mut self, size: u64) -> Result<(), SourceError> {
        self.0 = self.0.checked_sub(size).ok_or_else(|| {
            unfit(format!(
                "the git repository unpacks to more than {} MB",
                MAX_UNPACKED >> 20
            ))
        })?;
        Ok(())
    }
}

fn open(bytes: Vec<u8>) -> Result<File<Vec<u8>>, SourceError> {
    let file = File::from_data(bytes, PathBuf::new(), Hash::Sha1).map_err(|e| broken(e.to_string()))?;
    Ok(file.with_alloc_limit_bytes(Some(MAX_OBJECT)))
}

fn check(bytes: &[u8]) -> Result<(), SourceError> {
    let Some((content, told)) = bytes.split_last_chunk::<TRAILER>() else {
        return Err(broken("The pack is cut off."));
    };
    let mut hasher = gix_hash::hasher(Hash::Sha1);
    hasher.update(content);
    let sum = hasher.try_finalize().map_err(|e| broken(e.to_string()))?;
    match sum.as_slice() == told {
        true => Ok(()),
        false => Err(broken("The checksum of the pack is wrong.")),
    }
}

/// Decodes the object at an offset; its kind, and the bytes unpacked for it with all it is told as a difference to.
fn decode(
    file: &File<Vec<u8>>,
    bases: &HashMap<ObjectId, u64>,
    offset: u64,
    out: &mut Vec<u8>,
    inflate: &mut Inflate,
) -> Result<(Kind, u64), SourceError> {
    let entry = file.entry(offset).map_err(|e| broken(e.to_string()))?;
    let base = |id: &oid, _: &mut Vec<u8>| match bases.get(id) {
        Some(offset) => file.entry(*offset).map(|entry| Some(ResolvedBase::InPack(entry))),
        None => Ok(None),
    };
    out.clear();
    let outcome = file
        .decode_entry(entry, out, inflate, &base, &mut Never)
        .map_err(|e| broken(e.to_string()))?;
    Ok((outcome.kind, outcome.decompressed_size))
}
